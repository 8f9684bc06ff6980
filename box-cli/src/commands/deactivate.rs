//! `box deactivate`: give the seat back and take out what the activation left.

use std::process::ExitCode;

use clap::Args;
use terminal::output::{print, say};
use terminal::{Exit, Unanswered};

use crate::activation::Request;
use crate::credentials::Credentials;
use crate::files::Files;
use crate::project::Project;
use crate::session;

/// Ends the activation.
#[derive(Debug, Args)]
pub struct Deactivate {
    /// Take out the local part alone and leave the seat taken
    #[arg(long)]
    local: bool,
}

impl Deactivate {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let nothing = || session::not_activated(project);
        // Looked at first: where nothing is, nothing is made.
        Credentials::load(project)?.ok_or_else(nothing)?;
        let _turn = session::take_turn(project).await?;
        let files = Files::open(project)?;
        let known = Credentials::load(project)?.ok_or_else(nothing)?;
        let keeps_its_seat = self.local || known.license_file.is_some();
        if !keeps_its_seat {
            let request = Request::of(&known)?;
            request.deactivate().await.map_err(hinted)?;
        }
        files.deactivated(&known, !keeps_its_seat)?;
        if keeps_its_seat {
            print("deactivated: here alone\n")?;
            say("the box keeps its seat until the vendor releases it")?;
        } else {
            print("deactivated: the seat is free\n")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says how to go on where the control plane will not or cannot free the seat.
fn hinted(error: anyhow::Error) -> anyhow::Error {
    let exit = error.downcast_ref::<Unanswered>().map(Unanswered::exit);
    if !matches!(exit, Some(Exit::Unreachable | Exit::NotAllowed)) {
        return error;
    }
    error.context("the seat could not be freed\n  hint: `box deactivate --local` takes out the local part alone")
}
