//! What subjects may do: by tier, add-ons, overrides, switches and trial, changed by hand.

use axum::http::Method;
use control_plane::operations::Operations;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::SELLING;
use tests::plane::{Answer, Plane, path_of, refused};

mod boxes;
mod overrides;
mod steps;

const HERE: &str = "/v1/subjects/c-1/entitlements";
const OVERRIDES: &str = "/v1/subjects/c-1/overrides";
const ADD_ONS: &str = "/v1/subjects/c-1/add-ons";
const TIER: &str = "/v1/customers/c-1/tier";

async fn ask(plane: &Plane, method: Method, path: &str, body: Value) -> Value {
    let answer = plane.ask(method, path, &body).await;
    assert_eq!(
        answer.status.as_u16() / 100,
        2,
        "{path} {body}: {}",
        answer.text
    );
    answer.body
}

async fn patch(plane: &Plane, body: Value) -> Value {
    ask(plane, Method::PATCH, OVERRIDES, body).await
}

async fn switch(plane: &Plane, feature: &str, on: bool) -> Value {
    let path = format!("/v1/switches/{feature}");
    ask(plane, Method::PUT, &path, json!({ "on": on })).await
}

async fn assign(plane: &Plane, tier: &str) {
    ask(plane, Method::PUT, TIER, json!({ "tier": tier })).await;
}

/// A feature of `c-1`: `on by tier`, say.
fn feature(standing: &Value, name: &str) -> String {
    let feature = &standing["features"][name];
    let on = if feature["on"] == true { "on" } else { "off" };
    format!("{on} by {}", feature["source"].as_str().unwrap())
}

/// A limit of `c-1`: `5 by tier`, say.
fn limit(standing: &Value, name: &str) -> String {
    let limit = &standing["limits"][name];
    format!(
        "{} by {}",
        limit["limit"],
        limit["source"].as_str().unwrap()
    )
}

#[tokio::test]
async fn ent_10_a_subject_of_which_nothing_is_known_has_the_default_tier() {
    for plane in Plane::on_each(SELLING).await {
        let rows = plane.audit_rows();
        assert_eq!(
            plane.read(HERE).await,
            json!({
                "subject": "c-1", "tier": "basic", "tierSource": "default", "addOns": [],
                "features": {
                    "ai_assist": { "on": false, "source": "tier" },
                    "beta": { "on": false, "source": "tier" },
                    "export_csv": { "on": true, "source": "tier" },
                    "sso": { "on": false, "source": "tier" },
                },
                "limits": {
                    "api_calls": { "limit": 0, "source": "tier" },
                    "boxes": { "limit": 2, "source": "tier" },
                    "seats": { "limit": 5, "source": "tier" },
                },
                "overrides": { "features": {}, "limits": {} },
                "premium": false, "trialEndsAt": null,
            })
        );
        assert_eq!(plane.audit_rows(), rows);
        assert_eq!(plane.read("/v1/subjects").await["subjects"], json!([]));
        for bad in ["x".repeat(201), "a%00b".to_owned(), "%0a".to_owned()] {
            let path = format!("/v1/subjects/{bad}/entitlements");
            let answer = plane.get(&path, Some(&plane.admin)).await;
            assert_eq!(refused(&answer), (422, "invalid_fields"), "{bad}");
        }
    }
}

/// Whether a subject may use a feature, as the library is asked within the product.
async fn can(operations: &Operations, name: &str) -> bool {
    let mut conn = operations.store.read().await.unwrap();
    let standing = operations.entitlements_of(conn.link(), "c-1").await;
    let standing = standing.unwrap_or_else(|error| panic!("{error:?}"));
    standing.can(name, operations.clock.now()).unwrap()
}

#[tokio::test]
async fn kum_32_33_34_49_a_change_holds_from_the_very_next_question_on_for_everybody() {
    for plane in Plane::on_each(SELLING).await {
        let replica = plane.replica().await;
        let license = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 3 }))
            .await;
        plane.clock.advance_seconds(336 * 3600);
        let question = json!({
            "subject": { "type": "customer", "id": "c-1" }, "action": { "name": "use" },
            "resource": { "type": "feature", "id": "sso" },
        });
        let everywhere = async |expected: bool| {
            // Each was asked before the change that comes next: warm with the old answer.
            assert_eq!(can(&plane.operations, "sso").await, expected);
            assert_eq!(can(&replica, "sso").await, expected);
            assert_eq!(plane.read(HERE).await["features"]["sso"]["on"], expected);
            let decided = plane
                .post("/access/v1/evaluation", Some(&plane.admin), &question)
                .await;
            assert_eq!(decided.body["decision"], expected);
        };
        everywhere(false).await;
        assign(&plane, "growth").await;
        everywhere(true).await;
        let token = plane.activate(&license["key"], "f-1").await.body;
        assert_eq!(token["tier"], "growth", "the next activation");
        switch(&plane, "sso", false).await;
        everywhere(false).await;
        switch(&plane, "sso", true).await;
        everywhere(true).await;
        patch(&plane, json!({ "features": { "sso": false } })).await;
        everywhere(false).await;
        ask(&plane, Method::DELETE, OVERRIDES, Value::Null).await;
        everywhere(true).await;
        ask(&plane, Method::DELETE, TIER, Value::Null).await;
        everywhere(false).await;
        ask(
            &plane,
            Method::PUT,
            ADD_ONS,
            json!({ "addOns": ["more_seats"] }),
        )
        .await;
        everywhere(true).await;
    }
}

#[tokio::test]
async fn ent_41_configured_subjects_are_listed_newest_first_and_by_pages() {
    for plane in Plane::on_each(SELLING).await {
        let note = async |nth: usize| {
            plane.clock.advance_seconds(1);
            let id = format!("c {nth:02}/ü");
            let path = |what: &str| {
                format!(
                    "/v1/subjects/{}/{what}",
                    id.replace('/', "%2F")
                        .replace(' ', "%20")
                        .replace('ü', "%C3%BC")
                )
            };
            match nth % 3 {
                0 => {
                    ask(
                        &plane,
                        Method::PATCH,
                        &path("overrides"),
                        json!({ "limits": { "seats": 1 } }),
                    )
                    .await
                }
                1 => {
                    ask(
                        &plane,
                        Method::PUT,
                        &path("add-ons"),
                        json!({ "addOns": ["few_seats"] }),
                    )
                    .await
                }
                _ => {
                    let path = path("tier").replace("subjects", "customers");
                    ask(&plane, Method::PUT, &path, json!({ "tier": "growth" })).await
                }
            };
            id
        };
        plane.issue(json!({ "customerId": "not configured" })).await;
        let mut noted = Vec::new();
        for nth in 0..9 {
            noted.push(note(nth).await);
        }
        noted.reverse();
        for rows in [1, 2, 3, 9, 100] {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = plane
                    .read(&format!("/v1/subjects?limit={rows}{cursor}"))
                    .await;
                let subjects = page["subjects"].as_array().unwrap().clone();
                assert!(subjects.len() <= rows);
                seen.extend(
                    subjects
                        .iter()
                        .map(|s| s["subject"].as_str().unwrap().to_owned()),
                );
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, noted, "{rows}");
        }
        let newest = plane.read("/v1/subjects?limit=1").await["subjects"][0].clone();
        let at: Timestamp = plane.operations.clock.now();
        assert_eq!(
            newest,
            json!({ "subject": noted[0], "assigned": true, "overridden": false, "hasAddOns": false, "configuredAt": at })
        );
        for bad in [
            "limit=0",
            "limit=101",
            "cursor=eA",
            "cursor=MSBhAGI",
            "other=1",
        ] {
            let answer = plane
                .get(&format!("/v1/subjects?{bad}"), Some(&plane.admin))
                .await;
            assert_eq!(refused(&answer), (400, "invalid_query"), "{bad}");
        }
    }
}

/// The columns of the tables whose names begin so, with their types.
fn columns(plane: &Plane, prefix: &str) -> Vec<String> {
    let query = if plane.reader().is_postgres() {
        format!(
            "SELECT replace(table_name, '{prefix}_', ''), column_name, data_type, is_nullable \
             FROM information_schema.columns WHERE table_name IN ('{prefix}_overrides', \
             '{prefix}_add_ons', '{prefix}_switches') ORDER BY table_name, ordinal_position"
        )
    } else {
        format!(
            "SELECT replace(m.name, '{prefix}_', ''), c.name, c.type, c.\"notnull\", c.pk \
             FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.name IN \
             ('{prefix}_overrides', '{prefix}_add_ons', '{prefix}_switches') ORDER BY m.name, c.cid"
        )
    };
    plane.sql(&query)
}

#[tokio::test]
async fn ent_42_the_tables_are_those_that_the_library_makes_for_itself() {
    for plane in Plane::on_each(SELLING).await {
        let mut connection = plane.connection().await;
        for text in entitlements::sql::SHARED_TABLES {
            connection.run(&text.replace("{p}", "own"), &[]).await;
        }
        let ours = columns(&plane, "entitlement");
        assert_eq!(ours.len(), 15, "{ours:?}");
        assert_eq!(ours, columns(&plane, "own"));
    }
}

#[tokio::test]
async fn ent_16_an_add_on_that_is_gone_from_the_manifest_fails_loudly() {
    for plane in Plane::on_each(SELLING).await {
        ask(
            &plane,
            Method::PUT,
            ADD_ONS,
            json!({ "addOns": ["few_seats"] }),
        )
        .await;
        let change = "UPDATE entitlement_add_ons SET name = 'gone'";
        assert_eq!(plane.connection().await.run(change, &[]).await, 1);
        let answer = plane.get(HERE, Some(&plane.admin)).await;
        assert_eq!(refused(&answer), (500, "internal_error"));
        // A start with such a manifest is refused by the same check.
        let error = format!("{:?}", plane.operations.snapshot().await.unwrap_err());
        assert!(error.contains("unknown add-on `gone`"), "{error}");
    }
}
