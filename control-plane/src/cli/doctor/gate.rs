//! The gate that boxes are told of.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use terminal::ControlPlane;
use terminal::checks::{Check, Checks};
use terminal::reach::{self, chain};
use url::Url;

const TIMEOUT: Duration = Duration::from_secs(20);
const NAME: &str = "gate";
const SNAPSHOT: &str = "snapshot";

pub(super) async fn look(control_plane: &ControlPlane, url: Option<&Url>, checks: &mut Checks) {
    let Some(url) = url else {
        return checks.push(Check::skipped(NAME, "the server does not tell where it is"));
    };
    let url = url.as_str().trim_end_matches('/');
    let reached = ready(url).await;
    let is_reached = reached.state != terminal::checks::State::Failed;
    checks.push(reached);
    if is_reached {
        checks.push(reach::transport("gate tls", url));
    }
    checks.push(snapshot(control_plane).await);
}

async fn ready(url: &str) -> Check {
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build();
    let answer = match client {
        Ok(client) => client.get(format!("{url}/readyz")).send().await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let seen = format!("cannot reach {url}: {}", chain(&error.without_url()));
            let fix =
                "boxes cannot install: see that it runs, and that `--gate-url` is what boxes reach";
            return Check::failed(NAME, seen, fix);
        }
    };
    let status = answer.status();
    let told: Value = answer.json().await.unwrap_or_default();
    if status.is_success() && told.get("status").is_some_and(|status| status == "ready") {
        return Check::ok(NAME, format!("is ready at {url}"));
    }
    match told.get("error").and_then(Value::as_str) {
        Some(error) => Check::failed(
            NAME,
            format!("{url} is not ready: {error}"),
            "see that it reaches the control plane; its log says more",
        ),
        None => Check::failed(
            NAME,
            format!("{url} answers {status}, and not as a gate does"),
            "see that `--gate-url` leads to the gate",
        ),
    }
}

/// How old the news is that the gate in the server's process works from.
async fn snapshot(control_plane: &ControlPlane) -> Check {
    let page = match control_plane.send(Method::GET, "/metrics", None).await {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(error) => return super::unanswered(SNAPSHOT, &error),
    };
    let figure = |name: &str| -> Option<f64> {
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.trim().parse().ok()
    };
    let age = figure("tollgate_gate_snapshot_age_seconds");
    let max = figure("tollgate_gate_snapshot_max_stale_seconds");
    match age.zip(max) {
        None => Check::skipped(SNAPSHOT, "not measured yet; the gate's own /metrics tell"),
        Some((age, max)) => judge(age, max),
    }
}

fn judge(age: f64, max: f64) -> Check {
    let seen = format!("is {age:.0} s old; the gate closes at {max:.0} s");
    let fix = "see that the control plane's database answers; its log says more";
    if age >= max {
        Check::failed(SNAPSHOT, seen, fix)
    } else if age >= max / 2.0 {
        Check::warning(SNAPSHOT, seen, fix)
    } else {
        Check::ok(SNAPSHOT, seen)
    }
}

#[cfg(test)]
mod tests {
    use terminal::checks::State;

    use super::*;

    #[test]
    fn a_snapshot_is_looked_after_before_the_gate_closes() {
        let states = [10.0, 450.0, 900.0].map(|age| judge(age, 900.0).state);
        assert_eq!(states, [State::Ok, State::Warning, State::Failed]);
    }
}
