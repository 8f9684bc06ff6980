//! Boxes and their seats: taken, kept, lost, given back.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use tests::plane::{Answer, Plane, path_of};
use tests::{Dice, SMALL};

async fn deactivate(plane: &Plane, key: &Value, fingerprint: &str) -> Answer {
    let body = json!({ "key": key, "box": { "fingerprint": fingerprint } });
    plane.post("/v1/deactivate", None, &body).await
}

async fn release(plane: &Plane, license: &Value, box_id: &Value) -> Answer {
    let path = format!("{}/boxes/{}", path_of(license), box_id.as_str().unwrap());
    plane
        .ask(
            Method::DELETE,
            &format!("{path}?reason=moved"),
            &Value::Null,
        )
        .await
}

/// The boxes of a license.
async fn boxes(plane: &Plane, license: &Value) -> Vec<Value> {
    let page = plane.read(&format!("{}/boxes", path_of(license))).await;
    page["boxes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn pot_29_renewing_is_activating_again_and_takes_no_further_seat() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 1 }))
            .await;
        let first = plane.activate(&license["key"], "f-1").await.body;
        plane.clock.advance_seconds(1800);
        let second = plane.activate(&license["key"], "f-1").await.body;
        assert_eq!(first["boxId"], second["boxId"]);
        assert_ne!(first["token"], second["token"]);
        // The first goes on to its own end.
        assert!(plane.passes(&first["token"]).await && plane.passes(&second["token"]).await);
        plane.clock.advance_seconds(1800 + 61);
        assert!(!plane.passes(&first["token"]).await && plane.passes(&second["token"]).await);
        assert_eq!(plane.read(&path_of(&license)).await["boxes"]["used"], 1);
    }
}

#[tokio::test]
async fn seats_are_as_many_as_the_license_says_else_its_tier() {
    for plane in Plane::on_each(SMALL).await {
        for (order, seats) in [
            (json!({ "customerId": "c", "maxBoxes": 3 }), 3),
            (json!({ "customerId": "c", "tier": "basic" }), 2),
            (
                json!({ "customerId": "c", "tier": "growth", "maxBoxes": 1 }),
                1,
            ),
        ] {
            let license = plane.issue(order).await;
            for nth in 0..seats {
                let answer = plane.activate(&license["key"], &format!("f-{nth}")).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
            let answer = plane.activate(&license["key"], "one-more").await;
            assert_eq!(answer.body["code"], "box_limit_reached");
            let unnamed = json!({ "key": license["key"] });
            let answer = plane.post("/v1/activate", None, &unnamed).await;
            assert_eq!(answer.body["code"], "box_required");
            let shown = plane.read(&path_of(&license)).await;
            assert_eq!(shown["boxes"], json!({ "used": seats, "limit": seats }));
        }
        let endless = plane
            .issue(json!({ "customerId": "c", "tier": "growth" }))
            .await;
        let unnamed = json!({ "key": endless["key"] });
        let answer = plane.post("/v1/activate", None, &unnamed).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["boxId"]),
            (200, &Value::Null)
        );
        for nth in 0..5 {
            let answer = plane.activate(&endless["key"], &format!("f-{nth}")).await;
            assert_eq!(answer.status, 200);
        }
        let shown = plane.read(&path_of(&endless)).await;
        assert_eq!(shown["boxes"], json!({ "used": 5, "limit": null }));
    }
}

#[tokio::test]
async fn a_box_gives_its_seat_back() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 1 }))
            .await;
        let key = &license["key"];
        let first = plane.activate(key, "f-1").await.body;
        assert_eq!(
            deactivate(&plane, key, "f-2").await.body["code"],
            "box_not_found"
        );
        let freed = deactivate(&plane, key, "f-1").await;
        assert_eq!(
            (freed.status.as_u16(), &freed.body["boxId"]),
            (200, &first["boxId"])
        );
        assert!(!plane.passes(&first["token"]).await);
        assert_eq!(
            deactivate(&plane, key, "f-1").await.body["code"],
            "box_not_found"
        );
        assert_eq!(plane.activate(key, "f-2").await.status, 200);
        assert_eq!(
            plane.activate(key, "f-1").await.body["code"],
            "box_limit_reached"
        );

        // An expired license lets its boxes go, a suspended one says nothing.
        plane.decide(&license, "suspend").await;
        assert_eq!(
            deactivate(&plane, key, "f-2").await.body["code"],
            "license_unusable"
        );
        plane.decide(&license, "reinstate").await;
        plane
            .change(&license, json!({ "expiresAt": "2026-11-21T12:00:00Z" }))
            .await;
        assert_eq!(deactivate(&plane, key, "f-2").await.status, 200);
    }
}

#[tokio::test]
async fn an_operator_releases_a_box_which_may_come_back_as_a_new_one() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let other = plane.issue(json!({ "customerId": "c-1" })).await;
        let first = plane.activate(&license["key"], "f-1").await.body;
        let second = plane.activate(&license["key"], "f-2").await.body;
        let elsewhere = release(&plane, &other, &first["boxId"]).await;
        assert_eq!(elsewhere.body["code"], "box_not_found");
        let number = plane.operations.store.newest_change().await.unwrap();
        assert_eq!(release(&plane, &license, &first["boxId"]).await.status, 200);
        assert!(plane.operations.store.newest_change().await.unwrap() > number);
        assert!(!plane.passes(&first["token"]).await);
        assert!(plane.passes(&second["token"]).await, "the others go on");
        assert_eq!(
            release(&plane, &license, &first["boxId"]).await.body["code"],
            "box_not_found"
        );

        let back = plane.activate(&license["key"], "f-1").await.body;
        assert_ne!(back["boxId"], first["boxId"]);
        assert!(plane.passes(&back["token"]).await);
        let event = plane.read("/v1/audit?action=box.release").await["entries"][0].clone();
        assert_eq!(
            (&event["subject"], &event["reason"]),
            (&license["id"], &json!("moved"))
        );
        assert_eq!(event["before"]["fingerprint"], "f-1");
    }
}

#[tokio::test]
async fn a_list_shows_each_box_and_when_it_was_seen() {
    for plane in Plane::on_each(SMALL).await {
        let order = json!({ "customerId": "c-1", "maxBoxes": 9, "leaseSeconds": 3660 });
        let license = plane.issue(order).await;
        for nth in 0..5 {
            let named = json!({ "fingerprint": format!("f-{nth}"), "name": format!("box {nth}") });
            let body = json!({ "key": license["key"], "box": named });
            assert_eq!(plane.post("/v1/activate", None, &body).await.status, 200);
            plane.clock.advance_seconds(600);
        }
        plane.activate(&license["key"], "f-1").await;
        plane.clock.advance_seconds(660);
        let all = boxes(&plane, &license).await;
        let names: Vec<_> = all.iter().map(|b| b["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["box 0", "box 1", "box 2", "box 3", "box 4"]);
        let (lapsed, seen) = (&all[0], &all[1]);
        assert_eq!(lapsed["lastSeenAt"], "2026-11-21T12:00:00Z");
        assert_eq!(lapsed["leasedUntil"], "2026-11-21T13:01:00Z");
        assert_eq!(lapsed["holdsSeat"], false);
        assert_eq!(seen["activatedAt"], "2026-11-21T12:10:00Z");
        assert_eq!(
            (&seen["lastSeenAt"], &seen["holdsSeat"]),
            (&json!("2026-11-21T12:50:00Z"), &json!(true))
        );
        assert_eq!(plane.read(&path_of(&license)).await["boxes"]["used"], 4);

        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("{}/boxes?limit=2{cursor}", path_of(&license));
            let page = plane.read(&path).await;
            paged.extend(page["boxes"].as_array().unwrap().clone());
            let Some(next) = page["nextCursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, all);
    }
}

#[tokio::test]
async fn a_dead_box_loses_its_seat_after_the_stated_time() {
    for plane in Plane::on_each(SMALL).await {
        let order = json!({ "customerId": "c-1", "maxBoxes": 1, "leaseSeconds": 3660 });
        let license = plane.issue(order).await;
        let (key, status) = (&license["key"], async |fingerprint: &str| {
            plane
                .activate(&license["key"], fingerprint)
                .await
                .status
                .as_u16()
        });
        let dead = plane.activate(key, "dead").await.body["boxId"].clone();
        plane.clock.advance_seconds(3659);
        assert_eq!(status("heir").await, 403);
        plane.clock.advance_seconds(1);
        assert_eq!(status("heir").await, 200);
        assert_eq!(status("dead").await, 403);
        // It comes back as the box it was, as soon as there is a seat.
        plane.clock.advance_seconds(3660);
        let back = plane.activate(key, "dead").await;
        assert_eq!((back.status.as_u16(), &back.body["boxId"]), (200, &dead));
        assert_eq!(status("heir").await, 403);
    }
}

#[tokio::test]
async fn a_longer_lease_brings_no_lost_seat_back() {
    for plane in Plane::on_each(SMALL).await {
        let order = json!({ "customerId": "c-1", "maxBoxes": 1, "leaseSeconds": 3660 });
        let license = plane.issue(order).await;
        plane.activate(&license["key"], "dead").await;
        plane.clock.advance_seconds(3660);
        let heir = plane.activate(&license["key"], "heir").await.body;
        let changed = plane
            .change(&license, json!({ "leaseSeconds": null }))
            .await;
        assert_eq!(changed["boxes"]["used"], 1);
        assert!(plane.passes(&heir["token"]).await);
        assert_eq!(plane.activate(&license["key"], "heir").await.status, 200);
        assert_eq!(plane.activate(&license["key"], "dead").await.status, 403);
    }
}

/// What the twin knows of a box.
#[derive(Clone)]
struct Seat {
    since: i64,
    seen: i64,
    id: Value,
}

/// The rule, told slowly: who holds a seat now, the oldest first.
fn seated(seats: &BTreeMap<String, Seat>, lease: Option<i64>, now: i64) -> Vec<(String, Seat)> {
    let mut held: Vec<_> = seats
        .iter()
        .filter(|(_, seat)| lease.is_none_or(|lease| seat.seen + lease > now))
        .map(|(fingerprint, seat)| (fingerprint.clone(), seat.clone()))
        .collect();
    held.sort_by_key(|(_, seat)| (seat.since, seat.id.as_str().unwrap().to_owned()));
    held
}

/// Boxes come, fall silent, return and are released, while the limit and the lease change. The
/// answers are those of the twin, and the boxes whose tokens pass are never more than the limit.
#[tokio::test]
async fn whatever_happens_no_more_boxes_work_than_there_are_seats() {
    for plane in Plane::on_each(SMALL).await {
        let mut dice = Dice::new(2026);
        let order = json!({ "customerId": "c-1", "maxBoxes": 2, "leaseSeconds": 3660 });
        let license = plane.issue(order).await;
        let (mut limit, mut lease, mut now) = (2_usize, Some(3660), 0);
        let mut seats: BTreeMap<String, Seat> = BTreeMap::new();
        let mut tokens: Vec<Value> = Vec::new();
        let mut outcomes = [0, 0];
        for step in 0..400 {
            match dice.roll(12) {
                0 => {
                    limit = 1 + dice.roll(4);
                    plane.change(&license, json!({ "maxBoxes": limit })).await;
                }
                1 => {
                    let longer = dice.one_of(&[Some(3660), Some(3660), Some(7200), None]);
                    if longer != lease {
                        let kept = seated(&seats, lease, now);
                        seats = kept.into_iter().collect();
                        lease = longer;
                    }
                    plane
                        .change(&license, json!({ "leaseSeconds": lease }))
                        .await;
                }
                2 if !seats.is_empty() => {
                    let all: Vec<_> = seats.keys().cloned().collect();
                    let fingerprint = dice.one_of(&all);
                    let seat = seats.remove(&fingerprint).unwrap();
                    let freed = if dice.roll(2) == 0 {
                        release(&plane, &license, &seat.id).await
                    } else {
                        deactivate(&plane, &license["key"], &fingerprint).await
                    };
                    assert_eq!(freed.status, 200, "{step}: {}", freed.text);
                }
                3..=5 => {
                    let wait = dice.one_of(&[1, 600, 1800, 3659, 3660]);
                    plane.clock.advance_seconds(wait);
                    now += wait;
                }
                _ => {
                    let fingerprint = format!("f-{}", dice.roll(6));
                    let held = seated(&seats, lease, now);
                    let place = held.iter().position(|(name, _)| *name == fingerprint);
                    let granted = place.unwrap_or(held.len()) < limit;
                    let answer = plane.activate(&license["key"], &fingerprint).await;
                    assert_eq!(answer.status == 200, granted, "{step}: {}", answer.text);
                    outcomes[usize::from(granted)] += 1;
                    if granted {
                        let id = answer.body["boxId"].clone();
                        let since = place.map_or(now, |place| held[place].1.since);
                        if let Some(known) = seats.get(&fingerprint) {
                            assert_eq!(known.id, id, "{step}");
                        }
                        seats.insert(
                            fingerprint,
                            Seat {
                                since,
                                seen: now,
                                id,
                            },
                        );
                        tokens.push(answer.body["token"].clone());
                    }
                }
            }
            let revocations = plane.operations.snapshot().await.unwrap().revocations;
            let mut working = std::collections::BTreeSet::new();
            let mut alive = Vec::new();
            let clock = activation_token::clock::Clock::now(&*plane.clock);
            for token in tokens {
                // The leeway for clocks that differ is none of this rule's.
                let claims = plane
                    .claims(&token)
                    .filter(|claims| claims.expires_at > clock);
                if let Some(claims) = claims
                    && plane.passes_by(&revocations, &token)
                {
                    working.insert(claims.box_id.unwrap());
                    alive.push(token);
                }
            }
            tokens = alive;
            assert!(working.len() <= limit, "{step}: {working:?} of {limit}");
        }
        assert!(outcomes[0] > 30 && outcomes[1] > 30, "{outcomes:?}");
    }
}
