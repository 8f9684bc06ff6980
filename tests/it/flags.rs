//! Flags: declared, overridden and cleared, by those who may.

use axum::http::Method;
use control_plane::domain::Role;
use serde_json::{Value, json};
use tests::plane::{Answer, Plane, json_request, refused};

/// A manifest with features, limits and flags.
pub(crate) const MANIFEST: &str = r#"
[manifest]
scope = "@acme"
default-tier = "basic"
tiers = ["basic", "growth"]
features = ["sso", "export_csv", "forecast", "what_if"]
limits = ["boxes", "seats", "api_calls"]

[tier.basic]
leaves = ["@acme/order"]
features = { export_csv = true }
limits = { boxes = 2, seats = 5 }

[tier.growth]
leaves = []
features = { export_csv = true, sso = true, forecast = true, what_if = true }
limits = { boxes = "unlimited", seats = 50 }

[feature.forecast]
premium-only = true

[feature.what_if]
requires = ["forecast"]

[flag.new_checkout]
default = false

[flag.assistant]
default = true
premium-only = true

[flag.theme]
default = "classic"
variants = ["classic", "modern"]

[package."@acme/order"]
"#;

fn path(flag: &str, scope: &str) -> String {
    format!("/v1/flags/{flag}/overrides/{scope}")
}

pub(crate) async fn set(plane: &Plane, flag: &str, scope: &str, value: Value) -> Answer {
    let body = json!({ "value": value, "reason": "a trial run" });
    plane.ask(Method::PUT, &path(flag, scope), &body).await
}

pub(crate) async fn clear(plane: &Plane, flag: &str, scope: &str) -> Answer {
    plane
        .ask(Method::DELETE, &path(flag, scope), &Value::Null)
        .await
}

#[tokio::test]
async fn flags_are_listed_as_declared_with_what_holds_for_everyone() {
    for plane in Plane::on_each(MANIFEST).await {
        let listed = plane.read("/v1/flags").await;
        let declared = json!([
            { "name": "new_checkout", "default": false, "variants": [], "premiumOnly": false, "platform": null },
            { "name": "assistant", "default": true, "variants": [], "premiumOnly": true, "platform": null },
            { "name": "theme", "default": "classic", "variants": ["classic", "modern"],
              "premiumOnly": false, "platform": null },
        ]);
        assert_eq!(listed["flags"], declared);
        assert_eq!(
            set(&plane, "theme", "user:bo", json!("modern"))
                .await
                .status,
            200
        );
        assert_eq!(plane.read("/v1/flags").await["flags"], declared);
        let platform = set(&plane, "theme", "platform", json!("modern")).await.body;
        assert_eq!(
            plane.read("/v1/flags").await["flags"][2]["platform"],
            platform
        );
    }
}

#[tokio::test]
async fn an_override_is_set_read_listed_and_cleared_and_each_is_on_record() {
    for plane in Plane::on_each(MANIFEST).await {
        let first = set(&plane, "new_checkout", "team:sales", json!(true))
            .await
            .body;
        assert_eq!(
            (
                &first["flag"],
                &first["scope"],
                &first["value"],
                &first["setAt"]
            ),
            (
                &json!("new_checkout"),
                &json!("team:sales"),
                &json!(true),
                &json!("2026-11-21T12:00:00Z")
            )
        );
        assert_eq!(plane.read(&path("new_checkout", "team:sales")).await, first);
        let second = set(&plane, "new_checkout", "team:sales", json!(false))
            .await
            .body;
        assert_eq!(second["value"], false);
        let strange = "user:a%2Fb:c";
        assert_eq!(
            set(&plane, "new_checkout", strange, json!(true)).await.body["scope"],
            "user:a/b:c"
        );
        set(&plane, "new_checkout", "platform", json!(true)).await;

        let mut scopes = Vec::new();
        let mut list = "/v1/flags/new_checkout/overrides?limit=2".to_owned();
        loop {
            let page = plane.read(&list).await;
            let rows = page["overrides"].as_array().unwrap();
            scopes.extend(
                rows.iter()
                    .map(|row| row["scope"].as_str().unwrap().to_owned()),
            );
            let Some(cursor) = page["nextCursor"].as_str() else {
                break;
            };
            list = format!("/v1/flags/new_checkout/overrides?limit=2&cursor={cursor}");
        }
        assert_eq!(scopes, ["platform", "team:sales", "user:a/b:c"]);

        for _ in 0..2 {
            let cleared = clear(&plane, "new_checkout", "team:sales").await;
            assert_eq!((cleared.status.as_u16(), cleared.text.as_str()), (204, ""));
        }
        let gone = plane
            .get(&path("new_checkout", "team:sales"), Some(&plane.admin))
            .await;
        assert_eq!(refused(&gone), (404, "flag_override_not_found"));

        let rows = plane.read("/v1/audit?subject=new_checkout").await["entries"].clone();
        let mut rows = rows.as_array().unwrap().clone();
        rows.sort_by_key(|row| row["sequence"].as_i64());
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row["action"].as_str().unwrap(),
                    row["before"]["value"].clone(),
                )
            })
            .collect();
        let (put, cleared) = ("flag.override", "flag.clear_override");
        assert_eq!(
            told,
            [
                (put, Value::Null),
                (put, json!(true)),
                (put, Value::Null),
                (put, Value::Null),
                (cleared, json!(false)),
                (cleared, Value::Null),
            ]
        );
        assert_eq!(rows[1]["after"]["value"], false);
        assert_eq!(rows[1]["reason"], "a trial run");
        assert_eq!(rows[5]["after"]["scope"], "team:sales");
    }
}

#[tokio::test]
async fn tool_33_34_an_unknown_flag_and_a_value_that_is_none_of_its_own_are_refused() {
    for plane in Plane::on_each(MANIFEST).await {
        let before = plane.audit_rows();
        for answer in [
            set(&plane, "gone", "platform", json!(true)).await,
            clear(&plane, "gone", "platform").await,
            plane
                .get(&path("gone", "platform"), Some(&plane.admin))
                .await,
            plane
                .get("/v1/flags/gone/overrides", Some(&plane.admin))
                .await,
        ] {
            assert_eq!(refused(&answer), (422, "unknown_flag"));
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(
                detail.contains("`new_checkout`, `assistant`, `theme`"),
                "{detail}"
            );
        }
        for (flag, scope, value, detail) in [
            (
                "theme",
                "platform",
                json!(true),
                "`value` is one of classic, modern for this flag",
            ),
            (
                "theme",
                "platform",
                json!("gold"),
                "`value` is one of classic, modern for this flag",
            ),
            (
                "assistant",
                "platform",
                json!("on"),
                "`value` is true or false for this flag",
            ),
            (
                "assistant",
                "platform",
                json!(1),
                "`value` is true, false, or the name of a variant",
            ),
            (
                "assistant",
                "everyone",
                json!(true),
                "`scope` is `platform`, `team:` with a team, or `user:` with a user",
            ),
            (
                "assistant",
                "user:",
                json!(true),
                "`scope` is `platform`, `team:` with a team, or `user:` with a user",
            ),
            (
                "assistant",
                "user:a%00b",
                json!(true),
                "`scope` has 1 to 200 bytes and no control characters",
            ),
        ] {
            let answer = set(&plane, flag, scope, value).await;
            assert_eq!(refused(&answer), (422, "invalid_fields"), "{detail}");
            assert_eq!(answer.body["detail"], detail);
        }
        assert_eq!(plane.audit_rows(), before);
    }
}

#[tokio::test]
async fn flags_are_for_those_who_change_entitlements_and_read_by_applications() {
    for plane in Plane::on_each(MANIFEST).await {
        let application = plane.credential("application").await["secret"].clone();
        let body = json!({ "value": true }).to_string();
        for (token, may) in [
            (plane.operator(Role::Support).await, true),
            (plane.operator(Role::Viewer).await, false),
            (plane.operator(Role::Billing).await, false),
            (application.as_str().unwrap().to_owned(), false),
        ] {
            assert_eq!(plane.get("/v1/flags", Some(&token)).await.status, 200);
            let path = path("new_checkout", "user:bo");
            let put = json_request(Method::PUT, &path, Some(&token), body.clone());
            assert_eq!(plane.send(put).await.status, if may { 200 } else { 403 });
        }
    }
}
