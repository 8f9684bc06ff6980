//! `box renew`: get another token when it is due. Safe from cron, and from several processes.

use std::process::ExitCode;

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use terminal::output::{print, say};

use crate::offline;
use crate::project::Project;
use crate::session::{self, Renewal, When};
use crate::words;

/// What is said where npm was told again.
pub const MENDED: &str = "mended: .npmrc has the gate and the token again\n";

/// Renews the token.
#[derive(Debug, Args)]
pub struct Renew {
    /// Renew also when more than half of the token's life is left
    #[arg(long)]
    force: bool,
}

impl Renew {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let when = if self.force { When::Now } else { When::Due };
        let renewal = session::renew(project, when).await?;
        if session::mended(project).await? {
            print(MENDED)?;
        }
        let told = told(&renewal);
        let session = renewal.into_session()?;
        print(&format!("{told}\n"))?;
        if let Some(advice) = offline::advice(&session.credentials, SystemClock.now()) {
            say(&advice)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a renewal says when it is over.
pub fn told(renewal: &Renewal) -> String {
    let (session, done) = match renewal {
        Renewal::NotDue(session) => (session, "not due"),
        Renewal::Renewed(session) => (session, "renewed"),
        Renewal::Old(session, _) => (session, "not renewed"),
    };
    let until = words::until(session.expires_at, SystemClock.now());
    if session.credentials.license_file.is_some() {
        return format!("nothing to renew: the license file is good until {until}");
    }
    format!(
        "{done}: tier {}, token until {until}",
        session.credentials.tier
    )
}
