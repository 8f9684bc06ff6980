//! `box status`: what is kept of the activation, in words. It asks no server.

use std::process::ExitCode;

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use terminal::output::{print, print_json, say};

use crate::credentials::Credentials;
use crate::offline;
use crate::project::Project;
use crate::words;

/// A license that ends within this is warned of.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Shows the activation.
#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Runs it.
    pub fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let Some(known) = Credentials::load(project)? else {
            return self.nothing(project);
        };
        let now = SystemClock.now();
        let known = if known.license_file.is_some() {
            offline::checked(project, known, None, now)?
        } else {
            known
        };
        if self.json {
            print_json(&as_json(&known, now))?;
        } else {
            print(&as_text(&known, now))?;
        }
        for warning in warnings(&known, now) {
            say(&format!("warning: {warning}"))?;
        }
        if let Some(advice) = offline::advice(&known, now) {
            say(&advice)?;
        }
        Ok(ExitCode::from(u8::from(!known.is_good(now))))
    }

    fn nothing(&self, project: &Project) -> anyhow::Result<ExitCode> {
        if self.json {
            print_json(&json!({ "activated": false }))?;
        } else {
            let root = project.root().display();
            print(&format!("`{root}` is not activated\n"))?;
            say("hint: run `box activate`")?;
        }
        Ok(ExitCode::FAILURE)
    }
}

fn as_text(known: &Credentials, now: Timestamp) -> String {
    let expiry = match known.license_expires_at {
        Some(at) if at <= now => format!("expired {}", words::until(at, now)),
        Some(at) => format!("expires {}", words::until(at, now)),
        None => "does not expire".to_owned(),
    };
    let token = if known.is_good(now) {
        "until"
    } else {
        "over since"
    };
    let mut rows = vec![
        ("tier", known.tier.clone()),
        ("customer", known.customer_id.clone()),
        ("license", format!("{}, {expiry}", known.license_id)),
        ("packages", known.packages.len().to_string()),
        ("registry", known.registry_url.to_string()),
        (
            "token",
            format!("{token} {}", words::until(known.expires_at, now)),
        ),
    ];
    if let Some(seat) = seat(known) {
        rows.insert(3, ("seat", seat));
    }
    let rows = rows.iter();
    words::lines(rows.map(|(name, value)| format!("{name:<10}{value}")))
}

/// How many seats are taken, as the last activation told.
fn seat(known: &Credentials) -> Option<String> {
    let used = known.boxes_used?;
    Some(match known.boxes_limit {
        Some(limit) => format!("{used} of {limit}"),
        None => format!("{used}, of any number"),
    })
}

fn as_json(known: &Credentials, now: Timestamp) -> serde_json::Value {
    json!({
        "activated": true,
        "tier": known.tier,
        "customerId": known.customer_id,
        "licenseId": known.license_id,
        "boxId": known.box_id,
        "boxName": known.name,
        "fingerprint": known.fingerprint,
        "controlPlaneUrl": known.control_plane_url,
        "registryUrl": known.registry_url,
        "packages": known.packages.len(),
        "boxesUsed": known.boxes_used,
        "boxesLimit": known.boxes_limit,
        "activatedAt": known.activated_at,
        "tokenIssuedAt": known.issued_at,
        "tokenExpiresAt": known.expires_at,
        "tokenGood": known.is_good(now),
        "licenseExpiresAt": known.license_expires_at,
        "offline": known.license_file.is_some(),
    })
}

fn warnings(known: &Credentials, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(back) = known.clock_set_back(now) {
        warnings.push(words::clock_behind(back));
    }
    if !known.is_good(now) && known.license_file.is_none() {
        warnings.push("the token is over\n  hint: run `box renew`".to_owned());
    }
    if let Some(at) = known.license_expires_at
        && at.duration_since(now) <= SOON
    {
        let verb = if at <= now { "expired" } else { "expires" };
        let when = words::until(at, now);
        warnings.push(format!(
            "the license {verb} {when}\n  hint: ask the vendor to renew it"
        ));
    }
    warnings
}
