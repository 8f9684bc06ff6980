//! The server itself: the way to it, its clock, its version, its database, and our token there.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::Value;
use terminal::checks::{Check, Checks};
use terminal::control_plane::date;
use terminal::{ControlPlane, Unanswered};
use url::{Host, Url};

use super::{ask, chain, length, unanswered};

/// A clock may be off by so much: answers take time, and tell theirs to the second.
const CLOCK_GOOD: SignedDuration = SignedDuration::from_secs(30);
/// Beyond this, times that are written down here are wrong ones there.
const CLOCK_BAD: SignedDuration = SignedDuration::from_mins(5);

/// Whether there is a server that can be asked further.
pub(super) async fn look(
    control_plane: &ControlPlane,
    now: Timestamp,
    checks: &mut Checks,
) -> bool {
    let url = control_plane.url();
    let answer = match control_plane.send(Method::GET, "/livez", None).await {
        Ok(answer) => answer,
        Err(error) => {
            checks.push(unreachable(&error));
            return false;
        }
    };
    checks.push(Check::ok("server", format!("answers at {url}")));
    checks.push(transport("tls", url));
    checks.push(clock(date(&answer), now));
    checks.push(version(control_plane).await);
    checks.push(
        match control_plane.send(Method::GET, "/readyz", None).await {
            Ok(_) => Check::ok("ready", "its database answers"),
            Err(error) => Check::failed(
                "ready",
                chain(&error),
                "see that the database is up and has room; the server's log says more",
            ),
        },
    );
    true
}

fn unreachable(error: &Unanswered) -> Check {
    let told = chain(error);
    if told.contains("certificate") {
        let fix = "renew the certificate, or install the authority that signed it on this machine";
        return Check::failed("tls", told, fix);
    }
    let fix =
        "is `tollgate serve` running there, and is that its address? `--server URL` names another";
    Check::failed("server", told, fix)
}

/// How requests travel.
pub(super) fn transport(name: &'static str, url: &str) -> Check {
    let Ok(url) = url.parse::<Url>() else {
        return Check::skipped(name, "the address is none");
    };
    let on_this_machine = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" {
        Check::ok(name, "its certificate verifies")
    } else if on_this_machine {
        Check::skipped(name, "plain HTTP, on this machine")
    } else {
        let fix = "give the server a certificate, or put a TLS proxy in front of it";
        Check::warning(name, "tokens travel unencrypted", fix)
    }
}

fn clock(theirs: Option<Timestamp>, ours: Timestamp) -> Check {
    let Some(theirs) = theirs else {
        return Check::skipped("clock", "the server does not tell its time");
    };
    let ahead = ours.duration_since(theirs);
    let seen = match ahead.abs() {
        off if off <= CLOCK_GOOD => return Check::ok("clock", "agrees with the server's"),
        off if ahead.is_positive() => format!("{} ahead of the server's", length(off)),
        off => format!("{} behind the server's", length(off)),
    };
    let fix = "let both machines take their time from the network (NTP)";
    if ahead.abs() > CLOCK_BAD {
        Check::failed("clock", seen, fix)
    } else {
        Check::warning("clock", seen, fix)
    }
}

async fn version(control_plane: &ControlPlane) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    let document: Result<Value, _> = ask(control_plane, "version", "/openapi.json").await;
    let document = match document {
        Ok(document) => document,
        Err(check) => return check,
    };
    match document.pointer("/info/version").and_then(Value::as_str) {
        Some(theirs) if theirs == ours => Check::ok("version", format!("{ours} here and there")),
        theirs => {
            let theirs = theirs.unwrap_or("unknown");
            let seen = format!("{ours} here, {theirs} there");
            Check::warning(
                "version",
                seen,
                "use one version, or not all commands may work",
            )
        }
    }
}

/// Whether the token opens anything.
pub(super) async fn token(control_plane: &ControlPlane) -> Check {
    match control_plane.get::<Value>("/v1/tiers").await {
        Ok(_) => Check::ok("token", "is good"),
        Err(error) => unanswered("token", &error),
    }
}

#[cfg(test)]
mod tests {
    use terminal::checks::State;

    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let seen = |seconds| {
            let theirs = now + SignedDuration::from_secs(seconds);
            let check = clock(Some(theirs), now);
            (check.state, check.seen)
        };
        assert_eq!(seen(30).0, State::Ok);
        assert_eq!(
            seen(-31),
            (State::Warning, "31 s ahead of the server's".to_owned())
        );
        assert_eq!(
            seen(3_700),
            (State::Failed, "1 h 1 min behind the server's".to_owned())
        );
        assert_eq!(clock(None, now).state, State::Skipped);
    }

    #[test]
    fn only_what_leaves_the_machine_must_be_encrypted() {
        for (url, state) in [
            ("https://tollgate.example", State::Ok),
            ("http://127.0.0.1:7400", State::Skipped),
            ("http://[::1]:7400", State::Skipped),
            ("http://localhost", State::Skipped),
            ("http://tollgate.example", State::Warning),
        ] {
            assert_eq!(transport("tls", url).state, state, "{url}");
        }
    }
}
