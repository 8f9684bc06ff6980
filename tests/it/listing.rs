//! Lists of licenses: every filter, every size of page, and queries that make no sense.

use std::collections::BTreeMap;

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::plane::{Plane, refused};
use tests::{Dice, SMALL};

/// What a list must answer, told slowly: look at every license.
fn slowly(all: &[Value], query: &BTreeMap<&str, &str>, now: &str) -> Vec<String> {
    let status = |license: &Value| {
        let decision = license["decision"].as_str().unwrap();
        let time = |text: &Value| text.as_str().map(|text| text.parse().unwrap());
        let now: jiff::Timestamp = now.parse().unwrap();
        let end: Option<jiff::Timestamp> = time(&license["expiresAt"]);
        let grace = jiff::SignedDuration::from_secs(license["graceSeconds"].as_i64().unwrap());
        match end {
            _ if decision != "active" => decision.to_owned(),
            Some(end) if (end + grace).as_second() <= now.as_second() => "expired".to_owned(),
            Some(end) if end.as_second() <= now.as_second() => "grace".to_owned(),
            _ => "active".to_owned(),
        }
    };
    let before = |end: &Value, limit: &str| {
        end.as_str().is_some_and(|end| {
            end.parse::<jiff::Timestamp>().unwrap() < limit.parse::<jiff::Timestamp>().unwrap()
        })
    };
    let mut ids: Vec<String> = all
        .iter()
        .filter(|license| {
            query.iter().all(|(member, wanted)| match *member {
                "customerId" => license["customerId"] == *wanted,
                "tier" => license["tier"] == *wanted,
                "status" => status(license) == *wanted,
                _ => before(&license["expiresAt"], wanted),
            })
        })
        .map(|license| license["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids
}

/// Every row of a list, read in pages.
async fn listed(plane: &Plane, query: &BTreeMap<&str, &str>, rows: usize) -> Vec<String> {
    let query: String = query.iter().map(|(k, v)| format!("{k}={v}&")).collect();
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/licenses?{query}limit={rows}{cursor}");
        let page = plane.read(&path).await;
        let licenses = page["licenses"].as_array().unwrap();
        assert!(licenses.len() <= rows, "{path}");
        ids.extend(
            licenses
                .iter()
                .map(|l| l["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["nextCursor"].as_str() else {
            return ids;
        };
        assert_eq!(licenses.len(), rows, "{path}: a page that is not the last");
        cursor = format!("&cursor={next}");
    }
}

/// Some hundred licenses of every sort, with what was decided about each.
async fn many(plane: &Plane, dice: &mut Dice) -> Vec<Value> {
    // c-0 follows an assignment, the others the default.
    let tier = json!({ "tier": "growth" });
    let assigned = plane.ask(Method::PUT, "/v1/customers/c-0/tier", &tier);
    assert_eq!(assigned.await.status, 200);
    let mut orders = Vec::new();
    for _ in 0..240 {
        let mut order = json!({ "customerId": dice.one_of(&["c-0", "c-1", "c-2"]) });
        if let Some(tier) = dice.one_of(&[None, Some("basic"), Some("growth")]) {
            order["tier"] = json!(tier);
        }
        if dice.roll(3) > 0 {
            order["expiresAt"] = json!(format!("2026-11-21T12:0{}:00.5Z", 1 + dice.roll(9)));
            order["graceSeconds"] = json!(dice.one_of(&[0, 0, 60, 180]));
        }
        orders.push(order);
    }
    let mut all = join_all(orders.into_iter().map(|order| plane.issue(order))).await;
    for license in &mut all {
        let verb = dice.one_of(&["suspend", "revoke", "", "", "", ""]);
        license["decision"] = match verb {
            "" => json!("active"),
            verb => {
                assert_eq!(plane.decide(license, verb).await.status, 200);
                json!(if verb == "revoke" {
                    "revoked"
                } else {
                    "suspended"
                })
            }
        };
    }
    all
}

#[tokio::test]
async fn a_list_with_any_filters_is_what_looking_at_each_license_gives() {
    for plane in Plane::on_each(SMALL).await {
        let mut dice = Dice::new(7);
        let all = many(&plane, &mut dice).await;
        plane.clock.advance_seconds(300);
        let now = "2026-11-21T12:05:00Z";
        let mut found = 0;
        for customer in [None, Some("c-0"), Some("c-1"), Some("nobody")] {
            for status in ["", "active", "grace", "expired", "suspended", "revoked"] {
                for tier in ["", "basic", "growth"] {
                    for before in ["", "2026-11-21T12:05:00Z", "2026-11-21T12:05:00.6Z"] {
                        let members = [
                            ("customerId", customer.unwrap_or_default()),
                            ("status", status),
                            ("tier", tier),
                            ("expiresBefore", before),
                        ];
                        let query: BTreeMap<_, _> = members
                            .into_iter()
                            .filter(|(_, value)| !value.is_empty())
                            .collect();
                        let expected = slowly(&all, &query, now);
                        found += usize::from(!expected.is_empty());
                        let rows = if expected.len() < 20 { 1 } else { 7 };
                        for rows in [rows, 100] {
                            assert_eq!(listed(&plane, &query, rows).await, expected, "{query:?}");
                        }
                    }
                }
            }
        }
        assert!(found > 100, "the licenses are too much alike: {found}");
    }
}

#[tokio::test]
async fn licenses_that_come_while_a_list_is_read_move_no_row() {
    for plane in Plane::on_each(SMALL).await {
        let new = || plane.issue(json!({ "customerId": "c-1" }));
        let all = join_all((0..20).map(|_| new())).await;
        let mut expected = slowly(&all, &BTreeMap::new(), "2026-11-21T12:00:00Z");
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            plane.clock.advance_seconds(1);
            new().await;
            let page = plane.read(&format!("/v1/licenses?limit=3{cursor}")).await;
            let rows = page["licenses"].as_array().unwrap().iter();
            seen.extend(rows.map(|l| l["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["nextCursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        // The one that came before the first page stands first.
        assert_eq!(seen.len(), expected.len() + 1);
        expected.insert(0, seen[0].clone());
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_query_that_says_nothing_sensible_is_a_problem_on_both_databases() {
    for plane in Plane::on_each(SMALL).await {
        for (query, status, code) in [
            ("limit=0", 400, "invalid_query"),
            ("limit=101", 400, "invalid_query"),
            ("limit=x", 400, "invalid_query"),
            ("cursor=x", 400, "invalid_query"),
            ("status=asleep", 400, "invalid_query"),
            ("expiresBefore=tomorrow", 400, "invalid_query"),
            ("wat=1", 400, "invalid_query"),
            ("customerId=%00", 400, "invalid_query"),
            ("tier=gold", 422, "unknown_tier"),
        ] {
            let path = format!("/v1/licenses?{query}");
            let answer = plane.get(&path, Some(&plane.admin)).await;
            assert_eq!(refused(&answer), (status, code), "{query}");
        }
        for query in ["actor=%00", "action=%00", "subject=a%00b"] {
            let path = format!("/v1/audit?{query}");
            let answer = plane.get(&path, Some(&plane.admin)).await;
            assert_eq!(refused(&answer), (400, "invalid_query"), "{query}");
        }
        let nul = plane.ask(Method::GET, "/v1/customers/a%00b/tier", &Value::Null);
        assert_eq!(refused(&nul.await), (422, "invalid_fields"));
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let body = json!({ "key": license["key"], "box": { "fingerprint": "\0" } });
        for path in ["/v1/activate", "/v1/deactivate"] {
            let answer = plane.post(path, None, &body).await;
            assert_eq!(refused(&answer), (422, "invalid_fields"), "{path}");
        }
    }
}
