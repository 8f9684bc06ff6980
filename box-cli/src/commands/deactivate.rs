//! `box deactivate`.

use clap::Args;
use terminal::output::print;

use crate::activation::Request;
use crate::files;
use crate::project::Project;
use crate::session;

/// How far a deactivation goes.
#[derive(Debug, Args)]
pub struct Deactivate {
    /// Only take our lines and files away, without asking the control plane: the seat stays taken
    /// until the vendor releases it
    #[arg(long)]
    local: bool,
}

impl Deactivate {
    /// Gives the seat back and takes away what the activation laid down.
    pub async fn run(self, project: &Project) -> anyhow::Result<()> {
        let _turn = project.take_turn()?;
        let kept = session::kept(project)?;
        if !self.local && kept.box_id.is_some() {
            let request = Request::of(&kept)?;
            request.deactivate().await.map_err(|error| {
                error.context(
                    "the seat was not given back, and nothing was changed\n  \
                     hint: `box deactivate --local` takes the local part away alone",
                )
            })?;
        }
        files::take_away(project, &kept)?;
        print(if self.local {
            "deactivated here; the seat stays taken\n"
        } else {
            "deactivated: the seat is free\n"
        })
    }
}
