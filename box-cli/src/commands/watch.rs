//! `box watch`: renew in time until told to stop. One line an event.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use terminal::output::print;
use tokio::signal::unix::{SignalKind, signal};

use super::renew;
use crate::credentials::Credentials;
use crate::project::Project;
use crate::session::{self, Renewal, When};
use crate::words;

/// The first wait after a failure; it doubles.
const WAIT: Duration = Duration::from_secs(5);
/// No longer is waited after a failure.
const WAIT_MAX: Duration = Duration::from_mins(5);
/// How often it is looked whether the token is due. By the clock, for a timer stands still while a
/// machine sleeps; and often enough for the shortest life that a token can have.
const LOOK: Duration = Duration::from_secs(10);

/// Keeps the token fresh.
#[derive(Debug, Args)]
pub struct Watch {}

impl Watch {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // What was never activated is no matter of time.
        Credentials::load(project)?.ok_or_else(|| session::not_activated(project))?;
        tokio::select! {
            ended = watch(project) => ended?,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        print("stopped\n")?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn watch(project: &Project) -> anyhow::Result<()> {
    let mut wait = WAIT;
    let mut began = false;
    loop {
        let renewal = session::renew(project, When::Due).await;
        if renewal.is_ok() && session::mended(project).await.unwrap_or(false) {
            print(renew::MENDED)?;
        }
        let (pause, event) = match renewal {
            Err(error) if Credentials::load(project).is_ok_and(|known| known.is_none()) => {
                // Deactivated meanwhile: waiting does not help.
                return Err(error);
            }
            Ok(Renewal::Old(_, error)) | Err(error) => {
                let pause = wait;
                wait = (wait * 2).min(WAIT_MAX);
                let again = words::count(usize::try_from(pause.as_secs())?, "second");
                let event = format!("not renewed: {}; again in {again}", in_a_line(&error));
                (pause, Some(event))
            }
            Ok(renewal) => {
                wait = WAIT;
                let is_news = !began || matches!(renewal, Renewal::Renewed(_));
                let event = is_news.then(|| renew::told(&renewal));
                (LOOK, event)
            }
        };
        began = true;
        if let Some(event) = event {
            print(&format!("{event}\n"))?;
        }
        tokio::time::sleep(pause).await;
    }
}

/// The error without its hint, and with what caused it.
fn in_a_line(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| {
        let text = cause.to_string();
        text.lines().next().unwrap_or_default().to_owned()
    });
    causes.collect::<Vec<_>>().join(": ")
}
