//! `box watch`: keeps the token fresh until it is told to stop.

use std::time::Duration;

use activation_token::clock::{Clock, SystemClock};
use anyhow::Context;
use clap::Args;
use terminal::output::say;
use tokio::signal::unix::{SignalKind, signal};

use crate::project::Project;
use crate::session::{self, Renewal};
use crate::words;

/// The first wait after a failure; it doubles.
const WAIT: Duration = Duration::from_secs(5);
/// The longest wait after a failure.
const WAIT_MAX: Duration = Duration::from_mins(5);
/// Whether it is due is looked at this often, whatever the clock did meanwhile: a machine that
/// slept wakes with an old token.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Nothing is to be chosen.
#[derive(Debug, Args)]
pub struct Watch {}

impl Watch {
    /// Renews whenever it is due. Ends with 0 on SIGTERM and SIGINT.
    pub async fn run(self, project: &Project) -> anyhow::Result<()> {
        let waiting = "cannot wait for signals";
        let mut terminate = signal(SignalKind::terminate()).context(waiting)?;
        let mut interrupt = signal(SignalKind::interrupt()).context(waiting)?;
        // What was never activated is no matter of time.
        session::kept(project)?;
        say("watching: the token is renewed when half of its life is over")?;
        let mut wait = WAIT;
        loop {
            let next = match session::renew(project, false).await {
                Ok(Renewal::NotDue(_)) => {
                    wait = WAIT;
                    LOOK_EVERY
                }
                Ok(Renewal::Renewed(session)) => {
                    wait = WAIT;
                    let until = words::until(session.expires_at, SystemClock.now());
                    say(&format!("renewed: token good until {until}"))?;
                    LOOK_EVERY
                }
                Ok(Renewal::Kept(_, error)) | Err(error) => {
                    let this = wait;
                    wait = (wait * 2).min(WAIT_MAX);
                    say(&format!(
                        "warning: not renewed: {error:#}; next try in {} seconds",
                        this.as_secs()
                    ))?;
                    this
                }
            };
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    }
}
