//! `box exec`: run a command with a fresh token in its environment.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use terminal::progress;

use crate::child;
use crate::project::Project;
use crate::session::{self, Given};

/// Runs a command.
#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    given: Given,
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

impl Exec {
    /// Becomes the command; its exit code is ours.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let waiting = progress::spinner("getting a token");
        let session = session::fresh(project, &self.given).await?;
        drop(waiting);
        let Some((program, arguments)) = self.command.split_first() else {
            return Ok(ExitCode::SUCCESS);
        };
        Ok(child::become_program(program, arguments, None, &session))
    }
}
