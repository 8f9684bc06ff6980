//! `box status`: what is kept, without asking anybody.

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use terminal::output::{print, print_json};
use terminal::{Exit, Failure};

use crate::credentials::Credentials;
use crate::project::Project;
use crate::session;
use crate::words;

/// A license is warned of so long before it expires.
const WARNED_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 14);

/// How it is printed.
#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Prints what this box has; fails where it can install nothing.
    pub fn run(&self, project: &Project) -> anyhow::Result<()> {
        let kept = session::kept(project)?;
        let now = SystemClock.now();
        if self.json {
            print_json(&document(&kept, now))?;
        } else {
            print(&told(&kept, now))?;
        }
        if kept.is_good(now) {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, "the token is over")
            .hint("`box renew` gets another")
            .into())
    }
}

fn told(kept: &Credentials, now: Timestamp) -> String {
    let mut lines = vec![
        ("tier", kept.tier.clone()),
        ("packages", kept.packages.len().to_string()),
        ("registry", kept.registry_url.to_string()),
        ("customer", kept.customer_id.clone()),
        ("license", kept.license_id.clone()),
    ];
    if let Some(seat) = seat(kept) {
        lines.push(("seat", seat));
    }
    lines.push(("token until", words::until(kept.expires_at, now)));
    let expires = kept.license_expires_at;
    let expires = expires.map_or("never".to_owned(), |at| words::until(at, now));
    lines.push(("license until", expires));
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:13}  {value}\n"));
    let warning = warning(kept, now).map(|warning| format!("warning: {warning}\n"));
    lines.chain(warning).collect::<Vec<_>>().concat()
}

/// The box's own seat among those that there are; none where boxes are not counted.
fn seat(kept: &Credentials) -> Option<String> {
    let box_id = kept.box_id.as_ref()?;
    Some(match (kept.boxes_used, kept.boxes_limit) {
        (Some(used), Some(limit)) => format!("{box_id}, {used} of {limit} taken"),
        (Some(used), None) => format!("{box_id}, {used} taken of any number"),
        (None, _) => box_id.clone(),
    })
}

fn warning(kept: &Credentials, now: Timestamp) -> Option<String> {
    let at = kept.license_expires_at?;
    if at > now.saturating_add(WARNED_BEFORE).unwrap_or(now) {
        return None;
    }
    let verb = if at > now { "expires" } else { "expired" };
    Some(format!(
        "the license {verb} {}; ask your vendor to renew it",
        words::until(at, now)
    ))
}

fn document(kept: &Credentials, now: Timestamp) -> serde_json::Value {
    json!({
        "tier": kept.tier,
        "packages": kept.packages,
        "registryUrl": kept.registry_url,
        "controlPlaneUrl": kept.control_plane_url,
        "customerId": kept.customer_id,
        "licenseId": kept.license_id,
        "licenseExpiresAt": kept.license_expires_at,
        "boxId": kept.box_id,
        "boxesUsed": kept.boxes_used,
        "boxesLimit": kept.boxes_limit,
        "fingerprint": kept.fingerprint,
        "tokenExpiresAt": kept.expires_at,
        "tokenIsGood": kept.is_good(now),
    })
}
