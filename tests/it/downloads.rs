//! Downloads: what gates tell of them is counted once, and operators read the sums.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::plane::{Plane, json_request, refused};
use tests::process::Gate;
use tests::{COMMERCE, Database, Dice, Npm, Relay, SMALL, Tollgate, Vendor};

fn record(license: &str, version: &str, day: &str, count: u64) -> Value {
    let customer = format!("c-{license}");
    json!({ "licenseId": license, "customerId": customer, "package": "@acme/order",
            "version": version, "day": day, "count": count })
}

fn batch(id: &str, records: &[Value]) -> Value {
    json!({ "batchId": id, "records": records })
}

async fn gate_token(plane: &Plane) -> String {
    let credential = plane.credential("gate").await;
    credential["secret"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn pot_42_a_batch_is_counted_once_however_often_and_in_whatever_order_it_comes() {
    for plane in Plane::on_each(SMALL).await {
        let gate = gate_token(&plane).await;
        let audited = plane.audit_rows();
        let (mut batches, mut expected) = (Vec::new(), BTreeMap::new());
        let mut dice = Dice::new(42);
        for nth in 0..20 {
            // More than one statement takes, and one release twice.
            let records: Vec<Value> = (0..60 + nth)
                .map(|row| {
                    let (version, count) = (format!("1.0.{}", row % 58), dice.roll(9) as u64 + 1);
                    *expected.entry(version.clone()).or_insert(0) += count;
                    record("lic_a", &version, "2026-11-21", count)
                })
                .collect();
            batches.extend(vec![batch(&format!("b-{nth}"), &records); 5]);
        }
        for at in (1..batches.len()).rev() {
            batches.swap(at, dice.roll(at + 1));
        }
        let answers = join_all(batches.iter().enumerate().map(|(nth, batch)| {
            let path = ["/v1/gate/downloads", "/telemetry/download"][nth % 2];
            plane.post(path, Some(&gate), batch)
        }));
        let mut outcomes = BTreeMap::new();
        for answer in answers.await {
            assert_eq!(answer.status, 200, "{}", answer.text);
            let outcome = answer.body["outcome"].as_str().unwrap().to_owned();
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
        let twice = [("accepted".to_owned(), 20), ("duplicate".to_owned(), 80)];
        assert_eq!(outcomes, twice.into());
        let shown = plane.read("/v1/downloads?limit=100").await;
        let sums = shown["downloads"].as_array().unwrap().iter().map(|sum| {
            let version = sum["version"].as_str().unwrap().to_owned();
            (version, sum["count"].as_u64().unwrap())
        });
        assert_eq!(sums.collect::<BTreeMap<_, _>>(), expected);
        assert_eq!(shown["total"], expected.values().sum::<u64>());
        // Bookkeeping: nobody may do more or less because of it.
        assert_eq!(plane.audit_rows(), audited);
    }
}

#[tokio::test]
async fn pot_42_only_a_gate_tells_of_downloads() {
    for plane in Plane::on_each(SMALL).await {
        let good = batch("b-1", &[record("lic_a", "1.0.0", "2026-11-21", 1)]);
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let key = license["key"].as_str().unwrap();
        for path in ["/v1/gate/downloads", "/telemetry/download"] {
            for token in [None, Some(key)] {
                assert_eq!(plane.post(path, token, &good).await.status, 401);
            }
            let mut others = vec![plane.admin.clone()];
            for kind in ["publisher", "application"] {
                let secret = plane.credential(kind).await["secret"].clone();
                others.push(secret.as_str().unwrap().to_owned());
            }
            for other in others {
                let answer = plane.post(path, Some(&other), &good).await;
                assert_eq!(refused(&answer), (403, "not_allowed"));
            }
        }
        // Nor does a gate read them.
        let gate = gate_token(&plane).await;
        let answer = plane.get("/v1/downloads", Some(&gate)).await;
        assert_eq!(refused(&answer), (403, "not_allowed"));
        assert_eq!(plane.read("/v1/downloads").await["total"], 0);
    }
}

#[tokio::test]
async fn a_batch_that_is_not_good_is_refused_whole_and_says_why() {
    for plane in Plane::on_each(SMALL).await {
        let gate = gate_token(&plane).await;
        let good = record("lic_a", "1.0.0", "2026-11-21", 1);
        let with = |member: &str, value: Value| {
            let mut record = good.clone();
            record[member] = value;
            batch("b-1", &[good.clone(), record])
        };
        for (sent, code) in [
            (batch("", std::slice::from_ref(&good)), "invalid_fields"),
            (
                batch(&"b".repeat(101), std::slice::from_ref(&good)),
                "invalid_fields",
            ),
            (batch("b-1", &[]), "invalid_fields"),
            (batch("b-1", &vec![good.clone(); 1001]), "invalid_fields"),
            (with("count", json!(0)), "invalid_fields"),
            (with("count", json!(1_000_000_001)), "invalid_fields"),
            (with("count", json!(-1)), "invalid_body"),
            (with("licenseId", json!("")), "invalid_fields"),
            (with("customerId", json!("a\nb")), "invalid_fields"),
            (with("version", json!("v\u{0}")), "invalid_fields"),
            (with("package", json!("Not A Name")), "invalid_body"),
            (with("day", json!("yesterday")), "invalid_body"),
            (with("day", json!("1999-12-31")), "invalid_fields"),
            (with("day", json!("2026-11-23")), "invalid_fields"),
            (
                batch("b-1", &[record("lic_a", "1.0.0", "2026-09-21", 1)]),
                "invalid_fields",
            ),
        ] {
            let answer = plane.post("/v1/gate/downloads", Some(&gate), &sent).await;
            assert_eq!(refused(&answer), (422, code), "{sent}");
        }
        let long = batch(
            "b-1",
            &[with("version", json!("1".repeat(2 * 1024 * 1024)))],
        );
        let answer = plane.post("/v1/gate/downloads", Some(&gate), &long).await;
        assert_eq!(refused(&answer), (413, "body_too_large"));
        assert_eq!(plane.sql("SELECT COUNT(*) FROM download_batches"), ["0"]);
        assert_eq!(plane.read("/v1/downloads").await["total"], 0);

        // An old record beside a new one, a day that has begun elsewhere, a member of a later
        // release, and a license that nobody knows: all of these count.
        let mut later = record("lic_gone", "1.0.0", "2026-11-22", 2);
        later["more"] = json!(true);
        let sent = batch("b-1", &[record("lic_a", "1.0.0", "2025-01-01", 1), later]);
        let answer = plane.post("/v1/gate/downloads", Some(&gate), &sent).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            plane.read("/v1/downloads?licenseId=lic_gone").await["total"],
            2
        );
    }
}

#[tokio::test]
async fn an_id_is_forgotten_only_when_its_batch_is_refused_for_its_age() {
    for plane in Plane::on_each(SMALL).await {
        let gate = gate_token(&plane).await;
        let sent = batch("b-1", &[record("lic_a", "1.0.0", "2026-11-21", 1)]);
        let told = async || plane.post("/v1/gate/downloads", Some(&gate), &sent).await;
        assert_eq!(told().await.body["outcome"], "accepted");
        let days = |days: i64| plane.clock.advance_seconds(days * 24 * 60 * 60);
        days(60);
        plane.operations.write_notes().await.unwrap();
        assert_eq!(told().await.body["outcome"], "duplicate");
        days(1);
        assert_eq!(refused(&told().await), (422, "invalid_fields"));
        days(28);
        plane.operations.write_notes().await.unwrap();
        assert_eq!(plane.sql("SELECT id FROM download_batches"), ["b-1"]);
        days(1);
        plane.operations.write_notes().await.unwrap();
        assert_eq!(plane.sql("SELECT COUNT(*) FROM download_batches"), ["0"]);
        assert_eq!(refused(&told().await), (422, "invalid_fields"));
        assert_eq!(plane.read("/v1/downloads").await["total"], 1);
    }
}

/// Every sum of a grouping, page by page.
async fn all(plane: &Plane, query: &str) -> Vec<Value> {
    let (mut sums, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = plane
            .read(&format!("/v1/downloads?limit=2&{query}{cursor}"))
            .await;
        let some = page["downloads"].as_array().unwrap();
        assert!(some.len() <= 2);
        sums.extend(some.iter().cloned());
        let total = sums
            .iter()
            .map(|sum| sum["count"].as_u64().unwrap())
            .sum::<u64>();
        let Some(next) = page["nextCursor"].as_str() else {
            assert_eq!(page["total"], total);
            return sums;
        };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn sums_are_made_by_what_is_asked_for_filtered_and_paged() {
    for plane in Plane::on_each(SMALL).await {
        let gate = gate_token(&plane).await;
        let mut records = Vec::new();
        for license in ["lic_a", "lic_b"] {
            for version in ["1.0.0", "1.1.0"] {
                for day in ["2026-11-19", "2026-11-20", "2026-11-21"] {
                    records.push(record(license, version, day, 1));
                }
            }
        }
        let mut other = record("lic_b", "1.0.0", "2026-11-21", 10);
        other["package"] = json!("@acme/shared");
        records.push(other);
        let sent = batch("b-1", &records);
        let answer = plane.post("/v1/gate/downloads", Some(&gate), &sent).await;
        assert_eq!(answer.status, 200, "{}", answer.text);

        let count = |members: Value, count: u64| {
            let mut sum = members;
            sum["count"] = json!(count);
            sum
        };
        assert_eq!(
            all(&plane, "groupBy=day").await,
            [
                count(json!({ "day": "2026-11-19" }), 4),
                count(json!({ "day": "2026-11-20" }), 4),
                count(json!({ "day": "2026-11-21" }), 14),
            ]
        );
        assert_eq!(
            all(&plane, "groupBy=package,customer").await,
            [
                count(
                    json!({ "customerId": "c-lic_a", "package": "@acme/order" }),
                    6
                ),
                count(
                    json!({ "customerId": "c-lic_b", "package": "@acme/order" }),
                    6
                ),
                count(
                    json!({ "customerId": "c-lic_b", "package": "@acme/shared" }),
                    10
                ),
            ]
        );
        // The default.
        let default = all(&plane, "").await;
        assert_eq!(
            default,
            all(&plane, "groupBy=license,package,version").await
        );
        assert_eq!(default.len(), 5);
        assert_eq!(
            all(&plane, "groupBy=day,license,package,version")
                .await
                .len(),
            13
        );
        for (query, total) in [
            ("licenseId=lic_a", 6),
            ("customerId=c-lic_b", 16),
            ("package=@acme/shared", 10),
            ("package=@acme/order&version=1.1.0", 6),
            ("from=2026-11-20", 18),
            ("to=2026-11-20", 4),
            ("from=2026-11-20&to=2026-11-21", 4),
            // Days count whole.
            ("from=2026-11-20T23:00:00Z", 18),
            ("to=2026-11-20T00:00:00Z", 4),
            ("to=2026-11-20T00:00:01Z", 8),
            ("to=2026-11-20T01:30:00%2B02:00", 4),
            ("licenseId=lic_c", 0),
        ] {
            let sums = all(&plane, query).await;
            let sum: u64 = sums.iter().map(|sum| sum["count"].as_u64().unwrap()).sum();
            assert_eq!(sum, total, "{query}");
        }
        for query in [
            "groupBy=",
            "groupBy=license,week",
            "from=yesterday",
            "from=2026-13-01",
            "limit=0",
            "cursor=!",
            "cursor=YQ",
            "more=1",
        ] {
            let path = format!("/v1/downloads?{query}");
            let answer = plane.get(&path, Some(&plane.admin)).await;
            assert_eq!(refused(&answer), (400, "invalid_query"), "{query}");
        }
    }
}

#[tokio::test]
async fn gates_are_told_which_licenses_expire_soon_or_are_in_their_grace() {
    let day = |nth: i64| {
        let noon: jiff::Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        noon + jiff::SignedDuration::from_hours(24 * nth)
    };
    for plane in Plane::on_each(SMALL).await {
        let issue = async |expires: i64, grace: i64| {
            let new = json!({ "customerId": "c-1", "expiresAt": day(expires),
                              "graceSeconds": grace * 86_400 });
            plane.issue(new).await["id"].as_str().unwrap().to_owned()
        };
        plane.issue(json!({ "customerId": "c-1" })).await;
        let suspended = issue(3, 0).await;
        let suspend = format!("/v1/licenses/{suspended}/suspend");
        plane
            .admin_posts(&suspend, &json!({ "reason": "a test" }))
            .await;
        let ending = issue(1, 0).await;
        let graceful = issue(2, 7).await;
        let later = issue(15, 0).await;
        let expiring = async || {
            let snapshot = plane.operations.snapshot().await.unwrap();
            let entries = snapshot.expiring.into_iter();
            entries
                .map(|e| (e.id, e.expires_at, e.grace_until))
                .collect::<Vec<_>>()
        };
        let told = |id: &str, expires: i64, grace: Option<i64>| {
            (id.to_owned(), day(expires), grace.map(day))
        };
        let both = [told(&ending, 1, None), told(&graceful, 2, Some(9))];
        assert_eq!(expiring().await, both);

        // Time alone changes the list, and a gate that asks is not told that nothing changed.
        let gate = gate_token(&plane).await;
        let ask = async |held: &str| {
            let mut request =
                json_request(Method::GET, "/v1/gate/snapshot", Some(&gate), String::new());
            let headers = request.headers_mut();
            headers.insert("if-none-match", held.parse().unwrap());
            plane.send(request).await
        };
        let first = ask("\"none\"").await;
        let etag = first.headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(ask(&etag).await.status, 304);
        plane.clock.advance_seconds(86_400);
        let second = [told(&graceful, 2, Some(9)), told(&later, 15, None)];
        assert_eq!(expiring().await, second);
        assert_eq!(ask(&etag).await.status, 200);
        plane.clock.advance_seconds(7 * 86_400);
        assert_eq!(expiring().await, second);
        plane.clock.advance_seconds(86_400);
        assert_eq!(expiring().await, second[1..]);
    }
}

async fn fetch(url: &str, token: &str) -> u16 {
    let request = tests::people::client().get(url).bearer_auth(token).send();
    let response = request.await.unwrap();
    let status = response.status().as_u16();
    response.bytes().await.unwrap();
    status
}

/// Waits until a condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), waiting).await;
    assert!(waited.is_ok(), "{what}");
}

/// Waits until operators see so many downloads.
async fn until_total(vendor: &Vendor, expected: u64) {
    let mut seen = 0;
    let waiting = async {
        while seen != expected {
            seen = total(vendor).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), waiting).await;
    assert!(waited.is_ok(), "{seen} downloads, not {expected}");
}

async fn total(vendor: &Vendor) -> u64 {
    let shown: Value = vendor.get("/v1/downloads").await.json().await.unwrap();
    shown["total"].as_u64().unwrap()
}

/// How many downloads lie on a gate's disk, told or not.
fn on_disk(dir: &Path) -> u64 {
    let place = dir.join("downloads/0");
    let files = std::fs::read_dir(&place).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut ranges: Vec<(u64, u64)> = names
        .filter_map(|name| {
            let (from, to) = name.strip_suffix(".json")?.split_once('-')?;
            Some((from.parse().ok()?, to.parse().ok()?))
        })
        .collect();
    // One that others were folded into comes before them, and they are about to go.
    ranges.sort_by_key(|&(from, to)| (from, u64::MAX - to));
    let (mut sum, mut newest) = (0, 0);
    for (from, to) in ranges {
        let file = std::fs::read(place.join(format!("{from}-{to}.json")));
        if to > newest
            && let Ok(json) = file
        {
            newest = to;
            let batch: Value = serde_json::from_slice(&json).unwrap();
            let records = batch["records"].as_array().unwrap().iter();
            sum += records
                .map(|record| record["count"].as_u64().unwrap())
                .sum::<u64>();
        }
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn pot_42_downloads_of_a_gate_are_told_whichever_side_is_killed() {
    for database in [Database::Sqlite, Database::Postgres] {
        let mut tollgate = Tollgate::start_on(database, COMMERCE, &[]).await;
        let vendor = Vendor::of(&tollgate);
        let relay = Relay::bind().await;
        let url = relay.url.clone();
        let relaying = relay.to(&tollgate.control_plane);
        let dir = tempfile::tempdir().unwrap();
        let token = vendor.credential("gate").await;
        let second = ["--poll-seconds", "1"];
        let mut gate = Gate::start_at(&url, &token, dir.path(), &second).await;
        vendor.publish_samples_to(&gate.url, COMMERCE).await;
        let sold = vendor.sell("basic").await;
        let tarball = "@acme/order/-/order-1.0.0.tgz";
        let download = async |gate: &Gate, times: u64| {
            for _ in 0..times {
                let url = format!("{}/{tarball}", gate.url);
                assert_eq!(fetch(&url, &sold.token).await, 200);
            }
        };
        download(&gate, 3).await;
        until_total(&vendor, 3).await;
        until("the gate has heard so", async || on_disk(dir.path()) == 0).await;

        // The control plane is killed and started again.
        tollgate.kill().await;
        download(&gate, 5).await;
        until("it is on the disk", async || on_disk(dir.path()) == 5).await;
        tollgate.start_again().await;
        relaying.move_to(&tollgate.control_plane);
        let vendor = Vendor::of(&tollgate);
        until_total(&vendor, 8).await;
        until("the gate has heard so", async || on_disk(dir.path()) == 0).await;

        // And the gate, while the control plane is away.
        tollgate.kill().await;
        download(&gate, 7).await;
        until("it is on the disk", async || on_disk(dir.path()) == 7).await;
        gate.kill().await;
        tollgate.start_again().await;
        relaying.move_to(&tollgate.control_plane);
        let vendor = Vendor::of(&tollgate);
        let gate = Gate::start_at(&url, &token, dir.path(), &second).await;
        until_total(&vendor, 15).await;

        // A clean stop tells the last of it at once.
        until("the gate is open", async || {
            fetch(&format!("{}/@acme%2forder", gate.url), &sold.token).await == 200
        })
        .await;
        download(&gate, 2).await;
        assert!(gate.stop().await.success());
        assert_eq!(total(&vendor).await, 17);
        let path = "/v1/downloads?groupBy=license,package,version,customer";
        let shown: Value = vendor.get(path).await.json().await.unwrap();
        let expected = json!([{ "licenseId": sold.body["licenseId"], "customerId": "c-1",
            "package": "@acme/order", "version": "1.0.0", "count": 17 }]);
        assert_eq!(shown["downloads"], expected);
    }
}

#[tokio::test]
async fn what_npm_installs_is_counted_and_npm_prints_that_the_license_expires() {
    let mut tollgate = Tollgate::start(COMMERCE).await;
    let vendor = Vendor::of(&tollgate);
    vendor.publish_samples(COMMERCE).await;
    let expires_at = tests::now() + jiff::SignedDuration::from_hours(24 * 10);
    let new = json!({ "customerId": "c-1", "tier": "basic", "expiresAt": expires_at });
    let license: Value = vendor
        .post("/v1/licenses", &new)
        .await
        .json()
        .await
        .unwrap();
    let sold = vendor.activate(license["key"].as_str().unwrap()).await;
    let other = vendor.sell("basic").await;
    let client = tests::people::client();
    let url = format!("{}/@acme%2forder", tollgate.gate);
    let document = client.get(&url).bearer_auth(&other.token).send().await;
    let etag = document.unwrap().headers()["etag"].clone();
    // The gate hears of it with its next snapshot.
    until("the gate knows", async || {
        let request = client.get(&url).bearer_auth(&sold.token);
        let answer = request.header("if-none-match", &etag).send().await.unwrap();
        assert_eq!(answer.status(), 304);
        answer.headers().contains_key("npm-notice")
    })
    .await;
    let shop = Npm::project("@acme", &tollgate.gate, Some(&sold.token));
    let output = shop.must(&["install", "@acme/order"]).await;
    let day = expires_at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let text = format!("npm notice your license expires on {day}; ask your vendor to renew it");
    let times = output.text.lines().filter(|line| *line == text).count();
    assert!(
        (1..=5).contains(&times),
        "{times} times in\n{}",
        output.text
    );
    let installed = shop.installed("@acme").len() as u64;
    assert!(installed > 2);
    until_total(&vendor, installed).await;
    let data = tollgate.data();
    until("the gate has heard so", async || on_disk(&data) == 0).await;

    // Who is not about to expire is not told.
    let calm = Npm::project("@acme", &tollgate.gate, Some(&other.token));
    let output = calm.must(&["install", "@acme/order"]).await;
    assert!(
        !output.text.contains("npm notice your license"),
        "{}",
        output.text
    );

    // Killed, with downloads that the database may not have: they are on the disk.
    until("they are on the disk or counted", async || {
        on_disk(&data) == installed || total(&vendor).await == 2 * installed
    })
    .await;
    tollgate.kill().await;
    tollgate.start_again().await;
    let vendor = Vendor::of(&tollgate);
    until_total(&vendor, 2 * installed).await;
}
