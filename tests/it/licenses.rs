//! The life of a license: sold, found again, changed, suspended, given another key, at its end.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Request};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::plane::{Answer, Plane, path_of};
use tests::{Dice, SMALL};

/// The status and code of a refusal.
fn refused(answer: &Answer) -> (u16, &str) {
    (
        answer.status.as_u16(),
        answer.body["code"].as_str().unwrap_or_default(),
    )
}

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
            (json!({ "leaseSeconds": 3600 }), "leaseSeconds", json!(3600)),
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
            (json!({ "leaseSeconds": 3599 }), "invalid_fields"),
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

/// Sends a table.
async fn import(plane: &Plane, query: &str, csv: impl Into<Body>, key: Option<&str>) -> Answer {
    let mut request = Request::post(format!("/v1/licenses/import{query}"))
        .header("content-type", "text/csv; charset=utf-8")
        .header("authorization", format!("Bearer {}", plane.admin));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    plane.send(request.body(csv.into()).unwrap()).await
}

#[tokio::test]
async fn a_table_is_imported_row_by_row_and_bad_rows_are_reported() {
    for plane in Plane::on_each(SMALL).await {
        let csv = "\u{feff}customerId,tier,expiresAt,expiryStrategy,graceSeconds,maxBoxes,leaseSeconds,addOns,metadata.order\r\n\
            c-1,growth,2027-01-01T00:00:00Z,maintain,60,5,7200,@acme/loyalty @acme/order,\"a \"\"quoted\"\", one\"\r\n\
            \"c,2\",,,,,,,,\r\n\
            ,gold,tomorrow,never,-1,0,1,nope,\r\n\
            \r\n\
            c-3,gold,,,,,,,\"two\nlines\"\r\n\
            c-4,basic,,,,,,,\r\n";
        let dry = import(&plane, "?dryRun=true", csv, None).await;
        assert_eq!(dry.status, 200, "{}", dry.text);
        assert!(
            !dry.text.contains("tgl_live_") && !dry.text.contains("\"key\""),
            "{}",
            dry.text
        );
        assert_eq!(plane.sql("SELECT COUNT(*) FROM licenses"), ["0"]);
        let rows_before = plane.audit_rows();

        let done = import(&plane, "", csv, None).await;
        assert_eq!(done.status, 200, "{}", done.text);
        assert_eq!(
            (&done.body["issued"], &done.body["refused"]),
            (&json!(3), &json!(2))
        );
        let rows = done.body["rows"].as_array().unwrap();
        let lines: Vec<_> = rows
            .iter()
            .map(|row| row["line"].as_u64().unwrap())
            .collect();
        assert_eq!(lines, [2, 3, 4, 6, 8]);
        let first = &rows[0]["license"];
        assert_eq!(first["metadata"]["order"], "a \"quoted\", one");
        assert_eq!(first["addOns"], json!(["@acme/loyalty", "@acme/order"]));
        assert_eq!(
            (&first["maxBoxes"], &first["leaseSeconds"]),
            (&json!(5), &json!(7200))
        );
        assert_eq!(
            (&first["graceSeconds"], &first["expiryStrategy"]),
            (&json!(60), &json!("maintain"))
        );
        assert_eq!(rows[1]["license"]["customerId"], "c,2");
        assert_eq!(rows[2]["error"]["code"], "invalid_fields");
        let fields = rows[2]["error"]["errors"].as_array().unwrap().iter();
        let fields: Vec<_> = fields
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        assert_eq!(
            fields,
            ["expiresAt", "graceSeconds", "expiryStrategy", "addOns"]
        );
        assert_eq!(rows[3]["error"]["code"], "unknown_tier");
        for row in [0, 1, 4] {
            let key = &rows[row]["license"]["key"];
            assert_eq!(plane.activate(key, "f-1").await.status, 200);
        }
        // The report of the dry run is the same but for ids and keys.
        let plain = |report: &Value| {
            let rows = report["rows"].as_array().unwrap().iter().cloned();
            let rows = rows.map(|mut row| {
                if let Some(license) = row["license"].as_object_mut() {
                    license.remove("id");
                    license.remove("key");
                }
                row
            });
            rows.collect::<Vec<_>>()
        };
        assert_eq!(plain(&dry.body), plain(&done.body));
        let sequence: u64 = rows_before.parse().unwrap();
        let actions = plane.sql(&format!(
            "SELECT action FROM audit WHERE sequence > {sequence} AND action <> 'license.activate' ORDER BY sequence"
        ));
        assert_eq!(
            actions,
            [
                "license.issue",
                "license.issue",
                "license.issue",
                "license.import"
            ]
        );
    }
}

#[tokio::test]
async fn a_table_that_is_none_is_refused_whole() {
    for plane in Plane::on_each(SMALL).await {
        let many = |rows: usize| format!("customerId\n{}", "c-1\n".repeat(rows));
        for (csv, detail) in [
            (String::new(), "customerId"),
            ("tier\nbasic\n".into(), "no column `customerId`"),
            ("customerId,teir\nc,x\n".into(), "`teir` is unknown"),
            (
                "customerId,metadata.\nc,x\n".into(),
                "`metadata.` is unknown",
            ),
            ("customerId,customerId\nc,x\n".into(), "stands twice"),
            ("customerId,tier\nc-1\n".into(), "line: 2"),
            (many(1_001), "at most 1000 rows"),
        ] {
            let answer = import(&plane, "", csv, None).await;
            assert_eq!(refused(&answer), (400, "malformed_csv"));
            let text = answer.body["detail"].as_str().unwrap();
            assert!(text.contains(detail), "{detail}: {text}");
        }
        let answer = import(&plane, "", &b"customerId\n\xff\n"[..], None).await;
        assert_eq!(refused(&answer), (400, "malformed_csv"));
        let answer = plane
            .post("/v1/licenses/import", Some(&plane.admin), &json!({}))
            .await;
        assert_eq!(refused(&answer), (415, "unsupported_media_type"));
        let answer = import(&plane, "", "x".repeat(1024 * 1024 + 1), None).await;
        assert_eq!(refused(&answer), (413, "body_too_large"));
        assert_eq!(plane.sql("SELECT COUNT(*) FROM licenses"), ["0"]);

        // As many as there may be, once, however often they are sent.
        let first = import(&plane, "", many(1_000), Some("k-1")).await;
        let again = import(&plane, "", many(1_000), Some("k-1")).await;
        assert_eq!(first.body["issued"], 1_000);
        assert_eq!(first.text, again.text);
        assert_eq!(plane.sql("SELECT COUNT(*) FROM licenses"), ["1000"]);
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

#[tokio::test]
async fn what_takes_something_away_ends_the_tokens_and_what_gives_does_not() {
    for plane in Plane::on_each(SMALL).await {
        // A change of a license that has everything, and whether it narrows.
        for (change, narrows) in [
            (json!({ "tier": "basic" }), true),
            (json!({ "tier": null }), true),
            (json!({ "maxBoxes": 4 }), true),
            (json!({ "maxBoxes": 6 }), false),
            (json!({ "maxBoxes": null }), false),
            (json!({ "expiresAt": "2026-12-01T00:00:00Z" }), true),
            (json!({ "expiresAt": "2028-01-01T00:00:00Z" }), false),
            (json!({ "expiresAt": null, "graceSeconds": 0 }), false),
            (json!({ "graceSeconds": 0 }), true),
            (json!({ "graceSeconds": 120 }), false),
            (json!({ "expiryStrategy": "maintain" }), false),
            (json!({ "metadata": { "a": "b" } }), false),
            (json!({ "leaseSeconds": 3600 }), false), // a silent box has no token that is good
        ] {
            let license = plane
                .issue(json!({
                    "customerId": "c-1", "tier": "growth", "maxBoxes": 5, "graceSeconds": 60,
                    "expiresAt": "2027-01-01T00:00:00Z",
                }))
                .await;
            let before = plane.activate(&license["key"], "f-1").await.body["token"].clone();
            let number = plane.operations.store.newest_change().await.unwrap();
            plane.change(&license, change.clone()).await;
            assert_eq!(plane.passes(&before).await, !narrows, "{change}");
            let told = plane.operations.store.newest_change().await.unwrap() > number;
            assert!(told || !narrows, "{change}: gates are not told");
            let after = plane.activate(&license["key"], "f-1").await.body["token"].clone();
            assert!(plane.passes(&after).await, "{change}: in the same second");
        }
        let add_on = plane
            .issue(json!({ "customerId": "c-1", "tier": "basic", "addOns": ["@acme/loyalty"] }))
            .await;
        let before = plane.activate(&add_on["key"], "f-1").await.body["token"].clone();
        plane.change(&add_on, json!({ "addOns": [] })).await;
        assert!(!plane.passes(&before).await);
    }
}

#[tokio::test]
async fn a_token_does_not_outlive_a_second_blow_in_the_same_second() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "tier": "growth", "maxBoxes": 9 }))
            .await;
        let mut tokens = Vec::new();
        for boxes in (4..9).rev() {
            plane.change(&license, json!({ "maxBoxes": boxes })).await;
            for token in &tokens {
                assert!(!plane.passes(token).await);
            }
            let token = plane.activate(&license["key"], "f-1").await.body["token"].clone();
            assert!(plane.passes(&token).await, "{boxes}");
            tokens.push(token);
        }
        plane.decide(&license, "suspend").await;
        assert!(!plane.passes(&tokens[4]).await, "suspended");
        plane.decide(&license, "reinstate").await;
        let answer = plane.activate(&license["key"], "f-1").await.body;
        assert!(plane.passes(&answer["token"]).await);
        let path = format!(
            "{}/boxes/{}",
            path_of(&license),
            answer["boxId"].as_str().unwrap()
        );
        assert_eq!(
            plane.ask(Method::DELETE, &path, &Value::Null).await.status,
            200
        );
        assert!(!plane.passes(&answer["token"]).await, "released");
    }
}

#[tokio::test]
async fn gates_are_told_of_a_set_of_packages_that_is_new() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "addOns": ["@acme/points"] }))
            .await;
        let number = async || plane.operations.store.newest_change().await.unwrap();
        let before = number().await;
        let growth = json!({ "tier": "growth" });
        plane.change(&license, growth.clone()).await;
        let changed = number().await;
        assert!(changed > before, "a new tier under the add-on");
        plane.change(&license, json!({ "tier": null })).await;
        let followed = number().await;
        plane
            .ask(Method::PUT, "/v1/customers/c-1/tier", &growth)
            .await;
        assert!(
            number().await > followed,
            "the customer's tier under the add-on"
        );
    }
}

#[tokio::test]
async fn the_first_of_several_reasons_is_the_one_that_is_given() {
    for plane in Plane::on_each(SMALL).await {
        let revoked = plane.issue(json!({ "customerId": "c-1" })).await;
        plane.decide(&revoked, "revoke").await;
        let full = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 1 }))
            .await;
        plane.activate(&full["key"], "f-1").await;
        let unknown = "/v1/licenses/lic_00000000000000000000000000";
        let of_revoked = path_of(&revoked);
        let nobody = json!({ "fingerprint": "nobody" });
        let table = [
            // A body that cannot be read, before anything it says.
            (
                "PATCH",
                unknown,
                json!({ "tier": 7, "maxBoxes": 0 }),
                "invalid_body",
            ),
            (
                "POST",
                "/v1/licenses",
                json!({ "customerId": "", "tier": "gold", "addOns": ["@acme/no"] }),
                "invalid_fields",
            ),
            (
                "POST",
                "/v1/licenses",
                json!({ "customerId": "c", "tier": "gold", "addOns": ["@acme/no"] }),
                "unknown_tier",
            ),
            (
                "POST",
                "/v1/licenses",
                json!({ "customerId": "c", "addOns": ["@acme/no"] }),
                "unknown_package",
            ),
            // What it says, before what it is about.
            (
                "PATCH",
                unknown,
                json!({ "tier": "gold", "maxBoxes": 0 }),
                "invalid_fields",
            ),
            (
                "PATCH",
                unknown,
                json!({ "tier": "gold", "addOns": ["@acme/no"] }),
                "unknown_tier",
            ),
            (
                "PATCH",
                unknown,
                json!({ "addOns": ["@acme/no"] }),
                "unknown_package",
            ),
            (
                "PATCH",
                "/v1/licenses/nonsense",
                json!({ "reason": "" }),
                "invalid_fields",
            ),
            (
                "PATCH",
                &of_revoked,
                json!({ "tier": "gold" }),
                "unknown_tier",
            ),
            (
                "POST",
                &format!("{unknown}/suspend"),
                json!({ "reason": "" }),
                "invalid_fields",
            ),
            (
                "POST",
                &format!("{unknown}/rotate-key"),
                json!({ "reason": "x", "overlapSeconds": 9_000_000 }),
                "invalid_fields",
            ),
            // What it is about, before how that stands.
            (
                "PATCH",
                unknown,
                json!({ "graceSeconds": 5 }),
                "license_not_found",
            ),
            (
                "DELETE",
                &format!("{unknown}/boxes/box_x"),
                json!(null),
                "license_not_found",
            ),
            (
                "DELETE",
                &format!("{of_revoked}/boxes/box_x"),
                json!(null),
                "box_not_found",
            ),
            (
                "PATCH",
                &of_revoked,
                json!({ "graceSeconds": 5 }),
                "license_revoked",
            ),
            (
                "PATCH",
                &path_of(&full),
                json!({ "graceSeconds": 5 }),
                "invalid_fields",
            ),
            // With a key alone.
            (
                "POST",
                "/v1/activate",
                json!({ "key": "tgl_live_no", "box": { "fingerprint": "" } }),
                "invalid_fields",
            ),
            (
                "POST",
                "/v1/activate",
                json!({ "key": revoked["key"], "box": { "fingerprint": "" } }),
                "invalid_fields",
            ),
            (
                "POST",
                "/v1/activate",
                json!({ "key": revoked["key"] }),
                "license_unusable",
            ),
            (
                "POST",
                "/v1/activate",
                json!({ "key": full["key"] }),
                "box_required",
            ),
            (
                "POST",
                "/v1/activate",
                json!({ "key": full["key"], "box": nobody }),
                "box_limit_reached",
            ),
            (
                "POST",
                "/v1/deactivate",
                json!({ "key": "tgl_live_no", "box": { "fingerprint": "" } }),
                "invalid_fields",
            ),
            (
                "POST",
                "/v1/deactivate",
                json!({ "key": revoked["key"], "box": nobody }),
                "license_unusable",
            ),
            (
                "POST",
                "/v1/deactivate",
                json!({ "key": full["key"], "box": nobody }),
                "box_not_found",
            ),
        ];
        for (method, path, body, code) in table {
            let method: Method = method.parse().unwrap();
            let answer = plane.ask(method.clone(), path, &body).await;
            assert_eq!(
                answer.body["code"], code,
                "{method} {path} {body}: {}",
                answer.text
            );
        }
    }
}
