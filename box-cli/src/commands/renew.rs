//! `box renew`.

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use terminal::output::{print, say};

use crate::project::Project;
use crate::session::{self, Renewal};
use crate::words;

/// When the token is renewed.
#[derive(Debug, Args)]
pub struct Renew {
    /// Also when half of its life or more is left
    #[arg(long)]
    force: bool,
}

impl Renew {
    /// Renews the token.
    pub async fn run(self, project: &Project) -> anyhow::Result<()> {
        let renewal = session::renew(project, self.force).await?;
        let until =
            |session: &session::Session| words::until(session.expires_at, SystemClock.now());
        match renewal {
            Renewal::NotDue(session) => {
                print(&format!("not due: token good until {}\n", until(&session)))
            }
            Renewal::Renewed(session) => {
                print(&format!("renewed: token good until {}\n", until(&session)))
            }
            Renewal::Kept(session, error) => say(&format!(
                "warning: not renewed: {error:#}; the kept token is good until {}",
                until(&session)
            )),
        }
    }
}
