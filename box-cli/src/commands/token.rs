//! `box token`: print a token that is good.

use std::process::ExitCode;

use clap::Args;
use secrecy::ExposeSecret;
use terminal::output::print;

use crate::project::Project;
use crate::session::{self, Given};

/// Prints the token.
#[derive(Debug, Args)]
pub struct Token {
    #[command(flatten)]
    given: Given,
    /// Print `Bearer` before it, as an HTTP header has it
    #[arg(long)]
    header: bool,
}

impl Token {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let session = session::fresh(project, &self.given).await?;
        let token = session.token.expose_secret();
        let scheme = if self.header { "Bearer " } else { "" };
        print(&format!("{scheme}{token}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
