//! What waits for an operator: receivers that are not reached, licenses that end, and the log.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use terminal::checks::Check;
use terminal::{ControlPlane, Unanswered};

use super::{ask, day};
use crate::cli::remote::pages;

/// Licenses that end within so long are told of.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// No more are named.
const NAMED_MAX: usize = 5;

pub(super) async fn webhooks(control_plane: &ControlPlane) -> Check {
    const NAME: &str = "webhooks";
    let all = match rows(control_plane, NAME, "/v1/webhooks?limit=100", "webhooks").await {
        Ok(all) => all,
        Err(check) => return check,
    };
    let failing: Vec<String> = all.iter().filter_map(failing).collect();
    if failing.is_empty() {
        return Check::ok(NAME, format!("{}, none of them failing", all.len()));
    }
    let fix = "see what it answered: `GET /v1/webhooks/{id}/deliveries`; enabled again, it is told what it missed";
    Check::warning(NAME, failing.join("; "), fix)
}

/// What is wrong with a webhook that an operator did not switch off.
fn failing(webhook: &Value) -> Option<String> {
    let text = |name: &str| webhook.get(name).and_then(Value::as_str);
    let id = text("id").unwrap_or("-");
    match (text("disabledReason"), text("failingSince")) {
        (Some("operator"), _) | (None, None) => None,
        (Some(reason), _) => Some(format!("{id} was disabled ({reason})")),
        (None, Some(since)) => Some(format!("{id} is not reached since {since}")),
    }
}

pub(super) async fn licenses(control_plane: &ControlPlane, now: Timestamp) -> Check {
    const NAME: &str = "licenses";
    let until = now.saturating_add(SOON).unwrap_or(now);
    let mut ending = Vec::new();
    for status in ["grace", "active"] {
        let path = format!("/v1/licenses?limit=100&status={status}&expiresBefore={until}");
        match rows(control_plane, NAME, &path, "licenses").await {
            Ok(rows) => ending.extend(rows),
            Err(check) => return check,
        }
    }
    if ending.is_empty() {
        return Check::ok(NAME, "none ends within 14 days");
    }
    let mut told: Vec<String> = ending.iter().take(NAMED_MAX).map(ends).collect();
    if let Some(more) = ending.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        told.push(format!("{more} more"));
    }
    let seen = format!("{} end within 14 days: {}", ending.len(), told.join(", "));
    let fix = "sell them on: `tollgate license change LICENSE --expires-at 1y`";
    Check::warning(NAME, seen, fix)
}

fn ends(license: &Value) -> String {
    let text = |name: &str| license.get(name).and_then(Value::as_str);
    let at = text("expiresAt").and_then(|at| at.parse().ok());
    let (customer, id) = (text("customerId"), text("id"));
    let (customer, id) = (customer.unwrap_or("-"), id.unwrap_or("-"));
    format!(
        "{id} of {customer} on {}",
        at.map_or_else(|| "-".to_owned(), day)
    )
}

pub(super) async fn audit_log(control_plane: &ControlPlane) -> Check {
    const NAME: &str = "audit log";
    let page: Value = match ask(control_plane, NAME, "/v1/audit?limit=1").await {
        Ok(page) => page,
        Err(check) => return check,
    };
    let last = page.pointer("/entries/0");
    let row = last.and_then(|last| last.get("sequence")?.as_i64());
    let at = last.and_then(|last| last.get("at")?.as_str());
    match row.zip(at) {
        Some((row, at)) => Check::ok(NAME, format!("ends at row {row}, written {at}")),
        None => Check::warning(
            NAME,
            "is empty, though this token was made",
            "`tollgate audit verify` on the server says whether rows are gone",
        ),
    }
}

async fn rows(
    control_plane: &ControlPlane,
    name: &'static str,
    path: &str,
    member: &str,
) -> Result<Vec<Value>, Check> {
    pages(control_plane, path, member).await.map_err(|error| {
        match error.downcast_ref::<Unanswered>() {
            Some(error) => super::unanswered(name, error),
            None => Check::failed(name, format!("{error:#}"), "use one version here and there"),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_webhook_that_an_operator_switched_off_is_left_alone() {
        let webhook = |reason: Option<&str>, since: Option<&str>| {
            failing(&json!({ "id": "whk_1", "disabledReason": reason, "failingSince": since }))
        };
        assert_eq!(webhook(None, None), None);
        assert_eq!(
            webhook(Some("operator"), Some("2026-11-21T12:00:00Z")),
            None
        );
        assert_eq!(
            webhook(Some("gone"), None).as_deref(),
            Some("whk_1 was disabled (gone)")
        );
        assert_eq!(
            webhook(None, Some("2026-11-21T12:00:00Z")).as_deref(),
            Some("whk_1 is not reached since 2026-11-21T12:00:00Z")
        );
    }
}
