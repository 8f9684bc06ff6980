//! `tollgate doctor`: whether all is well with a running Tollgate, and what to do if not. It
//! changes nothing, unless a download is asked for.

mod business;
mod download;
mod gate;
mod keys;
mod server;

use std::process::ExitCode;

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use jiff::Timestamp;
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use terminal::checks::{Check, Checks};
use terminal::reach::chain;
use terminal::{ControlPlane, Unanswered, progress};
use url::Url;

use super::remote::Remote;

/// What `tollgate doctor` takes.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Download a package as well, with a token made for this run and revoked
    ///
    /// The token is a publisher's, so no box and no seat is taken. Takes the role `admin`.
    #[arg(long)]
    download: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What is told of the manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    tiers: Vec<Tier>,
    registry_url: Option<Url>,
}

#[derive(Deserialize)]
struct Tier {
    name: String,
}

impl Doctor {
    /// Looks at everything and prints it; 1 when something failed.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let control_plane = self.remote.control_plane()?;
        let mut checks = Checks::default();
        let waiting = progress::spinner("looking");
        self.look(&control_plane, &mut checks).await;
        drop(waiting);
        checks.print(self.remote.json)
    }

    async fn look(&self, control_plane: &ControlPlane, checks: &mut Checks) {
        let now = SystemClock.now();
        if !server::look(control_plane, now, checks).await {
            return;
        }
        let manifest: Manifest = match ask(control_plane, "token", "/v1/manifest").await {
            Ok(manifest) => manifest,
            Err(check) => return checks.push(check),
        };
        checks.push(server::token(control_plane, now).await);
        checks.push(keys::look(control_plane, now).await);
        gate::look(control_plane, manifest.registry_url.as_ref(), checks).await;
        if self.download {
            checks.push(download::look(&self.remote, control_plane, &manifest).await);
        }
        checks.push(business::webhooks(control_plane).await);
        checks.push(business::licenses(control_plane, now).await);
        checks.push(business::audit_log(control_plane).await);
    }
}

/// Reads something, or says under this name why that cannot be.
async fn ask<T: DeserializeOwned>(
    control_plane: &ControlPlane,
    name: &'static str,
    path: &str,
) -> Result<T, Check> {
    control_plane
        .get(path)
        .await
        .map_err(|error| unanswered(name, &error))
}

/// What it means that there is no answer.
fn unanswered(name: &'static str, error: &Unanswered) -> Check {
    let told = chain(error);
    match error {
        Unanswered::Problem(problem) if problem.status == StatusCode::UNAUTHORIZED.as_u16() => {
            Check::failed(name, told, "log in again: `tollgate login`")
        }
        Unanswered::Problem(problem) if problem.status == StatusCode::FORBIDDEN.as_u16() => {
            Check::skipped(name, told)
        }
        Unanswered::Problem(problem) => {
            let id = problem.request_id.as_deref().unwrap_or("-");
            let fix = format!("look for request id {id} in the server's log");
            Check::failed(name, told, fix)
        }
        Unanswered::Unreachable { .. } | Unanswered::NoControlPlane { .. } => {
            Check::failed(name, told, "see that the server and the way to it are up")
        }
    }
}

/// A day for people.
fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}
