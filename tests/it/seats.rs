//! The last seat: whoever races for it, it is given once.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::plane::{Answer, json_request};
use tests::{COMMERCE, Ledger, Plane};

async fn issue(plane: &Plane, seats: u32) -> (String, String) {
    let body = json!({ "customerId": "c-1", "tier": "growth", "maxBoxes": seats });
    let body = plane.admin_posts("/v1/licenses", &body).await;
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// Sends a request until it is answered: a crowd may have to wait for its turn.
async fn ask(plane: &Plane, method: &str, path: &str, body: &Value) -> Answer {
    loop {
        let token = (method == "PATCH").then_some(plane.admin.as_str());
        let method = method.parse().unwrap();
        let answer = plane
            .send(json_request(method, path, token, body.to_string()))
            .await;
        if answer.status != 503 {
            return answer;
        }
    }
}

fn box_of(key: &str, fingerprint: &str) -> Value {
    json!({ "key": key, "box": { "fingerprint": fingerprint } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_boxes_race_for_n_seats_and_n_get_one() {
    for plane in Plane::on_each(COMMERCE).await {
        let plane = Arc::new(plane);
        for seats in [1, 7, 100, 7] {
            let (id, key) = issue(&plane, seats).await;
            let race = (0..1_000).map(|n| {
                let (plane, key) = (Arc::clone(&plane), key.clone());
                tokio::spawn(async move {
                    let body = box_of(&key, &format!("box-{n}"));
                    let answer = ask(&plane, "POST", "/v1/activate", &body).await;
                    match (answer.status.as_u16(), answer.body["code"].as_str()) {
                        (200, None) => true,
                        (403, Some("box_limit_reached")) => false,
                        _ => panic!("{}", answer.text),
                    }
                })
            });
            let won = join_all(race).await;
            let won = won.into_iter().filter(|won| *won.as_ref().unwrap()).count();
            assert_eq!(won, seats as usize);
            // Refusals are written beside the answers.
            plane.operations.denials.settle().await;
            let mut ledger = Ledger::default();
            ledger.read_on(plane.reader());
            ledger.compare(plane.reader());
            assert_eq!(ledger.most_boxes[&id], seats as usize);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_seats_are_freed_and_limits_move_none_is_given_over_the_limit() {
    for plane in Plane::on_each(COMMERCE).await {
        let plane = Arc::new(plane);
        let (id, key) = issue(&plane, 5).await;
        let boxes = (0..40).map(|n| {
            let (plane, key) = (Arc::clone(&plane), key.clone());
            tokio::spawn(async move {
                let mut granted = 0;
                for _ in 0..8 {
                    let body = box_of(&key, &format!("box-{n}"));
                    let answer = ask(&plane, "POST", "/v1/activate", &body).await;
                    if answer.status == 200 {
                        granted += 1;
                        let answer = ask(&plane, "POST", "/v1/deactivate", &body).await;
                        assert_eq!(answer.status, 200, "{}", answer.text);
                    }
                }
                granted
            })
        });
        let limits = {
            let plane = Arc::clone(&plane);
            let path = format!("/v1/licenses/{id}");
            tokio::spawn(async move {
                for seats in [1, 9, 2, 7, 3, 5, 1, 8, 4, 6] {
                    let body = json!({ "maxBoxes": seats });
                    let answer = ask(&plane, "PATCH", &path, &body).await;
                    assert_eq!(answer.status, 200, "{}", answer.text);
                }
            })
        };
        let mut granted = 0;
        for ended in join_all(boxes).await {
            granted += ended.unwrap();
        }
        limits.await.unwrap();
        assert!(granted > 10, "{granted}");
        plane.operations.denials.settle().await;
        // The ledger checks the limit of the moment at each seat that was given.
        let mut ledger = Ledger::default();
        ledger.read_on(plane.reader());
        ledger.compare(plane.reader());
        assert!(ledger.boxes.is_empty());
    }
}
