//! A box behind an air gap: it asks by hand, the vendor signs, and from then on nobody is asked.

mod checks;
mod machine;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use activation_token::{Key, KeySet, Verifier};
use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{COMMERCE, Database, SMALL, Tollgate, Vendor, tollgate_command};

use machine::{DAY, Machine, REGISTRY, Said, now, said};

async fn sign(tollgate: &Tollgate, arguments: &[&str]) -> Said {
    let mut command = tollgate_command();
    command
        .args([
            "license",
            "sign-request",
            "--server",
            &tollgate.control_plane,
        ])
        .args(arguments)
        .env("TOLLGATE_OPERATOR_TOKEN", &tollgate.operator_token)
        .env("TOLLGATE_PROFILES", "/nonexistent/profiles.toml");
    said(command).await
}

async fn issue(tollgate: &Tollgate, order: Value) -> Value {
    let response = Vendor::of(tollgate).post("/v1/licenses", &order).await;
    assert_eq!(response.status(), 201);
    response.json().await.unwrap()
}

async fn read(tollgate: &Tollgate, path: &str) -> Value {
    Vendor::of(tollgate).get(path).await.json().await.unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_box_without_a_network_is_activated_by_hand() {
    for database in [Database::Sqlite, Database::Postgres] {
        let tollgate = Tollgate::start_on(database, SMALL, &[]).await;
        let order = json!({ "customerId": "plant-7", "tier": "growth", "maxBoxes": 1 });
        let license = issue(&tollgate, order).await;
        let id = text(&license["id"]);
        let machine = Machine::new("press-line-2").await;

        // There: the request.
        let said = machine
            .run(&["request", "--license", id, "--name", "press line 2"])
            .await
            .well();
        fs::write(machine.path("request.json"), &said.out).unwrap();
        let mut request: Value = serde_json::from_str(&said.out).unwrap();
        assert!(now().duration_since(text(&request["requestedAt"]).parse().unwrap()) < DAY);
        request["requestedAt"] = json!("[time]");
        let shown = Said {
            out: format!("{request:#}\n"),
            ..said
        };
        assert_snapshot!("request", shown.masked());

        // Here: nobody is there to be asked, then it is signed.
        let request = machine.path("request.json");
        let request = request.to_str().unwrap();
        let unasked = sign(&tollgate, &[request]).await;
        assert!(unasked.err.contains("--yes"), "{unasked:?}");
        assert_eq!((unasked.code, &*unasked.out), (2, ""));
        assert_eq!(
            read(&tollgate, &format!("/v1/licenses/{id}")).await["boxes"]["used"],
            0
        );
        let output = machine.path("license.json");
        let output = output.to_str().unwrap();
        let said = sign(&tollgate, &[request, "-o", output, "--yes"])
            .await
            .well();
        assert_snapshot!("sign_request", said.masked());
        assert_eq!(mode(Path::new(output)), 0o600);
        let boxes = read(&tollgate, &format!("/v1/licenses/{id}/boxes")).await;
        let box_ = &boxes["boxes"][0];
        assert_eq!(box_["name"], "press line 2");
        assert_eq!(
            (&box_["fingerprint"], &box_["holdsSeat"]),
            (&json!("press-line-2"), &json!(true))
        );
        assert!(box_["offlineUntil"].is_string());

        // There again: from now on it has all that it needs.
        fs::write(machine.path(".npmrc"), "fund=false\n").unwrap();
        let said = machine
            .run(&["activate", "--from", "license.json", "--registry", REGISTRY])
            .await
            .well();
        assert_snapshot!("activate", said.masked());
        let credentials = machine.credentials();
        let token = text(&credentials["npmToken"]);
        let npmrc = machine.text(".npmrc");
        assert!(npmrc.starts_with("fund=false\n"), "{npmrc}");
        assert!(
            npmrc.contains(&format!("@acme:registry={REGISTRY}/")),
            "{npmrc}"
        );
        assert!(npmrc.contains(&format!(
            "//packages.plant.example:7401/:_authToken={token}"
        )));
        for name in [".npmrc", ".box/credentials.json", ".box/root-key.json"] {
            assert_eq!(mode(&machine.path(name)), 0o600, "{name}");
        }
        let box_json: Value = serde_json::from_str(&machine.text("box.json")).unwrap();
        assert_eq!(box_json["license"]["customerId"], "plant-7");
        assert_eq!(credentials["controlPlaneUrl"], Value::Null);
        assert_eq!(credentials["licenseKey"], Value::Null);

        // The token is one for the bundle's gate, and for no other.
        let root = Key::from_jwk(machine.text(".box/root-key.json").trim().as_bytes()).unwrap();
        let keys = KeySet::new(vec![root]);
        let verifier = Verifier::new("tollgate", "tollgate-gate", 60);
        assert!(verifier.verify(token, &keys, now()).is_err());
        let good = verifier.offline().verify(token, &keys, now()).unwrap();
        assert_eq!(good.claims().box_id.as_deref(), box_["id"].as_str());
        for _ in 0..2 {
            assert_eq!(
                machine.run(&["token"]).await.well().out,
                format!("{token}\n")
            );
        }
        machine.asked_nobody();

        // Its secrets are in no output and in no file that may be committed.
        for public in [
            machine.text("request.json"),
            machine.text("box.json"),
            said.out,
            said.err,
        ] {
            assert!(!public.contains("eyJ"), "{public}");
            assert!(!public.contains(text(&license["key"])));
        }

        // The seat is taken.
        let other = Machine::new("press-line-3").await;
        let asked = other.run(&["request"]).await.well().out;
        fs::write(other.path("request.json"), asked).unwrap();
        let request = other.path("request.json");
        let refused = sign(
            &tollgate,
            &[request.to_str().unwrap(), "--license", id, "--yes"],
        )
        .await;
        assert!(refused.code != 0 && refused.out.is_empty(), "{refused:?}");
        assert!(
            refused
                .err
                .contains("all 1 boxes of this license are in use"),
            "{refused:?}"
        );

        // A license that is suspended is signed for nobody, and the operator is told so.
        let path = format!("/v1/licenses/{id}/suspend");
        Vendor::of(&tollgate)
            .post(&path, &json!({ "reason": "a test" }))
            .await;
        let request = machine.path("request.json");
        let refused = sign(&tollgate, &[request.to_str().unwrap(), "--yes"]).await;
        assert!(refused.badly(5).contains("suspended"));
        // What was signed before goes on: nobody can tell the box.
        machine.run(&["token"]).await.well();
    }
}

#[tokio::test]
async fn a_request_names_its_license_or_the_operator_does() {
    let tollgate = Tollgate::start(COMMERCE).await;
    let license = issue(&tollgate, json!({ "customerId": "c-1", "tier": "basic" })).await;
    let id = text(&license["id"]);
    let machine = Machine::new("f-1").await;
    let file = machine.path("request.json");
    let name = file.to_str().unwrap();
    let request = |license: Value| {
        let mut request = json!({
            "requestId": "req_1", "requestedAt": "2026-01-01T00:00:00Z", "fingerprint": "f-1",
        });
        if !license.is_null() {
            request["licenseId"] = license;
        }
        fs::write(&file, request.to_string()).unwrap();
    };
    request(Value::Null);
    let error = sign(&tollgate, &[name, "--yes"]).await.badly(2);
    assert!(error.contains("names no license"), "{error}");
    request(json!("lic_00000000000000000000000000"));
    let error = sign(&tollgate, &[name, "--license", id, "--yes"])
        .await
        .badly(2);
    assert!(error.contains("is for license"), "{error}");
    let error = sign(&tollgate, &[name, "--yes"]).await.badly(5);
    assert!(error.contains("no license with this id"), "{error}");
    request(json!(id));
    for (arguments, ends) in [
        (["--days", "30"], now() + 30 * DAY),
        (["--expires-at", "400d"], now() + 400 * DAY),
    ] {
        let said = sign(
            &tollgate,
            &[&[name, "--yes", "--json"], &arguments[..]].concat(),
        )
        .await;
        let answer: Value = serde_json::from_str(&said.well().out).unwrap();
        let end: Timestamp = text(&answer["expiresAt"]).parse().unwrap();
        assert!(
            end.duration_since(ends).abs() < SignedDuration::from_mins(5),
            "{end}"
        );
    }
    let error = sign(&tollgate, &[name, "--yes", "--expires-at", "2y"])
        .await
        .badly(5);
    assert!(error.contains("400 days"), "{error}");
    for (bad, text) in [
        ("", "not what `box request` printed"),
        (r#"{"key":"tgl_live_x"}"#, "not what `box request` printed"),
    ] {
        fs::write(&file, bad).unwrap();
        let error = sign(&tollgate, &[name, "--license", id, "--yes"])
            .await
            .badly(1);
        assert!(error.contains(text), "{error}");
        assert!(!error.contains("tgl_live_x"));
    }
}
