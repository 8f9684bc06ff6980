//! Licenses and activations, on both databases, with a clock that the test moves.

use std::collections::BTreeSet;

use control_plane::domain::Role;
use serde_json::{Value, json};
use tests::SMALL as MANIFEST;
use tests::plane::Plane;

async fn issue(plane: &Plane, body: Value) -> Value {
    let answer = plane.post("/v1/licenses", Some(&plane.admin), &body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body
}

async fn activate(plane: &Plane, key: &Value, fingerprint: &str) -> tests::plane::Answer {
    let body = json!({ "key": key, "box": { "fingerprint": fingerprint, "name": "a box" } });
    plane.post("/v1/activate", None, &body).await
}

#[tokio::test]
async fn pot_13_a_license_is_issued_read_and_activated() {
    for plane in Plane::on_each(MANIFEST).await {
        let license = issue(
            &plane,
            json!({
                "customerId": "c-1", "tier": "basic", "expiresAt": "2026-12-24T00:00:00Z",
                "maxBoxes": 3, "addOns": ["@acme/loyalty"], "metadata": { "order": "4711" },
            }),
        )
        .await;
        assert!(license["key"].as_str().unwrap().starts_with("tgl_live_"));

        // POT-20: the key is nowhere to be read again.
        let path = format!("/v1/licenses/{}", license["id"].as_str().unwrap());
        let shown = plane.get(&path, Some(&plane.admin)).await;
        let mut without_key = license.clone();
        without_key.as_object_mut().unwrap().remove("key");
        assert_eq!((shown.status.as_u16(), &shown.body), (200, &without_key));

        let answer = activate(&plane, &license["key"], "f-1").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.headers["cache-control"], "no-store");
        let body = &answer.body;
        // T-13: the add-on brings what it requires.
        let packages = json!([
            "@acme/loyalty",
            "@acme/order",
            "@acme/points",
            "@acme/shared"
        ]);
        assert_eq!(body["packages"], packages);
        assert_eq!(
            (&body["tier"], &body["customerId"]),
            (&json!("basic"), &json!("c-1"))
        );
        assert_eq!(
            (&body["tokenType"], &body["expiresIn"]),
            (&json!("Bearer"), &json!(3600))
        );
        assert_eq!(body["licenseId"], license["id"]);
        assert!(body["boxId"].as_str().unwrap().starts_with("box_"));
        assert_eq!(body["registryUrl"], "http://gate.example/");
        assert_eq!(
            (&body["licenseExpiresAt"], seats(body)),
            (&json!("2026-12-24T00:00:00Z"), (1, json!(3)))
        );
        let keys = plane.operations.key_set();
        let verifier = activation_token::Verifier::new("tollgate", "tollgate-gate", 0);
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let token = verifier
            .verify(body["token"].as_str().unwrap(), &keys, now)
            .unwrap();
        let activation_token::Packages::Listed(listed) = &token.claims().packages else {
            panic!()
        };
        assert_eq!(json!(listed.iter().collect::<Vec<_>>()), packages);
    }
}

/// How many seats are taken, and of how many, as an activation told.
fn seats(body: &Value) -> (u64, Value) {
    (
        body["boxesUsed"].as_u64().unwrap(),
        body["boxesLimit"].clone(),
    )
}

#[tokio::test]
async fn an_activation_tells_the_seats_and_the_end_of_the_license() {
    for plane in Plane::on_each(MANIFEST).await {
        let license = issue(&plane, json!({ "customerId": "c-1", "tier": "growth" })).await;
        // Under the old name too, and without a box.
        let body = json!({ "key": license["key"] });
        let unnamed = plane.post("/license/activate", None, &body).await.body;
        assert_eq!(seats(&unnamed), (0, Value::Null));
        assert_eq!(unnamed["licenseExpiresAt"], Value::Null);

        let license = issue(
            &plane,
            json!({ "customerId": "c-1", "tier": "basic", "leaseSeconds": 86400 }),
        )
        .await;
        for (fingerprint, used) in [("f-1", 1), ("f-1", 1), ("f-2", 2), ("f-1", 2)] {
            let body = activate(&plane, &license["key"], fingerprint).await.body;
            assert_eq!(seats(&body), (used, json!(2)), "{fingerprint}");
        }
        // A lease that ran out is a seat that is taken anew.
        plane.clock.advance_seconds(86400 - 10);
        activate(&plane, &license["key"], "f-2").await;
        plane.clock.advance_seconds(20);
        let body = activate(&plane, &license["key"], "f-1").await.body;
        assert_eq!(seats(&body), (2, json!(2)));
    }
}

#[tokio::test]
async fn kum_35_a_license_without_a_tier_follows_the_default() {
    for plane in Plane::on_each(MANIFEST).await {
        let license = issue(&plane, json!({ "customerId": "c-1" })).await;
        assert_eq!(
            (&license["tier"], &license["tierSource"]),
            (&json!("basic"), &json!("default"))
        );
        let answer = activate(&plane, &license["key"], "f-1").await;
        assert_eq!(answer.body["tier"], "basic");
    }
}

#[tokio::test]
async fn pot_23_every_unusable_key_gets_the_same_answer() {
    for plane in Plane::on_each(MANIFEST).await {
        let expiring = issue(
            &plane,
            json!({ "customerId": "c-1", "expiresAt": "2026-11-21T12:00:30Z" }),
        )
        .await;
        let body = activate(&plane, &expiring["key"], "f-1").await.body;
        // No token outlives its license.
        assert_eq!(body["expiresIn"], 30);
        plane.clock.advance_seconds(30);
        let good = issue(&plane, json!({ "customerId": "c-1" })).await["key"]
            .as_str()
            .unwrap()
            .to_owned();
        // Suspended, and revoked since before its tier was taken out of the manifest.
        let suspended = issue(&plane, json!({ "customerId": "c-2" })).await;
        let revoked = issue(&plane, json!({ "customerId": "c-3" })).await;
        plane.sql("UPDATE licenses SET status = 'suspended' WHERE customer_id = 'c-2'");
        plane
            .sql("UPDATE licenses SET status = 'revoked', tier = 'gone' WHERE customer_id = 'c-3'");
        let path = format!("/v1/licenses/{}", revoked["id"].as_str().unwrap());
        let shown = plane.get(&path, Some(&plane.admin)).await;
        assert_eq!(
            (shown.status.as_u16(), &shown.body["tier"]),
            (200, &json!("gone"))
        );

        let unknown = activation_token::credential::new_secret("tgl_live", &[3; 20]);
        let unknown = secrecy::ExposeSecret::expose_secret(&unknown).to_owned();
        let mut answers = BTreeSet::new();
        for key in [
            expiring["key"].as_str().unwrap(),
            suspended["key"].as_str().unwrap(),
            revoked["key"].as_str().unwrap(),
            &unknown,
            &format!("{good}x"),
            &good.to_uppercase(),
            "",
            "tgl_live_",
        ] {
            let answer = activate(&plane, &json!(key), "f-1").await;
            let mut body = answer.body;
            body.as_object_mut().unwrap().remove("requestId");
            answers.insert(format!("{} {body}", answer.status));
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(
            answers.first().unwrap().starts_with("403 Forbidden")
                && answers.first().unwrap().contains("license_unusable")
        );
        // The audit log knows why, where the key was a real one.
        plane.operations.denials.settle().await;
        let reasons =
            plane.sql("SELECT reason FROM audit WHERE reason IS NOT NULL ORDER BY reason");
        let expected = ["license_expired", "license_revoked", "license_suspended"];
        assert_eq!(reasons, expected);
    }
}

#[tokio::test]
async fn boxes_are_counted_and_known_again() {
    for plane in Plane::on_each(MANIFEST).await {
        let license = issue(&plane, json!({ "customerId": "c-1", "tier": "basic" })).await;
        let first = activate(&plane, &license["key"], "f-1").await.body;
        let second = activate(&plane, &license["key"], "f-2").await.body;
        assert_ne!(first["boxId"], second["boxId"]);
        let third = activate(&plane, &license["key"], "f-3").await;
        assert_eq!(
            (third.status.as_u16(), &third.body["code"]),
            (403, &json!("box_limit_reached"))
        );
        assert!(
            third.body["detail"]
                .as_str()
                .unwrap()
                .contains("all 2 boxes")
        );
        // POT-29: renewal is activating again, and takes no further seat.
        assert_eq!(
            activate(&plane, &license["key"], "f-1").await.body["boxId"],
            first["boxId"]
        );

        let counted = issue(
            &plane,
            json!({ "customerId": "c-1", "tier": "growth", "maxBoxes": 1 }),
        )
        .await;
        let unnamed = plane
            .post("/v1/activate", None, &json!({ "key": counted["key"] }))
            .await;
        assert_eq!(
            (unnamed.status.as_u16(), &unnamed.body["code"]),
            (422, &json!("box_required"))
        );
        assert_eq!(activate(&plane, &counted["key"], "f-1").await.status, 200);
        assert_eq!(activate(&plane, &counted["key"], "f-2").await.status, 403);
    }
}

#[tokio::test]
async fn the_last_seat_is_sold_once() {
    for plane in Plane::on_each(MANIFEST).await {
        let license = issue(
            &plane,
            json!({ "customerId": "c-1", "tier": "growth", "maxBoxes": 5 }),
        )
        .await;
        let prints: Vec<String> = (0..100).map(|n| format!("f-{n}")).collect();
        let answers = futures_util::future::join_all(
            prints.iter().map(|f| activate(&plane, &license["key"], f)),
        )
        .await;
        let granted = answers.iter().filter(|answer| answer.status == 200).count();
        let refused = answers.iter().filter(|answer| answer.status == 403).count();
        assert_eq!((granted, refused), (5, 95));
    }
}

#[tokio::test]
async fn every_change_has_its_audit_row_and_no_secret_is_in_the_database() {
    for plane in Plane::on_each(MANIFEST).await {
        let license = issue(&plane, json!({ "customerId": "c-1" })).await;
        let body = json!({ "kind": "publisher", "name": "build server" });
        let publisher = plane
            .post("/v1/credentials", Some(&plane.admin), &body)
            .await;
        assert_eq!(publisher.status, 201);
        activate(&plane, &license["key"], "f-1").await;
        let unknown = plane
            .post(
                "/v1/licenses",
                Some(&plane.admin),
                &json!({ "customerId": "c", "tier": "gold" }),
            )
            .await;
        assert_eq!(unknown.status, 422);

        // The first two are the harness's own key and operator; a refusal changed nothing and wrote nothing.
        let actions = plane.sql("SELECT action FROM audit ORDER BY sequence");
        assert_eq!(
            actions,
            [
                "signing_key.rotate",
                "credential.create",
                "license.issue",
                "credential.create",
                "license.activate"
            ]
        );
        let numbers =
            plane.sql("SELECT sequence FROM audit WHERE LENGTH(request_id) = 32 ORDER BY sequence");
        assert_eq!(numbers, ["3", "4", "5"]);

        let tables = ["licenses", "boxes", "credentials", "audit", "signing_keys"];
        let rows: Vec<String> = tables
            .iter()
            .flat_map(|table| plane.sql(&format!("SELECT * FROM {table}")))
            .collect();
        let rows = rows.join("\n");
        assert!(
            rows.contains("build server") && rows.contains("f-1"),
            "{rows}"
        );
        for secret in [
            &plane.admin,
            license["key"].as_str().unwrap(),
            publisher.body["secret"].as_str().unwrap(),
        ] {
            assert!(!rows.contains(secret), "{secret} is in the database");
        }
    }
}

#[tokio::test]
async fn a_credential_opens_what_its_kind_and_role_allow() {
    for plane in Plane::on_each(MANIFEST).await {
        let mut tokens = vec![
            ("nobody", None),
            ("garbage", Some("tgo_garbage".to_owned())),
        ];
        for role in Role::ALL {
            tokens.push((role.as_str(), Some(plane.operator(role).await)));
        }
        for kind in ["gate", "publisher", "application"] {
            let body = json!({ "kind": kind, "name": kind });
            let answer = plane
                .post("/v1/credentials", Some(&plane.admin), &body)
                .await;
            tokens.push((
                kind,
                Some(answer.body["secret"].as_str().unwrap().to_owned()),
            ));
        }
        let license = issue(&plane, json!({ "customerId": "c-1" })).await;
        let read = format!("/v1/licenses/{}", license["id"].as_str().unwrap());
        let mut table = String::new();
        for (who, token) in tokens {
            let token = token.as_deref();
            let issue = plane
                .post("/v1/licenses", token, &json!({ "customerId": "c-1" }))
                .await;
            let create = plane
                .post(
                    "/v1/credentials",
                    token,
                    &json!({ "kind": "gate", "name": "g" }),
                )
                .await;
            let row = [
                plane.get("/v1/tiers", token).await.status,
                plane.get(&read, token).await.status,
                issue.status,
                create.status,
                plane.get("/v1/gate/snapshot", token).await.status,
            ];
            let row: Vec<&str> = row.iter().map(axum::http::StatusCode::as_str).collect();
            table += &format!("{who:<12}{}\n", row.join(" "));
        }
        insta::assert_snapshot!("rights", table);
    }
}

#[tokio::test]
async fn an_expired_credential_is_no_credential() {
    for plane in Plane::on_each(MANIFEST).await {
        let body = json!({ "kind": "operator", "name": "temp", "role": "viewer", "expiresAt": "2026-11-21T12:01:00Z" });
        let token = plane
            .post("/v1/credentials", Some(&plane.admin), &body)
            .await
            .body["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(plane.get("/v1/tiers", Some(&token)).await.status, 200);
        plane.clock.advance_seconds(60);
        assert_eq!(plane.get("/v1/tiers", Some(&token)).await.status, 401);
    }
}

#[tokio::test]
async fn pot_24_the_key_set_is_standard_and_has_potters_member_first() {
    for plane in Plane::on_each(MANIFEST).await {
        for path in ["/.well-known/jwks.json", "/license/jwks"] {
            let answer = plane.get(path, None).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.headers["cache-control"], "public, max-age=300");
            let text = answer.text;
            assert!(
                text.starts_with(r#"{"algorithm":"EdDSA","keys":["#),
                "{text}"
            );
            assert!(
                activation_token::KeySet::from_jwks(text.as_bytes()).is_ok(),
                "{text}"
            );
        }
        let issued = plane
            .post(
                "/license/keys",
                Some(&plane.admin),
                &json!({ "customerId": "c", "tier": "growth" }),
            )
            .await;
        assert_eq!(issued.status, 201);
        let body = json!({ "key": issued.body["key"], "org": "an-org" });
        assert_eq!(
            plane.post("/license/activate", None, &body).await.status,
            200
        );
    }
}

#[tokio::test]
async fn kum_9_the_tiers_are_listed_in_order() {
    for plane in Plane::on_each(MANIFEST).await {
        let answer = plane.get("/v1/tiers", Some(&plane.admin)).await;
        insta::assert_json_snapshot!("tiers", answer.body);
        let packages = plane
            .get("/v1/tiers/growth/packages", Some(&plane.admin))
            .await
            .body;
        assert_eq!(packages["packages"].as_array().unwrap().len(), 4);
        let unknown = plane
            .get("/v1/tiers/gold/packages", Some(&plane.admin))
            .await;
        assert_eq!(
            (unknown.status.as_u16(), &unknown.body["code"]),
            (422, &json!("unknown_tier"))
        );
        let manifest = plane.get("/v1/manifest", Some(&plane.admin)).await.body;
        assert_eq!(
            (&manifest["scope"], &manifest["defaultTier"]),
            (&json!("@acme"), &json!("basic"))
        );
    }
}
