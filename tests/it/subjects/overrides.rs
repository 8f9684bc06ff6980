//! Overrides: set, cleared, refused, and on record.

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::SELLING;
use tests::plane::{Plane, refused};

use super::*;

#[tokio::test]
async fn ent_17_18_19_overrides_add_up_and_may_give_and_take() {
    for plane in Plane::on_each(SELLING).await {
        let first =
            json!({ "features": { "sso": true }, "limits": { "seats": 50 }, "reason": "a deal" });
        let standing = patch(&plane, first).await;
        assert_eq!(feature(&standing, "sso"), "on by override");
        assert_eq!(limit(&standing, "seats"), "50 by override");
        assert_eq!(limit(&standing, "boxes"), "2 by tier", "an untouched key");
        // A second call adds to the first, and repeats only what it names.
        let second =
            json!({ "features": { "export_csv": false }, "limits": { "api_calls": null } });
        let standing = patch(&plane, second).await;
        assert_eq!(feature(&standing, "sso"), "on by override");
        assert_eq!(feature(&standing, "export_csv"), "off by override");
        assert_eq!(limit(&standing, "seats"), "50 by override");
        assert_eq!(limit(&standing, "api_calls"), "null by override");
        let standing = patch(&plane, json!({ "limits": { "seats": 0 } })).await;
        assert_eq!(limit(&standing, "seats"), "0 by override");
        assert_eq!(
            standing["overrides"],
            json!({
                "features": { "export_csv": false, "sso": true },
                "limits": { "api_calls": null, "seats": 0 },
            })
        );
        // ENT-26: they outlast the tier.
        assign(&plane, "growth").await;
        let standing = plane.read(HERE).await;
        assert_eq!(feature(&standing, "export_csv"), "off by override");
        assert_eq!(limit(&standing, "boxes"), "20 by tier");
        assert_eq!(standing["tierSource"], "manual");
    }
}

#[tokio::test]
async fn ent_21_an_override_that_breaks_a_rule_stores_nothing() {
    for plane in Plane::on_each(SELLING).await {
        patch(&plane, json!({ "limits": { "seats": 7 } })).await;
        let (before, rows) = (plane.read(HERE).await, plane.audit_rows());
        let good = json!({ "sso": true });
        for (body, code) in [
            (json!({}), "invalid_fields"),
            (json!({ "features": {}, "limits": {} }), "invalid_fields"),
            (
                json!({ "features": { "sso": true, "ssso": true } }),
                "unknown_feature",
            ),
            (json!({ "features": { "seats": true } }), "unknown_feature"),
            (
                json!({ "features": good, "limits": { "boxen": 5 } }),
                "unknown_limit",
            ),
            (
                json!({ "features": good, "limits": { "seats": 1_u64 << 63 } }),
                "invalid_fields",
            ),
            (json!({ "features": { "sso": "yes" } }), "invalid_body"),
            (json!({ "features": { "sso": null } }), "invalid_body"),
            (
                json!({ "features": good, "limits": { "seats": -1 } }),
                "invalid_body",
            ),
            (
                json!({ "features": good, "limits": { "seats": 1.5 } }),
                "invalid_body",
            ),
            (
                json!({ "features": good, "limits": { "seats": "9" } }),
                "invalid_body",
            ),
            (json!({ "features": good, "other": 1 }), "invalid_body"),
            (json!({ "features": good, "reason": "" }), "invalid_fields"),
        ] {
            let answer = plane.ask(Method::PATCH, OVERRIDES, &body).await;
            assert_eq!(refused(&answer), (422, code), "{body}");
            assert_eq!(plane.read(HERE).await, before, "{body}");
        }
        let unknown = json!({ "features": { "ssso": true } });
        let answer = plane.ask(Method::PATCH, OVERRIDES, &unknown).await;
        assert_eq!(
            answer.body["detail"],
            "unknown feature `ssso`; the features are sso, export_csv, ai_assist, beta; \
             did you mean `sso`?"
        );
        assert_eq!(plane.audit_rows(), rows);
    }
}

#[tokio::test]
async fn ent_22_23_25_overrides_are_cleared_whole_or_by_name() {
    for plane in Plane::on_each(SELLING).await {
        let clear = async |query: &str| {
            let path = format!("{OVERRIDES}{query}");
            ask(&plane, Method::DELETE, &path, Value::Null).await["overrides"].clone()
        };
        let none = json!({ "features": {}, "limits": {} });
        assert_eq!(clear("").await, none, "of a subject without any");
        let all = json!({
            "features": { "sso": true, "export_csv": false }, "limits": { "seats": 9, "boxes": 1 },
        });
        patch(&plane, all.clone()).await;
        // What is not there is passed over, a name of the other kind as well.
        assert_eq!(clear("?features=beta,seats,nothing&limits=sso").await, all);
        assert_eq!(
            clear("?features=sso,nothing&limits=seats").await,
            json!({ "features": { "export_csv": false }, "limits": { "boxes": 1 } })
        );
        assert_eq!(
            clear("?limits=boxes&reason=over").await,
            json!({ "features": { "export_csv": false }, "limits": {} })
        );
        patch(&plane, all).await;
        assert_eq!(clear("").await, none);
        let standing = plane.read(HERE).await;
        assert_eq!(feature(&standing, "export_csv"), "on by tier");
        assert_eq!(limit(&standing, "seats"), "5 by tier");
        let path = format!("{OVERRIDES}?feature=sso");
        let bad = plane.ask(Method::DELETE, &path, &Value::Null).await;
        assert_eq!(refused(&bad), (400, "invalid_query"));
    }
}

#[tokio::test]
async fn every_change_stands_in_the_audit_log_with_what_was_before() {
    for plane in Plane::on_each(SELLING).await {
        patch(&plane, json!({ "limits": { "seats": 9 } })).await;
        patch(
            &plane,
            json!({ "features": { "sso": true }, "limits": { "seats": null }, "reason": "a deal" }),
        )
        .await;
        let path = format!("{OVERRIDES}?limits=seats&reason=over");
        ask(&plane, Method::DELETE, &path, Value::Null).await;
        let bought = json!({ "addOns": ["more_seats"], "reason": "paid" });
        ask(&plane, Method::PUT, ADD_ONS, bought).await;
        let off = json!({ "on": false, "reason": "an incident" });
        ask(&plane, Method::PUT, "/v1/switches/sso", off).await;
        let entries = plane.read("/v1/audit?limit=4").await["entries"].clone();
        let actor = plane.read("/v1/credentials").await["credentials"][0]["id"].clone();
        let told: Vec<Value> = entries
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                assert_eq!(entry["actor"], actor);
                json!([
                    entry["action"],
                    entry["subject"],
                    entry["before"],
                    entry["after"],
                    entry["reason"]
                ])
            })
            .collect();
        let both = json!({ "features": { "sso": true }, "limits": { "seats": null } });
        assert_eq!(
            told,
            [
                json!(["switch.set", "sso", null, { "on": false, "version": 1 }, "an incident"]),
                json!(["subject.set_add_ons", "c-1", { "addOns": [] }, { "addOns": ["more_seats"] }, "paid"]),
                json!(["subject.clear_override", "c-1", both, { "features": { "sso": true }, "limits": {} }, "over"]),
                json!(["subject.override", "c-1", { "features": {}, "limits": { "seats": 9 } }, both, "a deal"]),
            ]
        );
    }
}

#[tokio::test]
async fn ent_20_of_a_hundred_overrides_at_once_none_is_lost() {
    let limits: Vec<String> = (0..100).map(|nth| format!("l_{nth:03}")).collect();
    let manifest = SELLING.replace(
        "\"api_calls\"]",
        &format!(
            "\"api_calls\", {}]",
            limits
                .iter()
                .map(|l| format!("{l:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    );
    for plane in Plane::on_each(&manifest).await {
        let patches = limits.iter().enumerate().map(|(nth, name)| {
            let plane = &plane;
            async move {
                let body = json!({ "limits": { name.as_str(): nth } });
                plane
                    .ask(Method::PATCH, OVERRIDES, &body)
                    .await
                    .status
                    .as_u16()
            }
        });
        assert_eq!(join_all(patches).await, [200; 100]);
        let standing = plane.read(HERE).await["overrides"]["limits"].clone();
        let all: serde_json::Map<_, _> = limits
            .iter()
            .enumerate()
            .map(|(nth, l)| (l.clone(), json!(nth)))
            .collect();
        assert_eq!(standing, Value::Object(all));
    }
}
