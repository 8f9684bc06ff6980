//! Receivers that fail, hang, redirect, are gone or ask for patience; processes that die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::header;
use axum::response::IntoResponse;
use control_plane::webhooks::Dispatcher;
use serde_json::{Value, json};
use tests::COMMERCE;
use tests::plane::Plane;
use tests::receiver::{Receiver, reply};

use super::{TIMEOUT, deliveries, issue, patch, path, read, round, time, wait_until, webhook};

#[tokio::test]
async fn a_receiver_that_fails_is_asked_ten_times_over_three_days_and_then_disabled() {
    for plane in Plane::on_each(COMMERCE).await {
        let receiver = Receiver::answering(|_| {
            Some(
                (
                    axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                    "out\0 of order",
                )
                    .into_response(),
            )
        });
        let mut receiver = receiver.await;
        let hook = webhook(&plane, &receiver.url, json!(["license.issue"])).await;
        issue(&plane).await;
        let mut waits = Vec::new();
        loop {
            round(&plane).await;
            let delivery = deliveries(&plane, &hook).await.remove(0);
            if delivery["status"] != "pending" {
                assert_eq!(delivery["status"], "failed");
                assert_eq!(delivery["attempts"][0]["status"], 500);
                assert_eq!(delivery["attempts"][0]["response"], "out  of order");
                break;
            }
            let last = time(&delivery["attempts"][0]["at"]);
            waits.push(time(&delivery["nextAt"]).duration_since(last).as_secs());
            // Not a moment earlier.
            round(&plane).await;
            wait_until(&plane, &delivery["nextAt"]);
        }
        let schedule = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        assert_eq!(waits.len(), schedule.len());
        for (wait, least) in waits.iter().zip(schedule) {
            assert!(
                *wait >= least && *wait <= least + least / 10,
                "{wait} {least}"
            );
        }
        let messages = receiver.so_far();
        assert_eq!(messages.len(), 10);
        for message in &messages {
            // The same message, at another time.
            assert_eq!(message.text, messages[0].text);
            assert_eq!(
                message.header("webhook-id"),
                messages[0].header("webhook-id")
            );
        }
        assert_ne!(
            messages[9].header("webhook-timestamp"),
            messages[0].header("webhook-timestamp")
        );
        let shown = read(&plane, &hook).await;
        assert_eq!(
            (&shown["enabled"], &shown["disabledReason"]),
            (&json!(false), &json!("failing"))
        );
        let audit = plane
            .get("/v1/audit?action=webhook.disable", Some(&plane.admin))
            .await;
        assert_eq!(audit.body["entries"][0]["actor"], "system");
        issue(&plane).await;
        round(&plane).await;
        assert!(receiver.so_far().is_empty());
    }
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    for plane in Plane::on_each(COMMERCE).await {
        let mut inside = Receiver::taking().await;
        let to = inside.url.clone();
        let receiver = Receiver::answering(move |_| {
            let location = [(header::LOCATION, to.clone())];
            Some((axum::http::StatusCode::TEMPORARY_REDIRECT, location).into_response())
        });
        let mut receiver = receiver.await;
        let hook = webhook(&plane, &receiver.url, json!([])).await;
        issue(&plane).await;
        round(&plane).await;
        assert_eq!(receiver.so_far().len(), 1);
        assert!(inside.so_far().is_empty());
        let delivery = deliveries(&plane, &hook).await.remove(0);
        assert_eq!(delivery["status"], "pending");
        assert_eq!(delivery["attempts"][0]["status"], 307);
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_it_is_enabled_again() {
    for plane in Plane::on_each(COMMERCE).await {
        let gone = Arc::new(AtomicBool::new(true));
        let is_gone = Arc::clone(&gone);
        let receiver = Receiver::answering(move |_| {
            reply(if is_gone.load(Ordering::SeqCst) {
                410
            } else {
                200
            })
        });
        let mut receiver = receiver.await;
        let hook = webhook(&plane, &receiver.url, json!(["license.*"])).await;
        issue(&plane).await;
        issue(&plane).await;
        round(&plane).await;
        assert_eq!(receiver.so_far().len(), 1);
        assert_eq!(read(&plane, &hook).await["disabledReason"], "gone");
        let refused = plane
            .post(&path(&hook, "/test"), Some(&plane.admin), &json!({}))
            .await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["code"]),
            (409, &json!("webhook_disabled"))
        );
        issue(&plane).await;
        gone.store(false, Ordering::SeqCst);
        let enabled = patch(&plane, &hook, json!({ "enabled": true })).await;
        assert_eq!(enabled.body["enabled"], true);
        plane.clock.advance_seconds(6);
        round(&plane).await;
        // What failed, what waited, and what happened meanwhile.
        assert_eq!(receiver.so_far().len(), 3);
        let shown = read(&plane, &hook).await;
        assert_eq!(shown["failingSince"], Value::Null);
    }
}

#[tokio::test]
async fn a_receiver_that_asks_for_patience_is_given_it() {
    for plane in Plane::on_each(COMMERCE).await {
        let receiver = Receiver::answering(|_| {
            let patience = [(header::RETRY_AFTER, "120")];
            Some((axum::http::StatusCode::TOO_MANY_REQUESTS, patience).into_response())
        });
        let mut receiver = receiver.await;
        let hook = webhook(&plane, &receiver.url, json!([])).await;
        issue(&plane).await;
        issue(&plane).await;
        round(&plane).await;
        // The second message waits as well.
        assert_eq!(receiver.so_far().len(), 1);
        let now = activation_token::clock::Clock::now(&*plane.clock);
        let paused = time(&read(&plane, &hook).await["pausedUntil"]);
        assert_eq!(paused.duration_since(now).as_secs(), 120);
        plane.clock.advance_seconds(119);
        round(&plane).await;
        assert!(receiver.so_far().is_empty());
        plane.clock.advance_seconds(1);
        round(&plane).await;
        assert_eq!(receiver.so_far().len(), 1);
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody_and_is_given_up_in_time() {
    for plane in Plane::on_each(COMMERCE).await {
        let mut hanging = Receiver::answering(|_| None).await;
        let mut good = Receiver::taking().await;
        let hook = webhook(&plane, &hanging.url, json!([])).await;
        webhook(&plane, &good.url, json!([])).await;
        let patient = Dispatcher::new(Arc::clone(&plane.operations), Duration::from_hours(1));
        let running = tokio::spawn(patient.unwrap().run());
        for _ in 0..3 {
            issue(&plane).await;
            good.next().await;
        }
        hanging.next().await;
        assert_eq!(deliveries(&plane, &hook).await.len(), 3);
        running.abort();
        let _ = running.await;
        // It had the first message when it was left alone, and gets it again.
        plane.clock.advance_seconds(30);
        round(&plane).await;
        let delivery = deliveries(&plane, &hook).await;
        let attempts: Vec<&Value> = delivery
            .iter()
            .map(|d| &d["attempts"][0]["error"])
            .collect();
        assert!(
            attempts.contains(&&json!("no answer within 1s")),
            "{delivery:?}"
        );
    }
}

#[tokio::test]
async fn a_message_on_its_way_when_the_process_dies_is_sent_again_and_not_twice_before() {
    for plane in Plane::on_each(COMMERCE).await {
        let answers = Arc::new(AtomicBool::new(false));
        let (answering, patient) = (Arc::clone(&answers), Duration::from_hours(1));
        let receiver = Receiver::answering(move |_| {
            answering
                .load(Ordering::SeqCst)
                .then(|| reply(200))
                .flatten()
        });
        let mut receiver = receiver.await;
        let hook = webhook(&plane, &receiver.url, json!([])).await;
        issue(&plane).await;
        let dying = Dispatcher::new(Arc::clone(&plane.operations), patient).unwrap();
        let dying = tokio::spawn(async move { dying.round().await });
        let first = receiver.next().await;
        // Another replica leaves it alone.
        let replica = Dispatcher::new(plane.replica().await, TIMEOUT);
        replica.unwrap().round().await.unwrap();
        assert!(receiver.so_far().is_empty());
        dying.abort();
        let _ = dying.await;
        answers.store(true, Ordering::SeqCst);
        plane.clock.advance_seconds(29);
        round(&plane).await;
        assert!(receiver.so_far().is_empty());
        plane.clock.advance_seconds(1);
        round(&plane).await;
        let again = receiver.so_far().remove(0);
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
        let delivery = deliveries(&plane, &hook).await.remove(0);
        assert_eq!(
            (&delivery["status"], &delivery["attemptCount"]),
            (&json!("delivered"), &json!(2))
        );
    }
}
