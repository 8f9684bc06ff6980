//! Looks at everything that has to be right before packages can be installed: the way to the
//! control plane and to the gate, the files, the package manager's settings, the token, and a
//! download. It changes nothing and shows no secret.

mod download;
mod files;
mod settings;
mod token;
mod ways;

use activation_token::clock::{Clock, SystemClock};
use jiff::Timestamp;
use terminal::checks::{Check, Checks};
use terminal::reach::chain;

use crate::credentials::Credentials;
use crate::offline;
use crate::project::Project;
use crate::session::{self, Given, Session};
use crate::words;

const ACTIVATION: &str = "activation";
const PACKAGES: &str = "packages";

/// Looks, in the order in which things are to be mended.
pub async fn look(project: &Project, given: &Given, renew: bool) -> Checks {
    let now = SystemClock.now();
    let mut checks = Checks::default();
    let (known, check) = activation(project);
    checks.push(check);
    let session = match &known {
        Some(kept) if kept.license_file.is_some() => {
            checks.push(Check::skipped(
                ways::CONTROL_PLANE,
                "this box has a license file and asks nobody",
            ));
            checks.push(token::offline(kept, now));
            let kept = offline::checked(project, kept.clone(), given.fingerprint.as_deref(), now);
            match kept {
                Ok(kept) => Some(Session::from(kept)),
                Err(error) => {
                    checks.push(failed("license file", &error));
                    None
                }
            }
        }
        _ => online(project, given, known.as_ref(), renew, now, &mut checks).await,
    };
    files::look(project, known.as_ref(), &mut checks);
    if let Some(known) = &known {
        settings::look(project, known, &mut checks);
    }
    if let Some(session) = &session {
        if ways::gate(&session.registry_url, &mut checks).await {
            checks.push(download::look(session).await);
        }
    } else if let Some(known) = &known {
        ways::gate(&known.registry_url, &mut checks).await;
    }
    checks
}

/// What is kept.
fn activation(project: &Project) -> (Option<Credentials>, Check) {
    match Credentials::load(project) {
        Ok(Some(known)) => {
            let seen = format!("tier {}, license {}", known.tier, known.license_id);
            (Some(known), Check::ok(ACTIVATION, seen))
        }
        Ok(None) => {
            let error = session::not_activated(project);
            (None, failed(ACTIVATION, &error.into()))
        }
        Err(error) => (None, failed(ACTIVATION, &error)),
    }
}

/// Looks at the control plane and the token. Returns the session to go on with, if there is a good
/// one.
async fn online(
    project: &Project,
    given: &Given,
    known: Option<&Credentials>,
    renew: bool,
    now: Timestamp,
    checks: &mut Checks,
) -> Option<Session> {
    let url = match session::control_plane(project, given, known) {
        Ok(url) => url,
        Err(error) => {
            checks.push(failed("box.json", &error));
            None
        }
    };
    let Some(url) = url else {
        checks.push(Check::failed(
            ways::CONTROL_PLANE,
            "nobody said where it is",
            "name it with `--control-plane` or BOX_CONTROL_PLANE",
        ));
        return None;
    };
    let (control_plane, there) = ways::control_plane(url, now, checks).await;
    if let Some(known) = known {
        checks.push(token::look(known, control_plane.as_ref(), there, now).await);
    }
    let good = known.filter(|known| known.is_good(now));
    let at_hand = || good.map(|known| Session::from(known.clone()));
    let is_due = known.is_none_or(|known| known.is_due(now));
    // Where the control plane is away, that is told already.
    if control_plane.is_none() {
        return at_hand();
    }
    let is_given = matches!(given.license_key(), Ok(Some(_)));
    if !(renew || is_due) || known.is_none() && !is_given {
        if let Some(known) = known {
            let packages = words::count(known.packages.len(), "package");
            let seen = format!("{packages} when it was renewed last; `--renew` asks again");
            checks.push(Check::skipped(PACKAGES, seen));
        }
        return at_hand();
    }
    match session::preview(project, given).await {
        Ok(session) => {
            checks.push(packages(known, &session));
            Some(session)
        }
        Err(error) => {
            let fix = "ask the vendor, whose audit log tells why";
            checks.push(failed_with(PACKAGES, &error, fix));
            at_hand()
        }
    }
}

/// Whether what is kept is what the license covers now.
fn packages(known: Option<&Credentials>, now: &Session) -> Check {
    let covered = words::count(now.packages.len(), "package");
    let Some(known) = known else {
        return Check::ok(PACKAGES, format!("{covered} are covered"));
    };
    let without = |these: &Session, others: &[manifest::PackageName]| {
        let names = these.packages.iter();
        names.filter(|name| !others.contains(name)).count()
    };
    let kept = Session::from(known.clone());
    let (new, gone) = (without(now, &kept.packages), without(&kept, &now.packages));
    if new + gone == 0 && known.tier == now.credentials.tier {
        return Check::ok(PACKAGES, format!("{covered}, as the license covers them"));
    }
    let tier = &now.credentials.tier;
    Check::warning(
        PACKAGES,
        format!("the license covers others by now: {new} new, {gone} gone, tier {tier}"),
        "take them over: `box renew --force`",
    )
}

/// What an error says, and its hint as what to do.
fn failed(name: &'static str, error: &anyhow::Error) -> Check {
    let fix = "mend that; `box activate` with the license key begins anew";
    failed_with(name, error, fix)
}

/// The same with what to do where it has no hint.
fn failed_with(name: &'static str, error: &anyhow::Error, fix: &str) -> Check {
    let told = chain(error.as_ref());
    let (seen, fix) = told.split_once("\n  hint: ").unwrap_or((&told, fix));
    Check::failed(name, seen, fix)
}
