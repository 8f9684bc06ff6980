//! The life of a license: sold, changed, suspended, given another key, at its end.

use axum::http::Method;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Plane, path_of, refused};

/// The one answer to every key that cannot be used.
const UNUSABLE: (u16, &str) = (403, "license_unusable");

#[tokio::test]
async fn pot_19_a_key_is_minted_once_and_activated_any_number_of_times() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        for _ in 0..5 {
            let answer = plane.activate(&license["key"], "f-1").await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert!(answer.body.get("key").is_none());
        }
    }
}

/// Adopted differently: the prefix is the vendor's to choose, and `tgl_live` by default.
#[tokio::test]
async fn pot_21_keys_carry_a_visible_prefix() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let key = license["key"].as_str().unwrap();
        assert!(activation_token::credential::is_well_formed(
            "tgl_live", key
        ));
    }
    let arguments = ["--license-key-prefix", "pk_live"];
    let tollgate = tests::Tollgate::start_on(tests::Database::Sqlite, SMALL, &arguments).await;
    let vendor = tests::Vendor::of(&tollgate);
    let key = vendor.issue("basic").await;
    assert!(key.starts_with("pk_live_"), "{key:.8}");
    assert_eq!(vendor.activate(&key).await.body["tier"], "basic");
}

#[tokio::test]
async fn pot_22_a_license_says_what_was_ordered_and_lasts_where_no_end_was() {
    for plane in Plane::on_each(SMALL).await {
        let order = json!({
            "customerId": "c-1", "tier": "basic", "expiresAt": "2027-01-01T00:00:00Z",
            "expiryStrategy": "maintain", "graceSeconds": 86_400, "maxBoxes": 3,
            "leaseSeconds": 7_200, "addOns": ["@acme/loyalty"], "metadata": { "order": "4711" },
        });
        let license = plane.issue(order.clone()).await;
        for (member, value) in order.as_object().unwrap() {
            assert_eq!(&license[member], value, "{member}");
        }
        assert_eq!(license["tierSource"], "license");
        assert_eq!(license["status"], "active");
        assert_eq!(license["boxes"], json!({ "used": 0, "limit": 3 }));
        assert_eq!(license["createdAt"], "2026-11-21T12:00:00Z");

        let plain = plane.issue(json!({ "customerId": "c-1" })).await;
        assert_eq!(plain["expiresAt"], Value::Null);
        assert_eq!(plain["boxes"], json!({ "used": 0, "limit": 2 }));
        plane.clock.advance_seconds(50 * 366 * 24 * 3600);
        assert_eq!(plane.activate(&plain["key"], "f-1").await.status, 200);
    }
}

#[tokio::test]
async fn a_change_sets_what_it_names_and_null_takes_away() {
    for plane in Plane::on_each(SMALL).await {
        let full = json!({
            "customerId": "c-1", "tier": "growth", "expiresAt": "2027-01-01T00:00:00Z",
            "expiryStrategy": "maintain", "graceSeconds": 60, "maxBoxes": 3,
            "leaseSeconds": 7_200, "addOns": ["@acme/loyalty"],
            "metadata": { "a": "1", "b": "2" },
        });
        let license = plane.issue(full).await;
        let unchanged = plane.change(&license, json!({})).await;
        let mut shown = license.clone();
        shown.as_object_mut().unwrap().remove("key");
        assert_eq!(unchanged, shown);

        // Each member alone: it changes, and nothing else does.
        for (change, member, now) in [
            (json!({ "tier": null }), "tier", json!("basic")),
            (json!({ "tier": "growth" }), "tier", json!("growth")),
            (json!({ "maxBoxes": null }), "maxBoxes", json!(null)),
            (json!({ "maxBoxes": 7 }), "maxBoxes", json!(7)),
            (json!({ "leaseSeconds": null }), "leaseSeconds", json!(null)),
            (json!({ "leaseSeconds": 3660 }), "leaseSeconds", json!(3660)),
            (json!({ "addOns": null }), "addOns", json!([])),
            (
                json!({ "addOns": ["@acme/order"] }),
                "addOns",
                json!(["@acme/order"]),
            ),
            (
                json!({ "expiryStrategy": null }),
                "expiryStrategy",
                json!("restrict"),
            ),
            (json!({ "graceSeconds": null }), "graceSeconds", json!(0)),
            (json!({ "graceSeconds": 9 }), "graceSeconds", json!(9)),
            (
                json!({ "metadata": { "a": null, "c": "3" } }),
                "metadata",
                json!({ "b": "2", "c": "3" }),
            ),
            (
                json!({ "metadata": {} }),
                "metadata",
                json!({ "b": "2", "c": "3" }),
            ),
            (
                json!({ "expiresAt": null, "graceSeconds": 0 }),
                "expiresAt",
                json!(null),
            ),
        ] {
            let before = plane.read(&path_of(&license)).await;
            let answered = plane.change(&license, change.clone()).await;
            assert_eq!(answered, plane.read(&path_of(&license)).await, "{change}");
            assert_eq!(answered[member], now, "{change}");
            let follows = |name: &str| {
                change.get(name).is_some()
                    || (name == "tierSource" && member == "tier")
                    || (name == "boxes" && matches!(member, "tier" | "maxBoxes"))
            };
            for (name, value) in answered.as_object().unwrap() {
                assert!(follows(name) || value == &before[name], "{change}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_that_breaks_a_rule_changes_nothing() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let before = (plane.read(&path_of(&license)).await, plane.audit_rows());
        let long: serde_json::Map<_, _> = (0..51).map(|n| (n.to_string(), json!("x"))).collect();
        for (change, code) in [
            (json!({ "tier": "gold" }), "unknown_tier"),
            (json!({ "addOns": ["@acme/nope"] }), "unknown_package"),
            (json!({ "maxBoxes": 0 }), "invalid_fields"),
            (json!({ "leaseSeconds": 3659 }), "invalid_fields"),
            (
                json!({ "leaseSeconds": 4_000_000_000_u32 }),
                "invalid_fields",
            ),
            (json!({ "graceSeconds": 1 }), "invalid_fields"),
            (json!({ "metadata": { "": "x" } }), "invalid_fields"),
            (json!({ "metadata": long }), "invalid_fields"),
            (json!({ "reason": "" }), "invalid_fields"),
            (json!({ "customerId": "c-2" }), "invalid_body"),
            (json!({ "status": "active" }), "invalid_body"),
        ] {
            let answer = plane.ask(Method::PATCH, &path_of(&license), &change).await;
            assert_eq!(refused(&answer), (422, code), "{change}");
        }
        let after = (plane.read(&path_of(&license)).await, plane.audit_rows());
        assert_eq!(before, after);
    }
}

#[tokio::test]
async fn suspending_can_be_taken_back_and_revoking_cannot() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let activate = || plane.activate(&license["key"], "f-1");
        let token = activate().await.body["token"].clone();
        assert!(plane.passes(&token).await);

        for _ in 0..2 {
            let suspended = plane.decide(&license, "suspend").await;
            assert_eq!(
                (suspended.status.as_u16(), &suspended.body["status"]),
                (200, &json!("suspended"))
            );
        }
        assert!(!plane.passes(&token).await);
        assert_eq!(refused(&activate().await), UNUSABLE);
        // It may still be changed and given another key.
        plane
            .change(&license, json!({ "metadata": { "why": "unpaid" } }))
            .await;

        assert_eq!(plane.decide(&license, "reinstate").await.status, 200);
        assert!(!plane.passes(&token).await, "the boxes activate once more");
        let token = activate().await.body["token"].clone();
        assert!(plane.passes(&token).await);

        for _ in 0..2 {
            assert_eq!(
                plane.decide(&license, "revoke").await.body["status"],
                "revoked"
            );
        }
        assert!(!plane.passes(&token).await);
        assert_eq!(refused(&activate().await), UNUSABLE);
        for verb in ["suspend", "reinstate"] {
            assert_eq!(
                refused(&plane.decide(&license, verb).await),
                (409, "license_revoked")
            );
        }
        let path = path_of(&license);
        let growth = json!({ "tier": "growth" });
        let change = plane.ask(Method::PATCH, &path, &growth).await;
        assert_eq!(refused(&change), (409, "license_revoked"));
        assert_eq!(
            refused(&plane.decide(&license, "rotate-key").await),
            (409, "license_revoked")
        );
        assert_eq!(plane.read(&path).await["status"], "revoked");
    }
}

/// The next key of a license.
async fn rotate(plane: &Plane, license: &Value, overlap: u32) -> Value {
    let path = format!("{}/rotate-key", path_of(license));
    let body = json!({ "overlapSeconds": overlap, "reason": "a test" });
    let answer = plane.ask(Method::POST, &path, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["key"].clone()
}

#[tokio::test]
async fn a_rotated_key_is_good_for_the_overlap_and_no_second_longer() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "tier": "growth" }))
            .await;
        let good = async |key: &Value| plane.activate(key, "f-1").await.status == 200;
        let first = license["key"].clone();
        let box_id = plane.activate(&first, "f-1").await.body["boxId"].clone();
        let token = plane.activate(&first, "f-1").await.body["token"].clone();
        let second = rotate(&plane, &license, 60).await;
        assert!(first != second && good(&first).await && good(&second).await);
        assert_eq!(plane.activate(&second, "f-1").await.body["boxId"], box_id);
        assert!(plane.passes(&token).await, "tokens go on");

        // Three keys at once, each with its own end.
        plane.clock.advance_seconds(30);
        let third = rotate(&plane, &license, 60).await;
        assert!(good(&first).await && good(&second).await && good(&third).await);
        plane.clock.advance_seconds(29);
        assert!(good(&first).await);
        plane.clock.advance_seconds(1);
        assert!(!good(&first).await && good(&second).await && good(&third).await);

        // Without an overlap, every older key ends now.
        let fourth = rotate(&plane, &license, 0).await;
        for old in [&first, &second, &third] {
            assert_eq!(refused(&plane.activate(old, "f-1").await), UNUSABLE);
        }
        assert!(good(&fourth).await);
        plane.clock.advance_seconds(90 * 24 * 3600);
        assert!(good(&fourth).await);

        let body = json!({ "overlapSeconds": 7_776_001, "reason": "a test" });
        let path = format!("{}/rotate-key", path_of(&license));
        let answer = plane.ask(Method::POST, &path, &body).await;
        assert_eq!(refused(&answer), (422, "invalid_fields"));
    }
}

#[tokio::test]
async fn grace_is_shown_and_the_strategy_decides_what_comes_after() {
    for plane in Plane::on_each(SMALL).await {
        let order = |strategy: &str| {
            plane.issue(json!({
                "customerId": "c-1", "tier": "growth", "expiresAt": "2026-11-21T12:01:00.9Z",
                "graceSeconds": 60, "expiryStrategy": strategy,
            }))
        };
        let (restrict, maintain) = (order("restrict").await, order("maintain").await);
        for license in [&restrict, &maintain] {
            assert_eq!(plane.activate(&license["key"], "old").await.status, 200);
        }
        // In whole seconds: the one in which it ends is over already.
        for (wait, status, new_box) in [
            (59, "active", 200),
            (1, "grace", 200),
            (59, "grace", 200),
            (1, "expired", 403),
            (3600, "expired", 403),
        ] {
            plane.clock.advance_seconds(wait);
            for license in [&restrict, &maintain] {
                assert_eq!(plane.read(&path_of(license)).await["status"], status);
                let fingerprint = format!("new-{wait}-{status}");
                let answer = plane.activate(&license["key"], &fingerprint).await;
                assert_eq!(answer.status, new_box, "{status}: {}", answer.text);
            }
            let old = plane.activate(&restrict["key"], "old").await;
            assert_eq!(old.status, new_box, "{status}");
            if new_box == 200 {
                assert!(old.body["expiresIn"].as_i64().unwrap() <= 120);
            }
            let old = plane.activate(&maintain["key"], "old").await;
            assert_eq!(
                (old.status.as_u16(), &old.body["expiresIn"]),
                (200, &json!(3600))
            );
        }
        // Renewed, it is good again.
        plane
            .change(&restrict, json!({ "expiresAt": "2027-01-01T00:00:00Z" }))
            .await;
        assert_eq!(plane.activate(&restrict["key"], "old").await.status, 200);
    }
}

#[tokio::test]
async fn add_ons_bring_what_they_require() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "tier": "basic", "addOns": ["@acme/loyalty"] }))
            .await;
        let packages = plane.activate(&license["key"], "f-1").await.body["packages"].clone();
        assert_eq!(
            packages,
            json!([
                "@acme/loyalty",
                "@acme/order",
                "@acme/points",
                "@acme/shared"
            ])
        );
        let snapshot = plane.operations.snapshot().await.unwrap();
        assert!(snapshot.sets.iter().any(|set| json!(set) == packages));
    }
}
