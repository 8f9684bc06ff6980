//! The server itself: the way to it, its clock, its version, its database, and our token there.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::Value;
use terminal::checks::{Check, Checks};
use terminal::control_plane::date;
use terminal::reach::{self, chain, length};
use terminal::{ControlPlane, Unanswered};

use super::ask;

/// An operator token that ends within so long is told of.
const TOKEN_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

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
    checks.push(reach::transport("tls", url));
    checks.push(reach::clock(date(&answer), now));
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

/// What the token opens, and for how long yet.
pub(super) async fn token(control_plane: &ControlPlane, now: Timestamp) -> Check {
    const NAME: &str = "token";
    let own: Value = match ask(control_plane, NAME, "/v1/credentials/self").await {
        Ok(own) => own,
        Err(check) => return check,
    };
    let text = |member: &str| own.get(member).and_then(Value::as_str);
    let (name, kind) = (text("name").unwrap_or("-"), text("kind").unwrap_or("-"));
    let who = match text("role") {
        Some(role) => format!("is good: {name}, with the role {role}"),
        None => format!("is good: {name}, of the kind {kind}"),
    };
    let ends: Option<Timestamp> = text("expiresAt").and_then(|at| at.parse().ok());
    match ends.map(|ends| ends.duration_since(now)) {
        Some(left) if left < TOKEN_SOON => Check::warning(
            NAME,
            format!("{who}, for {} yet", length(left)),
            "make another: `tollgate credential create`, then `tollgate login`",
        ),
        _ => Check::ok(NAME, who),
    }
}
