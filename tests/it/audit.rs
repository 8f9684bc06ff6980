//! The audit log: one row a change, who was turned away, filters, pages and the export.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request, header};
use control_plane::domain::Role;
use serde_json::{Value, json};
use tests::plane::{Answer, Plane, path_of};
use tests::{Dice, SMALL};

/// Sends with a request id.
async fn send(plane: &Plane, id: &str, method: Method, path: &str, body: &Value) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-request-id", id)
        .header(header::AUTHORIZATION, format!("Bearer {}", plane.admin));
    let mut text = String::new();
    if !body.is_null() {
        request = request.header(header::CONTENT_TYPE, "application/json");
        text = body.to_string();
    }
    plane.send(request.body(Body::from(text)).unwrap()).await
}

#[tokio::test]
async fn each_change_has_one_row_that_says_who_what_and_why() {
    for plane in Plane::on_each(SMALL).await {
        let me = plane.read("/v1/credentials").await["credentials"][0]["id"].clone();
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let activated = plane.activate(&license["key"], "f-1").await.body;
        let gate = plane.credential("gate").await;
        let of = |rest: &str| format!("{}{rest}", path_of(&license));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (post, put, patch, delete) = (Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
        let why = json!({ "reason": "because" });
        let box_path = of(&format!(
            "/boxes/{}?reason=because",
            text(&activated["boxId"])
        ));
        let gate_path = format!("/v1/credentials/{}?reason=because", text(&gate["id"]));
        let tier_path = "/v1/customers/c-1/tier";
        // What is asked, its row's action, whether there is a state before and after, and a reason.
        let table = [
            (
                &post,
                "/v1/licenses".to_owned(),
                json!({ "customerId": "c-2" }),
                "license.issue",
                "-a-",
            ),
            (
                &patch,
                of(""),
                json!({ "maxBoxes": 5, "reason": "because" }),
                "license.change",
                "bar",
            ),
            (
                &patch,
                of(""),
                json!({ "maxBoxes": 6 }),
                "license.change",
                "ba-",
            ),
            (&post, of("/suspend"), why.clone(), "license.suspend", "bar"),
            (&post, of("/suspend"), why.clone(), "license.suspend", "bar"),
            (
                &post,
                of("/reinstate"),
                why.clone(),
                "license.reinstate",
                "bar",
            ),
            (
                &post,
                of("/rotate-key"),
                why.clone(),
                "license.rotate_key",
                "-ar",
            ),
            (&delete, box_path, Value::Null, "box.release", "b-r"),
            (&post, of("/revoke"), why.clone(), "license.revoke", "bar"),
            (
                &put,
                tier_path.to_owned(),
                json!({ "tier": "growth", "reason": "because" }),
                "customer.assign_tier",
                "-ar",
            ),
            (
                &put,
                tier_path.to_owned(),
                json!({ "tier": "basic" }),
                "customer.assign_tier",
                "ba-",
            ),
            (
                &delete,
                format!("{tier_path}?reason=because"),
                Value::Null,
                "customer.release_tier",
                "b-r",
            ),
            (
                &post,
                "/v1/credentials".to_owned(),
                json!({ "kind": "gate", "name": "g" }),
                "credential.create",
                "-a-",
            ),
            (&delete, gate_path, Value::Null, "credential.revoke", "bar"),
        ];
        for (nth, (method, path, body, action, says)) in table.into_iter().enumerate() {
            let rows: u64 = plane.audit_rows().parse().unwrap();
            let id = format!("request-{nth}");
            let answer = send(&plane, &id, method.clone(), &path, &body).await;
            assert!(answer.status.is_success(), "{action}: {}", answer.text);
            assert_eq!(plane.audit_rows(), (rows + 1).to_string(), "{action}");
            let entry = plane.read("/v1/audit?limit=1").await["entries"][0].clone();
            assert_eq!(entry["sequence"], rows + 1, "{action}");
            assert_eq!((&entry["action"], &entry["actor"]), (&json!(action), &me));
            assert_eq!(
                (&entry["requestId"], &entry["at"]),
                (&json!(id), &json!("2026-11-21T12:00:00Z"))
            );
            let there = |member: &str, letter: char| {
                assert_eq!(
                    !entry[member].is_null(),
                    says.contains(letter),
                    "{action}: {member}: {entry}"
                );
            };
            there("before", 'b');
            there("after", 'a');
            there("reason", 'r');
            if says.contains('r') {
                assert_eq!(entry["reason"], "because", "{action}");
            }
        }
        // What boxes do stands there as well, under nobody's name.
        let entry = plane.read("/v1/audit?action=license.activate").await["entries"][0].clone();
        assert_eq!(
            (&entry["actor"], &entry["subject"]),
            (&json!("key-holder"), &license["id"])
        );
        assert_eq!(entry["after"]["boxId"], activated["boxId"]);
        // A change shows the state on both sides.
        let changes = plane.read("/v1/audit?action=license.change").await;
        let newest = &changes["entries"][0];
        assert_eq!(
            (&newest["before"]["maxBoxes"], &newest["after"]["maxBoxes"]),
            (&json!(5), &json!(6))
        );
    }
}

#[tokio::test]
async fn whoever_is_turned_away_is_on_record() {
    for plane in Plane::on_each(SMALL).await {
        plane.clock.advance_seconds(1);
        let viewer = plane.operator(Role::Viewer).await;
        let viewer_id = plane.read("/v1/credentials?limit=1").await["credentials"][0]["id"].clone();
        let issue = json!({ "customerId": "c-1" });
        plane.post("/v1/licenses", None, &issue).await;
        plane
            .post("/v1/licenses", Some("tgo_garbage"), &issue)
            .await;
        plane.post("/v1/licenses", Some(&viewer), &issue).await;
        plane.get("/v1/licenses/a-secret-in-the-path", None).await;
        plane.operations.denials.settle().await;
        let denied = plane.read("/v1/audit?action=access.denied").await;
        let summary = |entry: &Value| {
            let text = |member: &str| entry[member].as_str().unwrap().to_owned();
            assert_eq!(text("requestId").len(), 32);
            let method = entry["after"]["method"].as_str().unwrap();
            (
                format!("{method} {} {}", text("subject"), text("reason")),
                text("actor"),
            )
        };
        let found: BTreeSet<_> = denied["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(summary)
            .collect();
        let expected = [
            ("POST /v1/licenses credential_missing", "unknown"),
            ("POST /v1/licenses credential_invalid", "unknown"),
            ("POST /v1/licenses not_allowed", viewer_id.as_str().unwrap()),
            ("GET /v1/licenses/{id} credential_missing", "unknown"),
        ];
        let expected = expected.map(|(what, who)| (what.to_owned(), who.to_owned()));
        assert_eq!(found, BTreeSet::from(expected));
    }
}

#[tokio::test]
async fn strangers_cannot_fill_the_log_and_keep_nobody_elses_refusals_out() {
    for plane in Plane::on_each(SMALL).await {
        let viewer = plane.operator(Role::Viewer).await;
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        plane.decide(&license, "suspend").await;
        for _ in 0..200 {
            plane.get("/v1/tiers", None).await;
            plane.operations.denials.settle().await;
        }
        plane.post("/v1/licenses", Some(&viewer), &json!({})).await;
        plane.activate(&license["key"], "f-1").await;
        plane.operations.denials.settle().await;
        let count = |rest: &str| {
            plane
                .sql(&format!("SELECT COUNT(*) FROM audit WHERE {rest}"))
                .concat()
        };
        assert_eq!(count("actor = 'unknown'"), "120");
        assert_eq!(count("reason = 'not_allowed'"), "1");
        assert_eq!(count("reason = 'license_suspended'"), "1");
        assert_eq!(plane.operations.denials.left_out(), 80);
        plane.clock.advance_seconds(60);
        plane.get("/v1/tiers", None).await;
        plane.operations.denials.settle().await;
        assert_eq!(count("actor = 'unknown'"), "121");
    }
}

/// A log with rows of every sort, and all of it as the export tells it.
async fn filled(plane: &Plane) -> Vec<Value> {
    let mut dice = Dice::new(11);
    let first = plane.issue(json!({ "customerId": "c-0" })).await;
    let second = plane.issue(json!({ "customerId": "c-1" })).await;
    for _ in 0..80 {
        plane
            .clock
            .advance_seconds(i64::try_from(dice.roll(3)).unwrap());
        let license = dice.one_of(&[&first, &second]);
        match dice.roll(4) {
            0 => drop(plane.decide(license, "suspend").await),
            1 => drop(plane.decide(license, "reinstate").await),
            2 => drop(plane.activate(&license["key"], "f-1").await),
            _ => drop(plane.change(license, json!({ "metadata": {} })).await),
        }
    }
    plane.operations.denials.settle().await;
    exported(plane, 0).await
}

async fn exported(plane: &Plane, after: u64) -> Vec<Value> {
    let path = format!("/v1/audit/export?after={after}");
    let answer = plane.get(&path, Some(&plane.admin)).await;
    assert_eq!(answer.headers["content-type"], "application/jsonl");
    let lines = answer.text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_filtered_log_is_what_looking_at_each_row_gives() {
    for plane in Plane::on_each(SMALL).await {
        let all = filled(&plane).await;
        let middle = all[all.len() / 2]["at"].as_str().unwrap();
        let choices = |member: &str| {
            let all: BTreeSet<_> = all
                .iter()
                .map(|row| row[member].as_str().unwrap())
                .collect();
            let mut choices: Vec<_> = all.into_iter().take(3).collect();
            choices.extend(["nothing", ""]);
            choices
        };
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        let mut found = 0;
        for actor in choices("actor") {
            for action in choices("action") {
                for subject in choices("subject") {
                    for (from, to) in [("", ""), (middle, ""), ("", middle), (middle, middle)] {
                        let members = [
                            ("actor", actor),
                            ("action", action),
                            ("subject", subject),
                            ("from", from),
                            ("to", to),
                        ];
                        let wanted = members.into_iter().filter(|(_, value)| !value.is_empty());
                        let query: String = wanted.map(|(k, v)| format!("{k}={v}&")).collect();
                        let mut expected = all.clone();
                        expected.retain(|row| {
                            let is = |member: &str, value: &str| {
                                value.is_empty() || row[member] == value
                            };
                            let time = at(row["at"].as_str().unwrap());
                            is("actor", actor)
                                && is("action", action)
                                && is("subject", subject)
                                && (from.is_empty() || time >= at(from))
                                && (to.is_empty() || time < at(to))
                        });
                        expected.reverse();
                        found += usize::from(!expected.is_empty());
                        for rows in [if expected.len() < 15 { 1 } else { 7 }, 100] {
                            let (mut read, mut cursor) = (Vec::new(), String::new());
                            loop {
                                let path = format!("/v1/audit?{query}limit={rows}{cursor}");
                                let page = plane.read(&path).await;
                                read.extend(page["entries"].as_array().unwrap().clone());
                                let Some(next) = page["nextCursor"].as_str() else {
                                    break;
                                };
                                cursor = format!("&cursor={next}");
                            }
                            assert_eq!(read, expected, "{query}");
                        }
                    }
                }
            }
        }
        assert!(found > 40, "{found}");
    }
}

#[tokio::test]
async fn an_export_is_whole_and_in_order() {
    for plane in Plane::on_each(SMALL).await {
        // More than are read at a time.
        for _ in 0..3 {
            let table = format!("customerId\n{}", "c-1\n".repeat(700));
            let request = Request::post("/v1/licenses/import")
                .header(header::CONTENT_TYPE, "text/csv")
                .header(header::AUTHORIZATION, format!("Bearer {}", plane.admin));
            let answer = plane.send(request.body(Body::from(table)).unwrap()).await;
            assert_eq!(answer.status, 200);
        }
        let all = exported(&plane, 0).await;
        let numbers: Vec<_> = all
            .iter()
            .map(|row| row["sequence"].as_u64().unwrap())
            .collect();
        let rows: u64 = plane.audit_rows().parse().unwrap();
        assert!(rows > 2_000);
        assert_eq!(numbers, (1..=rows).collect::<Vec<_>>());
        assert_eq!(exported(&plane, rows - 3).await, all[all.len() - 3..]);
        assert!(exported(&plane, rows).await.is_empty());
        // The chain holds.
        let chain = plane.operations.store.chain();
        let mut conn = plane.operations.store.read().await.unwrap();
        let head = control_plane::store::audit::verify(&mut conn, chain, &[])
            .await
            .unwrap();
        assert_eq!(u64::try_from(head.unwrap().sequence), Ok(rows));
    }
}
