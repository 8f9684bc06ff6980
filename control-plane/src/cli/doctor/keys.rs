//! The signing keys.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use terminal::ControlPlane;
use terminal::checks::Check;
use terminal::reach::length;

use super::{ask, day};

const NAME: &str = "signing keys";
/// A schedule that is over by so much is not kept.
const OVERDUE: SignedDuration = SignedDuration::from_hours(24);
/// Boxes feel a removal for so long: until each has activated again.
const FELT: SignedDuration = SignedDuration::from_hours(24);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    signing_keys: Vec<Key>,
    next_rotation_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    id: String,
    state: String,
    signs_from: Timestamp,
    removed_at: Option<Timestamp>,
}

pub(super) async fn look(control_plane: &ControlPlane, now: Timestamp) -> Check {
    match ask(control_plane, NAME, "/v1/signing-keys").await {
        Ok(list) => judge(&list, now),
        Err(check) => check,
    }
}

fn judge(list: &List, now: Timestamp) -> Check {
    let find = |state| list.signing_keys.iter().find(|key| key.state == state);
    let Some(signing) = find("signing") else {
        let fix = "make one: `tollgate key rotate`";
        return Check::failed(NAME, "no key signs, so no box can activate", fix);
    };
    let age = length(now.duration_since(signing.signs_from));
    let signs = format!("{} has signed for {age}", short(&signing.id));
    let removed = list.signing_keys.iter().find(|key| {
        let removed = key.removed_at.map(|at| now.duration_since(at));
        removed.is_some_and(|ago| ago < FELT)
    });
    if let Some(removed) = removed {
        let seen = format!("{signs}; {} was removed by force", short(&removed.id));
        let fix = "boxes with its tokens have to activate again: tell the customers";
        return Check::warning(NAME, seen, fix);
    }
    match (list.next_rotation_at, find("pending")) {
        (_, Some(pending)) => {
            let from = pending.signs_from;
            Check::ok(
                NAME,
                format!("{signs}; {} from {from} on", short(&pending.id)),
            )
        }
        (Some(next), None) if now.duration_since(next) > OVERDUE => {
            let seen = format!("{signs}; the next was due on {}", day(next));
            Check::warning(NAME, seen, "the server's log says why no key was made")
        }
        (Some(next), None) => Check::ok(NAME, format!("{signs}; the next comes on {}", day(next))),
        (None, None) => Check::warning(
            NAME,
            format!("{signs}; no other is to come"),
            "serve with `--key-rotation-days`, or rotate by hand: `tollgate key rotate`",
        ),
    }
}

/// As much of a thumbprint as people compare.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use terminal::checks::State;

    use super::*;

    fn seen(keys: &serde_json::Value, next: Option<&str>) -> (State, String) {
        let list = json!({ "signingKeys": keys, "nextRotationAt": next });
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let check = judge(&serde_json::from_value(list).unwrap(), now);
        (check.state, check.seen)
    }

    #[test]
    fn keys_are_well_when_one_signs_and_the_next_is_to_come() {
        let key = |state: &str, from: &str, removed: Option<&str>| {
            let id = format!("{state}-thumbprint");
            json!({ "id": id, "state": state, "signsFrom": from, "removedAt": removed })
        };
        let signing = key("signing", "2026-11-19T12:00:00Z", None);
        let pending = key("pending", "2026-11-22T12:00:00Z", None);
        let removed = key(
            "removed",
            "2026-11-01T12:00:00Z",
            Some("2026-11-21T11:00:00Z"),
        );
        let long_gone = key(
            "removed",
            "2026-11-01T12:00:00Z",
            Some("2026-11-02T11:00:00Z"),
        );
        for (keys, next, state, part) in [
            (json!([]), None, State::Failed, "no key signs"),
            (
                json!([&signing]),
                Some("2027-02-01T00:00:00Z"),
                State::Ok,
                "for 2 d 0 h; the next comes on 2027-02-01",
            ),
            (
                json!([&signing, &long_gone]),
                Some("2027-02-01T00:00:00Z"),
                State::Ok,
                "the next",
            ),
            (
                json!([&pending, &signing]),
                None,
                State::Ok,
                "from 2026-11-22",
            ),
            (
                json!([&signing]),
                Some("2026-11-19T00:00:00Z"),
                State::Warning,
                "was due on 2026-11-19",
            ),
            (
                json!([&signing]),
                None,
                State::Warning,
                "no other is to come",
            ),
            (
                json!([&signing, &removed]),
                Some("2027-02-01T00:00:00Z"),
                State::Warning,
                "removed by force",
            ),
        ] {
            let seen = seen(&keys, next);
            assert!(seen.0 == state && seen.1.contains(part), "{part}: {seen:?}");
        }
    }
}
