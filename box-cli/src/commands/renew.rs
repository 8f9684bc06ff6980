//! `box renew`: get another token when it is due. Safe from cron, and from several processes.

use std::process::ExitCode;

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use terminal::output::print;

use crate::project::Project;
use crate::session::{self, Given, Outcome, When};
use crate::words;

/// Renews the token.
#[derive(Debug, Args)]
pub struct Renew {
    #[command(flatten)]
    given: Given,
    /// Renew also when more than half of the token's life is left
    #[arg(long)]
    force: bool,
}

impl Renew {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let when = if self.force { When::Now } else { When::Due };
        let outcome = session::renew(project, &self.given, when).await?;
        print(&format!("{}\n", told(&outcome)))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a renewal says when it is over.
pub fn told(outcome: &Outcome) -> String {
    let session = &outcome.session;
    let good = words::until(session.expires_at, SystemClock.now());
    if outcome.renewed {
        format!("renewed: tier {}, {good}", session.credentials.tier)
    } else {
        format!("not renewed: {good}")
    }
}
