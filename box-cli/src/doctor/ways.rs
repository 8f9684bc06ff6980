//! The ways to the control plane and to the gate.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Method};
use terminal::checks::{Check, Checks};
use terminal::control_plane::date;
use terminal::reach::{self, chain};
use terminal::{ControlPlane, Unanswered};
use url::Url;

/// The check's name.
pub(super) const CONTROL_PLANE: &str = "control plane";
const TLS: &str = "tls";
const GATE: &str = "gate";
const GATE_TLS: &str = "gate tls";
const TIMEOUT: Duration = Duration::from_secs(30);
const CERTIFICATE: &str = "have the vendor renew the certificate, or install the authority that \
                           signed it on this machine";

/// The control plane, if it answers, and what time it is there.
pub(super) async fn control_plane(
    url: Url,
    now: Timestamp,
    checks: &mut Checks,
) -> (Option<ControlPlane>, Option<Timestamp>) {
    let control_plane = match ControlPlane::new(url, None) {
        Ok(control_plane) => control_plane,
        Err(error) => {
            checks.push(super::failed(CONTROL_PLANE, &error));
            return (None, None);
        }
    };
    match control_plane.send(Method::GET, "/livez", None).await {
        Ok(answer) => {
            let url = control_plane.url();
            checks.push(Check::ok(CONTROL_PLANE, format!("answers at {url}")));
            checks.push(reach::transport(TLS, url));
            let there = date(&answer);
            checks.push(reach::clock(there, now));
            (Some(control_plane), there)
        }
        Err(error) => {
            checks.push(unreachable(&error));
            (None, None)
        }
    }
}

fn unreachable(error: &Unanswered) -> Check {
    let told = chain(error);
    if is_of_certificate(&told) {
        return Check::failed(TLS, told, CERTIFICATE);
    }
    let fix = "see that the address is right, and that a firewall or proxy lets this machine there";
    Check::failed(CONTROL_PLANE, told, fix)
}

fn is_of_certificate(told: &str) -> bool {
    told.contains("certificate")
}

/// A client for the gate. It follows no redirect: the token is for the gate alone.
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
}

/// Whether the gate answers.
pub(super) async fn gate(url: &Url, checks: &mut Checks) -> bool {
    let url = url.as_str().trim_end_matches('/');
    let answer = match client() {
        Ok(client) => client.get(format!("{url}/-/ping")).send().await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let told = chain(&error.without_url());
            checks.push(if is_of_certificate(&told) {
                Check::failed(GATE_TLS, told, CERTIFICATE)
            } else {
                let seen = format!("cannot reach {url}: {told}");
                let fix = "see that a firewall or proxy lets this machine there";
                Check::failed(GATE, seen, fix)
            });
            return false;
        }
    };
    let status = answer.status();
    if !status.is_success() {
        let seen = format!("{url} answers {status} and not as a gate does");
        let fix = "`box renew --force` asks anew where it is; else ask the vendor";
        checks.push(Check::failed(GATE, seen, fix));
        return false;
    }
    checks.push(Check::ok(GATE, format!("answers at {url}")));
    checks.push(reach::transport(GATE_TLS, url));
    true
}
