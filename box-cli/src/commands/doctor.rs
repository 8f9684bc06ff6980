//! `box doctor`: whether packages can be installed here, and what to do if not.

use std::process::ExitCode;

use clap::Args;
use terminal::progress;

use crate::doctor;
use crate::project::Project;
use crate::session::Given;

/// Looks at everything.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    given: Given,
    /// Ask for a token also when it is not due, to compare the packages; it is not kept
    #[arg(long)]
    renew: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Prints what was seen; 1 when something failed.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let given = self.given.with_key_read()?;
        let waiting = progress::spinner("looking");
        let checks = doctor::look(project, &given, self.renew).await;
        drop(waiting);
        checks.print(self.json)
    }
}
