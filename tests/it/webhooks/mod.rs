//! Webhooks: who is told of what.

mod failing;
mod managing;
mod running;

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use control_plane::webhooks::Dispatcher;
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::COMMERCE;
use tests::plane::{Answer, Plane, json_request};
use tests::receiver::Receiver;

/// How long the dispatcher of a test waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

fn dispatcher(plane: &Plane) -> Dispatcher {
    Dispatcher::new(Arc::clone(&plane.operations), TIMEOUT).unwrap()
}

async fn round(plane: &Plane) {
    dispatcher(plane).round().await.unwrap();
}

async fn webhook(plane: &Plane, url: &str, events: Value) -> Value {
    let body = json!({ "url": url, "events": events });
    plane.admin_posts("/v1/webhooks", &body).await
}

fn path(webhook: &Value, rest: &str) -> String {
    format!("/v1/webhooks/{}{rest}", webhook["id"].as_str().unwrap())
}

async fn issue(plane: &Plane) -> Value {
    let body = json!({ "customerId": "c-1", "tier": "basic" });
    plane.admin_posts("/v1/licenses", &body).await
}

async fn patch(plane: &Plane, webhook: &Value, body: Value) -> Answer {
    let token = Some(plane.admin.as_str());
    let path = path(webhook, "");
    let request = json_request(Method::PATCH, &path, token, body.to_string());
    plane.send(request).await
}

async fn read(plane: &Plane, webhook: &Value) -> Value {
    plane.get(&path(webhook, ""), Some(&plane.admin)).await.body
}

async fn deliveries(plane: &Plane, webhook: &Value) -> Vec<Value> {
    let path = path(webhook, "/deliveries");
    let answer = plane.get(&path, Some(&plane.admin)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["deliveries"].as_array().unwrap().clone()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Moves the clock to a time that was shown.
fn wait_until(plane: &Plane, value: &Value) {
    let now = activation_token::clock::Clock::now(&*plane.clock);
    let left = time(value).duration_since(now);
    plane.clock.advance_seconds(left.as_secs() + 1);
}

#[tokio::test]
async fn a_webhook_is_told_in_order_of_what_it_wants_and_of_nothing_older_than_itself() {
    for plane in Plane::on_each(COMMERCE).await {
        let mut all = Receiver::taking().await;
        let mut some = Receiver::taking().await;
        issue(&plane).await;
        webhook(&plane, &all.url, json!([])).await;
        webhook(
            &plane,
            &some.url,
            json!(["license.suspend", "credential.*"]),
        )
        .await;
        let license = issue(&plane).await;
        let suspend = format!("/v1/licenses/{}/suspend", license["id"].as_str().unwrap());
        plane
            .admin_posts(&suspend, &json!({ "reason": "unpaid" }))
            .await;
        let gate = json!({ "kind": "gate", "name": "g" });
        plane.admin_posts("/v1/credentials", &gate).await;
        // Neither is a refusal told.
        assert_eq!(plane.get("/v1/audit", None).await.status, 401);
        plane.operations.denials.settle().await;
        round(&plane).await;
        let kinds = |receiver: &mut Receiver| {
            let messages = receiver.so_far();
            let kinds: Vec<String> = messages.iter().map(|m| m.kind().to_owned()).collect();
            (messages, kinds)
        };
        let (messages, told) = kinds(&mut all);
        assert_eq!(
            told,
            ["license.issue", "license.suspend", "credential.create"]
        );
        assert_eq!(kinds(&mut some).1, ["license.suspend", "credential.create"]);
        let suspended = &messages[1];
        let row = &plane
            .get("/v1/audit?action=license.suspend", Some(&plane.admin))
            .await
            .body["entries"][0];
        let at: jiff::Timestamp = row["at"].as_str().unwrap().parse().unwrap();
        let id = format!("msg_{}_{}", row["sequence"], at.as_microsecond());
        assert_eq!(suspended.header("webhook-id"), id);
        assert_eq!(suspended.header("content-type"), "application/json");
        assert_eq!(suspended.header("webhook-timestamp"), "1795262400");
        assert_eq!(suspended.body["timestamp"], row["at"]);
        for member in [
            "sequence",
            "subject",
            "actor",
            "before",
            "after",
            "reason",
            "requestId",
        ] {
            assert_eq!(suspended.body["data"][member], row[member], "{member}");
        }
        round(&plane).await;
        assert!(all.so_far().is_empty(), "it was told twice");
    }
}

#[tokio::test]
async fn two_replicas_send_each_message_once() {
    for plane in Plane::on_each(COMMERCE).await {
        let mut receiver = Receiver::taking().await;
        webhook(&plane, &receiver.url, json!([])).await;
        for _ in 0..20 {
            issue(&plane).await;
        }
        let replica = Dispatcher::new(plane.replica().await, TIMEOUT).unwrap();
        let (one, other) = (dispatcher(&plane), replica);
        let (one, other) = tokio::join!(one.round(), other.round());
        assert_eq!((one, other), (Ok(()), Ok(())));
        let mut sequences: Vec<i64> = receiver
            .so_far()
            .iter()
            .map(|message| message.body["data"]["sequence"].as_i64().unwrap())
            .collect();
        let count = sequences.len();
        sequences.sort_unstable();
        sequences.dedup();
        assert_eq!((count, sequences.len()), (20, 20));
    }
}
