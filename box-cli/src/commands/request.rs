//! `box request`: what a box without a network asks its vendor to sign.

use std::process::ExitCode;

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use terminal::output::{print_json, say};

use crate::offline;
use crate::project::Project;
use crate::session;

/// What the vendor is told.
#[derive(Debug, Args)]
pub struct Request {
    /// The license that is meant, where its id is known
    #[arg(long, value_name = "LICENSE")]
    license: Option<String>,
    /// What the vendor sees as this box's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What this box is known by [default: made from the machine's id]
    #[arg(long, value_name = "TEXT", env = "BOX_FINGERPRINT")]
    fingerprint: Option<String>,
}

impl Request {
    /// Prints a request.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let turn = session::take_turn(project).await?;
        let now = SystemClock.now();
        let given = self.fingerprint.as_deref();
        let request = offline::request(project, given, self.name, self.license, now, &turn)?;
        print_json(&request)?;
        say(
            "next: have your vendor sign it (`tollgate license sign-request`), then \
             `box activate --from FILE --registry URL`",
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
