//! Usage: what applications tell of their subjects, and what of a limit is left.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use control_plane::domain::Role;
use control_plane::webhooks::Dispatcher;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Answer, Plane, json_request, refused};
use tests::receiver::Receiver;

/// What is counted, and what is not.
const METERED: &str = r#"
[manifest]
scope = "@acme"
default-tier = "basic"
tiers = ["basic", "growth"]
limits = ["boxes", "seats", "api_calls", "mails", "projects"]

[foundation]
leaves = ["@acme/shared"]

[tier.basic]
leaves = []
limits = { boxes = 2, seats = 2, api_calls = 10, mails = 10 }

[tier.growth]
leaves = []
limits = { boxes = 3, seats = 5, api_calls = "unlimited", mails = 100, projects = 1 }

[package."@acme/shared"]

[metric.api_calls]
unit = "call"
aggregate = "sum"

[metric.seats]
unit = "user"
aggregate = "unique"

[metric.mails]
unit = "mail"
aggregate = "sum"
period = "day"
cap = "burstable"

[metric.peak]
unit = "connection"
aggregate = "max"
"#;

/// An application of the vendor's.
struct App<'p> {
    plane: &'p Plane,
    token: String,
}

impl<'p> App<'p> {
    async fn new(plane: &'p Plane) -> Self {
        let secret = plane.credential("application").await["secret"].clone();
        let token = secret.as_str().unwrap().to_owned();
        Self { plane, token }
    }

    async fn posts(&self, path: &str, body: &Value) -> Answer {
        let path = format!("/v1/subjects/{path}");
        self.plane.post(&path, Some(&self.token), body).await
    }

    async fn records(&self, events: Value) -> Answer {
        self.posts("c-1/usage", &json!({ "events": events })).await
    }

    /// Asks about a limit of c-1.
    async fn checks(&self, body: Value) -> Value {
        let answer = self.posts("c-1/check", &body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        answer.body
    }

    async fn usage(&self, query: &str) -> Value {
        let path = format!("/v1/subjects/c-1/usage{query}");
        let answer = self.plane.get(&path, Some(&self.token)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let all = answer.body["usage"].as_array().unwrap().clone();
        all.into_iter()
            .map(|one| {
                (
                    one["metric"].as_str().unwrap().to_owned(),
                    one["used"].clone(),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

async fn assign(plane: &Plane, tier: &str) {
    let path = "/v1/customers/c-1/tier";
    let answer = plane.ask(Method::PUT, path, &json!({ "tier": tier })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn met_4_5_6_14_what_is_recorded_adds_up_and_is_read_again() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        let audited = plane.audit_rows();
        let answer = app
            .records(json!([
                { "metric": "api_calls" },
                { "metric": "api_calls", "quantity": 4 },
                { "metric": "peak", "quantity": 7 },
                { "metric": "peak", "quantity": 3 },
                { "metric": "seats", "value": "u-1" },
                { "metric": "seats", "value": "u-1" },
                { "metric": "mails", "quantity": 2, "at": "2026-11-20T10:00:00Z" },
            ]))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let usage = answer.body["usage"].as_array().unwrap();
        let used: Vec<_> = usage
            .iter()
            .map(|one| one["used"].as_u64().unwrap())
            .collect();
        assert_eq!(used, [1, 5, 7, 7, 1, 1, 2]);
        let mails = json!({ "metric": "mails", "used": 2, "unit": "mail", "repeated": false,
            "from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z" });
        assert_eq!(usage[6], mails);
        // Each in its own period that runs; then in others.
        for (query, mails) in [
            ("", 0),
            ("?window=month", 2),
            ("?window=2%20days", 2),
            ("?window=PT25H", 0),
            ("?from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z", 2),
            (
                "?from=2026-11-20T10:00:00.000001Z&to=2026-11-21T00:00:00Z",
                0,
            ),
        ] {
            assert_eq!(app.usage(query).await["mails"], mails, "{query}");
        }
        let now = app.usage("").await;
        assert_eq!(
            now,
            json!({ "api_calls": 5, "seats": 1, "mails": 0, "peak": 7 })
        );
        // Bookkeeping: nobody's rights changed.
        assert_eq!(plane.audit_rows(), audited);
        // A manifest without metrics counts nothing.
        assert_eq!(Metrics(&plane).of_another("c-2").await, json!([0, 0, 0, 0]));
    }
    for plane in Plane::on_each(SMALL).await {
        let app = App::new(&plane).await;
        assert_eq!(app.usage("").await, json!({}));
        let answer = app.records(json!([{ "metric": "api_calls" }])).await;
        assert_eq!(refused(&answer), (422, "unknown_metric"));
    }
}

struct Metrics<'p>(&'p Plane);

impl Metrics<'_> {
    async fn of_another(&self, subject: &str) -> Value {
        let usage = self.0.read(&format!("/v1/subjects/{subject}/usage")).await;
        let all = usage["usage"].as_array().unwrap().iter();
        all.map(|one| one["used"].clone()).collect()
    }
}

#[tokio::test]
async fn met_3_5_7_what_is_not_good_is_refused_whole_and_says_why() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        let good = json!({ "metric": "api_calls", "idempotencyKey": "k-1" });
        let with = |member: &str, value: Value| {
            let mut event = good.clone();
            event[member] = value;
            json!([good, event])
        };
        for (events, code) in [
            (json!([]), "invalid_fields"),
            (
                json!(vec![json!({ "metric": "peak", "quantity": 1 }); 101]),
                "invalid_fields",
            ),
            (with("metric", json!("apicalls")), "unknown_metric"),
            (with("quantity", json!(1.5)), "invalid_body"),
            (with("quantity", json!(-1)), "invalid_body"),
            (
                with("quantity", json!(9_223_372_036_854_775_808_u64)),
                "invalid_fields",
            ),
            (with("quantity", json!(2)), "idempotency_key_reused"),
            (with("value", json!("u-1")), "invalid_fields"),
            (with("idempotencyKey", json!("")), "invalid_fields"),
            (with("at", json!("yesterday")), "invalid_body"),
            (
                with("at", json!("2026-11-21T12:05:00.000001Z")),
                "invalid_fields",
            ),
            (with("more", json!(1)), "invalid_body"),
            (json!([good, { "metric": "peak" }]), "invalid_fields"),
            (
                json!([good, { "metric": "seats", "quantity": 1 }]),
                "invalid_fields",
            ),
            (
                json!([good, { "metric": "seats", "value": "a\u{0}" }]),
                "invalid_fields",
            ),
            (
                json!([good, { "metric": "seats", "value": "u", "quantity": 1 }]),
                "invalid_fields",
            ),
        ] {
            let answer = app.records(events.clone()).await;
            assert_eq!(refused(&answer), (422, code), "{events}: {}", answer.text);
        }
        let unknown = app
            .records(json!([{ "metric": "a" }, { "metric": "b" }]))
            .await;
        let text =
            "there is no metric `a`, `b`; the metrics are `api_calls`, `seats`, `mails`, `peak`";
        assert_eq!(unknown.body["detail"], text);
        let long = format!("{}/usage", "x".repeat(201));
        let answer = app.posts(&long, &json!({ "events": [good] })).await;
        assert_eq!(refused(&answer), (422, "invalid_fields"));
        for query in [
            "?window=quarter",
            "?window=month&from=2026-01-01T00:00:00Z",
            "?from=2026-01-01T00:00:00Z",
            "?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
            "?since=2026-01-01T00:00:00Z",
        ] {
            let path = format!("/v1/subjects/c-1/usage{query}");
            let answer = plane.get(&path, Some(&app.token)).await;
            assert_eq!(refused(&answer), (400, "invalid_query"), "{query}");
        }
        assert_eq!(app.usage("").await["api_calls"], 0);

        // The key counts once, with and without the header that asks for the same answer.
        for (repeated, used) in [(false, 1), (true, 1)] {
            let answer = app.records(json!([good])).await;
            let usage = &answer.body["usage"][0];
            assert_eq!(
                (&usage["repeated"], &usage["used"]),
                (&json!(repeated), &json!(used))
            );
        }
        for (token, path, body) in [
            (
                &app.token,
                "usage",
                json!({ "events": [{ "metric": "api_calls" }] }),
            ),
            (
                &app.token,
                "check",
                json!({ "limit": "mails", "consume": true }),
            ),
            (&plane.admin, "usage/rebuild", json!({})),
        ] {
            let mut answers = Vec::new();
            for _ in 0..2 {
                let path = format!("/v1/subjects/c-1/{path}");
                let mut request = json_request(Method::POST, &path, Some(token), body.to_string());
                let key = path.replace('/', "-").parse().unwrap();
                request.headers_mut().insert("idempotency-key", key);
                answers.push(plane.send(request).await);
            }
            assert_eq!(answers[0].text, answers[1].text);
            assert_eq!(answers[1].headers["idempotency-replayed"], "true", "{path}");
        }
        assert_eq!(app.usage("").await["mails"], 1);
        assert_eq!(app.usage("").await["api_calls"], 2);
    }
}

#[tokio::test]
async fn ent_32_33_34_a_check_tells_how_a_limit_stands_and_denies_at_the_limit() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        app.records(json!([{ "metric": "api_calls", "quantity": 9 }]))
            .await;
        let audited = plane.audit_rows();
        let asked = app.checks(json!({ "limit": "api_calls" })).await;
        let expected = json!({ "name": "api_calls", "allowed": true, "used": 9, "remaining": 1,
            "limit": 10, "unit": "call", "state": "ok" });
        assert_eq!(asked, expected);
        // Nothing was taken by asking.
        let asked = app
            .checks(json!({ "limit": "api_calls", "quantity": 2 }))
            .await;
        assert_eq!(
            (&asked["allowed"], &asked["used"]),
            (&json!(false), &json!(9))
        );
        app.records(json!([{ "metric": "api_calls" }])).await;
        let asked = app.checks(json!({ "limit": "api_calls" })).await;
        let standing = (&asked["allowed"], &asked["remaining"], &asked["state"]);
        assert_eq!(standing, (&json!(false), &json!(0), &json!("hard")));
        app.records(json!([{ "metric": "api_calls", "quantity": 30 }]))
            .await;
        let asked = app.checks(json!({ "limit": "api_calls" })).await;
        assert_eq!(
            (&asked["used"], &asked["remaining"]),
            (&json!(40), &json!(0))
        );
        // An upgrade holds at once.
        assign(&plane, "growth").await;
        let asked = app.checks(json!({ "limit": "api_calls" })).await;
        let standing = (&asked["allowed"], &asked["remaining"], &asked["limit"]);
        assert_eq!(standing, (&json!(true), &Value::Null, &Value::Null));
        // What was told by the tier alone is in the log; asking is not.
        let more: i64 =
            plane.audit_rows().parse::<i64>().unwrap() - audited.parse::<i64>().unwrap();
        assert_eq!(more, 1);
    }
}

#[tokio::test]
async fn ent_30_37_an_unknown_limit_and_one_that_no_metric_counts_are_errors() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        for consume in [false, true] {
            for (limit, code) in [
                ("apicalls", "unknown_limit"),
                // A metric without a limit, and a limit without a metric.
                ("peak", "unknown_limit"),
                ("projects", "unknown_metric"),
            ] {
                let body = json!({ "limit": limit, "consume": consume });
                let answer = app.posts("c-1/check", &body).await;
                assert_eq!(refused(&answer), (422, code), "{body}");
            }
            let nothing = json!({ "limit": "api_calls", "quantity": 0, "consume": consume });
            let answer = app.posts("c-1/check", &nothing).await;
            assert_eq!(refused(&answer), (422, "invalid_fields"));
        }
        let answer = app.posts("c-1/check", &json!({ "limit": "seat" })).await;
        let text = "unknown limit `seat`; the limits are boxes, seats, api_calls, mails, projects; \
            did you mean `seats`?";
        assert_eq!(answer.body["detail"], text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn met_16_however_many_ask_at_a_time_no_more_is_taken_than_there_is() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        let take = json!({ "limit": "api_calls", "consume": true });
        let taken = join_all((0..50).map(|_| app.checks(take.clone()))).await;
        let allowed = taken.iter().filter(|one| one["allowed"] == true);
        assert_eq!(allowed.count(), 10);
        assert_eq!(app.usage("").await["api_calls"], 10);

        // Different ones, of whom each that has a place keeps it.
        let seat =
            |nth: usize| json!({ "limit": "seats", "value": format!("u-{nth}"), "consume": true });
        let first = join_all((0..30).map(|nth| app.checks(seat(nth)))).await;
        let again = join_all((0..30).map(|nth| app.checks(seat(nth)))).await;
        let allowed = |all: &[Value]| -> Vec<Value> {
            all.iter().map(|one| one["allowed"].clone()).collect()
        };
        assert_eq!(allowed(&first), allowed(&again));
        assert_eq!(first.iter().filter(|one| one["allowed"] == true).count(), 2);

        // The next month begins with nothing. What was taken under a key is taken once.
        plane.clock.advance_seconds(10 * 24 * 3600);
        let keyed =
            json!({ "limit": "api_calls", "quantity": 6, "consume": true, "idempotencyKey": "k" });
        for used in [6, 6] {
            let taken = app.checks(keyed.clone()).await;
            assert_eq!(
                (&taken["allowed"], &taken["used"]),
                (&json!(true), &json!(used))
            );
        }
        let other = json!({ "limit": "api_calls", "quantity": 6, "consume": true });
        let denied = app.checks(other).await;
        assert_eq!(
            (&denied["allowed"], &denied["remaining"]),
            (&json!(false), &json!(4))
        );
    }
}

#[tokio::test]
async fn kum_58_webhooks_hear_once_a_period_that_a_soft_limit_was_passed() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        let mut receiver = Receiver::taking().await;
        let webhook = json!({ "url": receiver.url, "events": ["usage.*"] });
        plane.admin_posts("/v1/webhooks", &webhook).await;
        let dispatcher = Dispatcher::new(Arc::clone(&plane.operations), Duration::from_secs(1));
        let dispatcher = dispatcher.unwrap();
        let soft_limits =
            || plane.sql("SELECT COUNT(*) FROM audit WHERE action = 'usage.soft_limit'");
        let take = json!({ "limit": "mails", "consume": true });

        app.records(json!([{ "metric": "mails", "quantity": 11 }]))
            .await;
        assert_eq!(soft_limits(), ["0"]);
        // Many at the same time; all but the twelfth are too many, and one is told.
        let taken = join_all((0..5).map(|_| app.checks(take.clone()))).await;
        assert_eq!(taken.iter().filter(|one| one["allowed"] == true).count(), 1);
        assert_eq!(soft_limits(), ["1"]);
        app.records(json!([{ "metric": "mails", "quantity": 30 }]))
            .await;
        assert_eq!(soft_limits(), ["1"]);

        dispatcher.round().await.unwrap();
        let heard = receiver.next().await.body;
        assert_eq!(heard["type"], "usage.soft_limit");
        let data = heard["data"].to_string();
        for said in [
            r#""subject":"c-1""#,
            r#""metric":"mails""#,
            r#""used":12"#,
            r#""softLimit":11"#,
        ] {
            assert!(data.contains(said), "{data}");
        }

        // On the next day, and by what is recorded; what comes late tells of nothing.
        plane.clock.advance_seconds(24 * 3600);
        let late = json!([{ "metric": "mails", "quantity": 50, "at": "2026-11-20T10:00:00Z" }]);
        app.records(late).await;
        assert_eq!(soft_limits(), ["1"]);
        for quantity in [12, 12] {
            app.records(json!([{ "metric": "mails", "quantity": quantity }]))
                .await;
            assert_eq!(soft_limits(), ["2"]);
        }
        // A hard cap has no soft limit.
        app.records(json!([{ "metric": "api_calls", "quantity": 99 }]))
            .await;
        assert_eq!(soft_limits(), ["2"]);
    }
}

#[tokio::test]
async fn kum_61_boxes_are_counted_as_they_are_and_a_full_stock_is_refused() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let boxes = async || {
            let asked = app.checks(json!({ "limit": "boxes" })).await;
            (
                asked["allowed"].clone(),
                asked["used"].clone(),
                asked["unit"].clone(),
            )
        };
        let told = |allowed: bool, used: u32| (json!(allowed), json!(used), json!("box"));
        assert_eq!(boxes().await, told(true, 0));
        let first = plane.activate(&license["key"], "f-1").await.body["boxId"].clone();
        plane.activate(&license["key"], "f-2").await;
        assert_eq!(boxes().await, told(false, 2));
        let guard = json!({ "limit": "boxes", "consume": true });
        let answer = app.posts("c-1/check", &guard).await;
        assert_eq!(refused(&answer), (422, "stock_full"));
        // Releasing one frees its place at once.
        let path = format!(
            "/v1/licenses/{}/boxes/{}",
            license["id"].as_str().unwrap(),
            first.as_str().unwrap()
        );
        let released = plane.ask(Method::DELETE, &path, &Value::Null).await;
        assert!(released.status.is_success(), "{}", released.text);
        assert_eq!(boxes().await, told(true, 1));
        // Asking takes nothing: the box itself will.
        for _ in 0..2 {
            let asked = app.checks(guard.clone()).await;
            assert_eq!(
                (&asked["allowed"], &asked["used"]),
                (&json!(true), &json!(1))
            );
        }
    }
}

#[tokio::test]
async fn kum_62_applications_record_and_viewers_read() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        let events = json!({ "events": [{ "metric": "api_calls" }] });
        let take = json!({ "limit": "api_calls", "consume": true });
        for (role, may) in [
            (Role::Admin, true),
            (Role::Support, true),
            (Role::Viewer, false),
            (Role::Billing, false),
        ] {
            let token = plane.operator(role).await;
            for (path, body) in [("usage", &events), ("check", &take)] {
                let path = format!("/v1/subjects/c-1/{path}");
                let answer = plane.post(&path, Some(&token), body).await;
                assert_eq!(
                    answer.status == StatusCode::OK,
                    may,
                    "{role:?}: {}",
                    answer.text
                );
            }
            let read = plane.get("/v1/subjects/c-1/usage", Some(&token)).await;
            assert_eq!(read.status, 200, "{role:?}");
        }
        // Only an operator makes usage anew.
        let path = "/v1/subjects/c-1/usage/rebuild";
        let answer = plane.post(path, Some(&app.token), &json!({})).await;
        assert_eq!(refused(&answer), (403, "not_allowed"));
        assert_eq!(app.usage("").await["api_calls"], 4);
        // One subject's usage is not another's.
        app.posts("c-2/usage", &events).await;
        assert_eq!(app.usage("").await["api_calls"], 4);
        assert_eq!(Metrics(&plane).of_another("c-2").await, json!([1, 0, 0, 0]));
    }
}

#[tokio::test]
async fn met_15_usage_is_made_anew_from_its_events_and_the_log_tells_so() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        let events = json!([
            { "metric": "api_calls", "quantity": 5 },
            { "metric": "seats", "value": "u-1" },
            { "metric": "seats", "value": "u-2" },
            { "metric": "peak", "quantity": 3 },
        ]);
        app.records(events).await;
        let good = app.usage("").await;
        let mut sql = plane.connection().await;
        sql.run("UPDATE entitlement_usage SET value = 77", &[])
            .await;
        assert_eq!(app.usage("").await["seats"], 77);
        let body = json!({ "reason": "a restored backup" });
        let rebuilt = plane
            .admin_posts("/v1/subjects/c-1/usage/rebuild", &body)
            .await;
        assert_eq!(rebuilt["subject"], "c-1");
        assert_eq!(app.usage("").await, good);
        let rows = plane.read("/v1/audit?action=usage.rebuild").await;
        let row = &rows["entries"][0];
        assert_eq!(
            (&row["before"]["peak"], &row["after"]["peak"]),
            (&json!(77), &json!(3))
        );
        assert_eq!(row["reason"], "a restored backup");
    }
}

#[tokio::test]
async fn met_15_events_are_forgotten_after_a_hundred_days_and_aggregates_stay() {
    for plane in Plane::on_each(METERED).await {
        let app = App::new(&plane).await;
        let keyed = json!([{ "metric": "api_calls", "quantity": 5, "idempotencyKey": "k-1" }]);
        app.records(keyed.clone()).await;
        let count =
            |table: &str| plane.sql(&format!("SELECT COUNT(*) FROM entitlement_usage{table}"));
        let day = 24 * 3600;
        for (days, kept) in [(100, ["1", "1"]), (1, ["0", "0"])] {
            plane.clock.advance_seconds(days * day);
            plane.operations.write_notes().await.unwrap();
            assert_eq!([count("_events").concat(), count("_keys").concat()], kept);
        }
        // What was counted in November stands, also after a rebuild.
        let november = "?from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z";
        for _ in 0..2 {
            assert_eq!(app.usage(november).await["api_calls"], 5);
            plane
                .admin_posts("/v1/subjects/c-1/usage/rebuild", &json!({}))
                .await;
        }
        let late = json!([{ "metric": "api_calls", "at": "2026-11-22T11:59:59Z" }]);
        let answer = app.records(late).await;
        assert_eq!(refused(&answer), (422, "invalid_fields"));
        let part = "/v1/subjects/c-1/usage?from=2026-11-02T00:00:00Z&to=2026-12-01T00:00:00Z";
        let answer = plane.get(part, Some(&app.token)).await;
        assert_eq!(refused(&answer), (422, "usage_forgotten"));
        // The key is free again, for an event of today.
        let answer = app.records(keyed).await;
        assert_eq!(answer.body["usage"][0]["repeated"], false);
    }
}
