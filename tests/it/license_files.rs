//! License files, as the API signs them: for which box, until when, and what that does to seats.

use activation_token::offline::LicenseFile;
use activation_token::{Claims, KeySet, Untrusted, Verifier};
use axum::http::Method;
use control_plane::domain::Role;
use serde_json::{Value, json};
use tests::plane::{Answer, Plane, path_of, refused};
use tests::{Ledger, SMALL};

/// What `box request` prints.
fn request(fingerprint: &str) -> Value {
    json!({
        "requestId": format!("req-{fingerprint}"), "requestedAt": "2026-11-21T11:59:00Z",
        "fingerprint": fingerprint, "name": "till",
    })
}

async fn sign(plane: &Plane, license: &Value, body: &Value) -> Answer {
    let path = format!("{}/license-files", path_of(license));
    plane.ask(Method::POST, &path, body).await
}

async fn signed(plane: &Plane, license: &Value, fingerprint: &str) -> Value {
    let answer = sign(plane, license, &json!({ "request": request(fingerprint) })).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body
}

/// What a box reads.
fn file(plane: &Plane, answer: &Value) -> LicenseFile {
    let text = answer["licenseFile"].as_str().unwrap();
    let root = activation_token::Key::from_jwk(answer["rootKey"].to_string().as_bytes()).unwrap();
    assert_eq!(root.id(), plane.operations.root_key.public().id());
    LicenseFile::from_signed(text, &root).unwrap()
}

/// What a gate with a bundle reads in the file's token.
fn offline_claims(plane: &Plane, file: &LicenseFile) -> Claims {
    let verifier = Verifier::new("tollgate", "tollgate-gate", 60).offline();
    let keys = KeySet::new(vec![plane.operations.root_key.public().clone()]);
    let token = verifier.verify(&file.token, &keys, plane.operations.clock.now());
    token.unwrap().claims().clone()
}

async fn used(plane: &Plane, license: &Value) -> Value {
    plane.read(&path_of(license)).await["boxes"]["used"].clone()
}

#[tokio::test]
async fn a_request_is_signed_for_its_box_which_takes_a_seat() {
    for plane in Plane::on_each(SMALL).await {
        let order = json!({ "customerId": "c-1", "tier": "growth", "maxBoxes": 2 });
        let license = plane.issue(order).await;
        let answer = signed(&plane, &license, "f-1").await;
        let file = file(&plane, &answer);
        assert_eq!(file.request_id, "req-f-1");
        assert_eq!(file.fingerprint, "f-1");
        assert_eq!(json!(file.license_id), license["id"]);
        assert_eq!((&*file.customer_id, &*file.tier), ("c-1", "growth"));
        assert_eq!(file.issued_at, plane.operations.clock.now());
        assert_eq!(file.expires_at.to_string(), "2027-11-21T12:00:00Z");
        assert_eq!(answer["expiresAt"], "2027-11-21T12:00:00Z");
        assert_eq!(json!(file.packages), answer["packages"]);

        // Its token says the same, and is none for an ordinary gate.
        let claims = offline_claims(&plane, &file);
        assert_eq!(json!(claims.box_id), answer["boxId"]);
        assert_eq!(claims.license_id, file.license_id);
        assert_eq!(
            (claims.issued_at, claims.expires_at),
            (file.issued_at, file.expires_at)
        );
        assert!(!plane.passes(&json!(file.token)).await);
        let other = activation_token::SigningKey::from_seed(&[9; 32]).unwrap();
        let read =
            LicenseFile::from_signed(answer["licenseFile"].as_str().unwrap(), other.public());
        assert_eq!(read, Err(Untrusted::OtherKey));

        // The seat is taken and seen, and it is the one that an activation of the box finds.
        let boxes = plane.read(&format!("{}/boxes", path_of(&license))).await;
        let box_ = &boxes["boxes"][0];
        assert_eq!(
            (&box_["id"], &box_["name"]),
            (&answer["boxId"], &json!("till"))
        );
        assert_eq!(box_["offlineUntil"], "2027-11-21T12:00:00Z");
        let online = plane.activate(&license["key"], "f-1").await.body;
        assert_eq!(online["boxId"], answer["boxId"]);
        assert_eq!(plane.activate(&license["key"], "f-2").await.status, 200);
        let online = plane.read(&format!("{}/boxes", path_of(&license))).await;
        let offline: Vec<_> = online["boxes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|box_| {
                (
                    box_["fingerprint"] == "f-1",
                    box_["offlineUntil"].is_string(),
                )
            })
            .collect();
        assert!(
            offline
                .iter()
                .all(|(is_first, has_file)| is_first == has_file)
        );
        assert_eq!(used(&plane, &license).await, 2);
        let full = sign(&plane, &license, &json!({ "request": request("f-3") })).await;
        assert_eq!(refused(&full), (403, "box_limit_reached"));

        let mut ledger = Ledger::default();
        ledger.read_on(plane.reader());
        // What other tables say of credentials has its own story.
        assert_eq!(ledger.boxes.len(), 2);
    }
}

#[tokio::test]
async fn the_same_request_again_is_answered_again_and_on_record_again() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 1 }))
            .await;
        let first = signed(&plane, &license, "f-1").await;
        plane.clock.advance_seconds(60);
        let second = signed(&plane, &license, "f-1").await;
        assert_eq!(first["boxId"], second["boxId"]);
        assert_ne!(first["licenseFile"], second["licenseFile"]);
        assert_eq!(used(&plane, &license).await, 1);

        let log = plane.read("/v1/audit?action=license.sign_request").await;
        let entries = log["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        for entry in entries {
            assert_eq!(entry["subject"], license["id"]);
            assert!(entry["actor"].as_str().unwrap().starts_with("crd_"));
            let after = &entry["after"];
            assert_eq!(after["requestId"], "req-f-1");
            assert_eq!(after["boxId"], first["boxId"]);
            // SHA-256 of `f-1`.
            let digest = "3defc6e632408e5aedde2b902592f83619b5bcc005ecc325ba3cd0eef4fd1a25";
            assert_eq!(after["fingerprintSha256"], digest);
            assert!(
                after["expiresAt"]
                    .as_str()
                    .unwrap()
                    .starts_with("2027-11-21")
            );
        }
        // Neither file nor token is kept or logged.
        let text = log.to_string();
        let signature = first["licenseFile"]
            .as_str()
            .unwrap()
            .rsplit('.')
            .next()
            .unwrap();
        assert!(!text.contains(signature) && !text.contains("eyJ"));
    }
}

#[tokio::test]
async fn a_file_is_good_for_as_long_as_was_asked_within_the_license_and_400_days() {
    for plane in Plane::on_each(SMALL).await {
        let ends = |answer: &Answer| answer.body["expiresAt"].as_str().map(ToOwned::to_owned);
        let until = |end: &str| json!({ "request": request("f-1"), "expiresAt": end });
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        for end in ["2026-11-22T12:00:00Z", "2027-12-26T12:00:00Z"] {
            let answer = sign(&plane, &license, &until(end)).await;
            assert_eq!(
                (answer.status.as_u16(), ends(&answer).as_deref()),
                (201, Some(end))
            );
        }
        for (end, text) in [
            ("2027-12-26T12:00:01Z", "is more than 400 days away"),
            ("2026-11-21T12:00:00Z", "must lie in the future"),
            ("2026-11-21T12:00:00.5Z", "at least a second ahead"),
        ] {
            let answer = sign(&plane, &license, &until(end)).await;
            assert_eq!(refused(&answer), (422, "invalid_fields"), "{}", answer.text);
            let error = &answer.body["errors"][0];
            assert_eq!(error["field"], "expiresAt");
            assert!(error["message"].as_str().unwrap().contains(text), "{error}");
        }
        let order = json!({
            "customerId": "c-1", "expiresAt": "2027-01-01T00:00:00Z", "graceSeconds": 86400,
        });
        let ending = plane.issue(order).await;
        let answer = sign(&plane, &ending, &json!({ "request": request("f-1") })).await;
        assert_eq!(ends(&answer).as_deref(), Some("2027-01-02T00:00:00Z"));
        assert_eq!(
            file(&plane, &answer.body)
                .license_expires_at
                .unwrap()
                .to_string(),
            "2027-01-01T00:00:00Z"
        );
        let beyond = sign(&plane, &ending, &until("2027-01-02T00:00:01Z")).await;
        assert_eq!(refused(&beyond), (422, "invalid_fields"));
        let text = &beyond.body["errors"][0]["message"];
        assert_eq!(text, "lies behind the end of the license");
        // What was refused took no seat.
        let new = json!({ "request": request("f-9"), "expiresAt": "2030-01-01T00:00:00Z" });
        assert_eq!(sign(&plane, &ending, &new).await.status, 422);
        assert_eq!(used(&plane, &ending).await, 1);
    }
}

#[tokio::test]
async fn an_operator_is_told_openly_why_nothing_is_signed() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let asked = json!({ "request": request("f-1") });
        let why = async |license: &Value| {
            let answer = sign(&plane, license, &asked).await;
            let (status, code) = refused(&answer);
            (status, code.to_owned())
        };
        plane.decide(&license, "suspend").await;
        assert_eq!(why(&license).await, (409, "license_suspended".into()));
        plane.decide(&license, "reinstate").await;
        // Narrowed twice in this second, its tokens are dated two seconds later.
        plane.decide(&license, "suspend").await;
        plane.decide(&license, "reinstate").await;
        let answer = signed(&plane, &license, "f-1").await;
        assert_eq!(
            file(&plane, &answer).issued_at.to_string(),
            "2026-11-21T12:00:02Z"
        );
        plane.decide(&license, "revoke").await;
        assert_eq!(why(&license).await, (409, "license_revoked".into()));

        let order = json!({ "customerId": "c-1", "expiresAt": "2026-11-22T00:00:00Z" });
        let short = plane.issue(order).await;
        let maintains = json!({
            "customerId": "c-1", "expiresAt": "2026-11-22T00:00:00Z",
            "expiryStrategy": "maintain", "maxBoxes": 5,
        });
        let maintains = plane.issue(maintains).await;
        signed(&plane, &maintains, "f-1").await;
        plane.clock.advance_seconds(86400);
        assert_eq!(why(&short).await, (409, "license_expired".into()));
        // As an activation: who has a seat goes on, and no new one comes.
        signed(&plane, &maintains, "f-1").await;
        let new = sign(&plane, &maintains, &json!({ "request": request("f-2") })).await;
        assert_eq!(refused(&new), (409, "license_expired"));

        let nowhere = json!({ "id": "lic_00000000000000000000000000" });
        assert_eq!(why(&nowhere).await, (404, "license_not_found".into()));
        let path = format!("{}/license-files", path_of(&maintains));
        let viewer = plane.operator(Role::Viewer).await;
        let answer = plane.post(&path, Some(&viewer), &asked).await;
        assert_eq!(answer.status, 403, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_told_all_that_is_wrong() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let mut bad = request("f-1");
        bad["requestId"] = json!("");
        bad["fingerprint"] = json!("f".repeat(257));
        bad["name"] = json!("a\nb");
        bad["licenseId"] = json!("lic_00000000000000000000000000");
        let answer = sign(&plane, &license, &json!({ "request": bad })).await;
        assert_eq!(refused(&answer), (422, "invalid_fields"));
        let errors = answer.body["errors"].as_array().unwrap();
        let fields: Vec<_> = errors
            .iter()
            .map(|e| e["field"].as_str().unwrap())
            .collect();
        assert_eq!(
            fields,
            [
                "request.requestId",
                "request.fingerprint",
                "request.name",
                "request.licenseId"
            ]
        );
        let mut with_key = request("f-1");
        with_key["key"] = json!("tgl_live_x");
        for body in [
            json!({ "request": with_key }),
            json!({}),
            json!({ "request": request("f-1"), "days": 3 }),
        ] {
            let answer = sign(&plane, &license, &body).await;
            assert_eq!(refused(&answer), (422, "invalid_body"), "{}", answer.text);
        }
        // The right license in the request is fine.
        let mut right = request("f-1");
        right["licenseId"] = license["id"].clone();
        assert_eq!(
            sign(&plane, &license, &json!({ "request": right }))
                .await
                .status,
            201
        );
    }
}

#[tokio::test]
async fn a_box_without_a_network_keeps_its_seat_until_its_file_ends() {
    for plane in Plane::on_each(SMALL).await {
        let order = json!({ "customerId": "c-1", "maxBoxes": 2, "leaseSeconds": 3660 });
        let license = plane.issue(order).await;
        let until = "2026-11-23T12:00:00Z";
        let asked = json!({ "request": request("away"), "expiresAt": until });
        let away = sign(&plane, &license, &asked).await.body["boxId"].clone();
        let dead = plane.activate(&license["key"], "dead").await.body["boxId"].clone();
        plane.clock.advance_seconds(7200);
        // The lease of both is over; one has a file.
        assert_eq!(used(&plane, &license).await, 1);
        let boxes = plane.read(&format!("{}/boxes", path_of(&license))).await;
        let holds = |id: &Value| {
            let boxes = boxes["boxes"].as_array().unwrap();
            let box_ = boxes.iter().find(|box_| box_["id"] == *id).unwrap();
            (box_["holdsSeat"].clone(), box_["leasedUntil"].clone())
        };
        assert_eq!(holds(&away), (json!(true), json!(until)));
        assert_eq!(holds(&dead).0, json!(false));
        // So has the metric, and so has whoever looks which boxes came first.
        let metrics = plane.operations.store.clone();
        let mut conn = metrics.read().await.unwrap();
        let seats =
            control_plane::store::gauges::seats(conn.link(), plane.operations.clock.now(), 10);
        assert_eq!(seats.await.unwrap()[0].1, 1);
        drop(conn);
        // An heir takes the dead one's seat, and nobody the one of the box that is away.
        assert_eq!(plane.activate(&license["key"], "heir").await.status, 200);
        let second = plane.activate(&license["key"], "second").await;
        assert_eq!(second.body["code"], "box_limit_reached");
        // Narrowed to one seat, the oldest keeps it: that is the one that is away.
        plane.change(&license, json!({ "maxBoxes": 1 })).await;
        let heir = plane.activate(&license["key"], "heir").await;
        assert_eq!(heir.body["code"], "box_limit_reached");
        // A change of the lease forgets the silent, not the one with a file.
        plane
            .change(&license, json!({ "maxBoxes": 2, "leaseSeconds": 7200 }))
            .await;
        let kept = plane.sql("SELECT fingerprint FROM boxes ORDER BY fingerprint");
        assert_eq!(kept, ["away", "heir"]);

        // A shorter file does not take the longer one's place.
        let short = json!({ "request": request("away"), "expiresAt": "2026-11-22T12:00:00Z" });
        assert_eq!(sign(&plane, &license, &short).await.status, 201);
        let boxes = plane.read(&format!("{}/boxes", path_of(&license))).await;
        assert_eq!(boxes["boxes"][0]["offlineUntil"], until);
        // It ends with its file.
        plane.clock.advance_seconds(46 * 3600 - 1);
        assert_eq!(used(&plane, &license).await, 1);
        plane.clock.advance_seconds(1);
        assert_eq!(used(&plane, &license).await, 0);
    }
}

#[tokio::test]
async fn releasing_a_box_frees_the_seat_though_its_file_goes_on() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 1 }))
            .await;
        let first = signed(&plane, &license, "f-1").await;
        let id = first["boxId"].as_str().unwrap();
        let path = format!("{}/boxes/{id}", path_of(&license));
        assert_eq!(
            plane.ask(Method::DELETE, &path, &Value::Null).await.status,
            200
        );
        assert_eq!(used(&plane, &license).await, 0);
        let again = signed(&plane, &license, "f-1").await;
        assert_ne!(first["boxId"], again["boxId"]);
        // Nothing reaches the first file where it is.
        let read = file(&plane, &first);
        assert_eq!(
            read.check("f-1", plane.operations.clock.now(), None),
            Ok(())
        );
    }
}
