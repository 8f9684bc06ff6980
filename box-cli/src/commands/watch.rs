//! `box watch`: renew in time until told to stop. One line an event.

use std::process::ExitCode;
use std::time::Duration;

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use jiff::SignedDuration;
use terminal::output::print;
use tokio::signal::unix::{SignalKind, signal};

use super::renew;
use crate::project::Project;
use crate::session::{self, Given, When};
use crate::words;

/// The first wait after a failure; it doubles.
const WAIT: Duration = Duration::from_secs(5);
/// No longer is waited after a failure.
const WAIT_MAX: Duration = Duration::from_mins(5);
/// How often the clock is looked at: it goes on while a machine sleeps, which a timer does not.
const LOOK: Duration = Duration::from_mins(1);

/// Keeps the token fresh.
#[derive(Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    given: Given,
}

impl Watch {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            never = self.watch(project) => never?,
            _ = terminate.recv() => print("stopped\n")?,
            _ = interrupt.recv() => print("stopped\n")?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn watch(&self, project: &Project) -> anyhow::Result<()> {
        let mut wait = WAIT;
        let mut began = false;
        loop {
            let pause = match session::renew(project, &self.given, When::Due).await {
                Ok(outcome) => {
                    let due_at = outcome.session.credentials.due_at();
                    let due_in = due_at.duration_since(SystemClock.now());
                    // A token that is due still was not to be had.
                    if due_in.is_positive() {
                        if outcome.renewed || !began {
                            began = true;
                            print(&format!("{}\n", renew::told(&outcome)))?;
                        }
                        wait = WAIT;
                        until(due_in)
                    } else {
                        longer(&mut wait)
                    }
                }
                Err(error) => {
                    let pause = longer(&mut wait);
                    let again = words::time(SignedDuration::try_from(pause)?);
                    print(&format!(
                        "failed: {}; again in {again}\n",
                        in_a_line(&error)
                    ))?;
                    pause
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

fn until(due_in: SignedDuration) -> Duration {
    Duration::try_from(due_in).unwrap_or_default().min(LOOK)
}

fn longer(wait: &mut Duration) -> Duration {
    let now = *wait;
    *wait = (now * 2).min(WAIT_MAX);
    now
}

/// The error without its hint, and with what caused it.
fn in_a_line(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| {
        let text = cause.to_string();
        text.lines().next().unwrap_or_default().to_owned()
    });
    causes.collect::<Vec<_>>().join(": ")
}
