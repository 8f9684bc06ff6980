//! What a box checks of its license file, at each use and without a network.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use activation_token::SigningKey;
use activation_token::offline::LicenseFile;
use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::machine::{DAY, Machine, REGISTRY, Said, file, now, root, signed_by};
use super::text;

#[tokio::test]
async fn a_file_counts_for_its_own_machine_alone() {
    let machine = Machine::new("mine").await;
    let request = machine.request().await;
    let good = signed_by(&root(), &file(&request, now(), now() + DAY));
    let theirs = LicenseFile {
        fingerprint: "theirs".into(),
        ..file(&request, now(), now() + DAY)
    };
    let error = machine
        .activate(&signed_by(&root(), &theirs))
        .await
        .badly(4);
    assert_snapshot!(error, @"
    error: this license file is for another box
      hint: make a request on this one with `box request`; if it is known by a `--fingerprint` of yours, give the same again
    ");
    // Nothing is left of what was refused.
    for name in [
        ".box/credentials.json",
        ".box/root-key.json",
        ".npmrc",
        "box.json",
    ] {
        assert!(!machine.path(name).exists(), "{name}");
    }
    machine.activate(&good).await.well();
    for command in ["token", "status", "renew"] {
        machine.run(&[command]).await.well();
    }

    // The whole folder on another machine.
    let copy = Machine::new("another machine").await;
    for folder in ["", ".box"] {
        fs::create_dir_all(copy.path(folder)).unwrap();
        for entry in fs::read_dir(machine.path(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.path(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    for command in ["token", "status", "renew"] {
        let error = copy.run(&[command]).await.badly(4);
        assert!(error.contains("for another box"), "{command}: {error}");
    }
    let error = copy.activate(&good).await.badly(4);
    assert!(error.contains("for another box"), "{error}");
    // Saying so in what is kept is no help.
    copy.edit("fingerprint", json!("another machine"));
    copy.run(&["token"]).await.badly(4);
}

#[tokio::test]
async fn a_file_that_was_tampered_with_or_signed_by_another_does_not_count() {
    let machine = Machine::new("f-1").await;
    let request = machine.request().await;
    let good = signed_by(&root(), &file(&request, now(), now() + DAY));
    let json: Value = serde_json::from_str(&good).unwrap();
    let jws = text(&json["licenseFile"]);
    let middle = jws.len() / 2;
    let letter = if &jws[middle..=middle] == "A" {
        "B"
    } else {
        "A"
    };
    let tampered = format!("{}{letter}{}", &jws[..middle], &jws[middle + 1..]);
    let error = machine
        .activate(&good.replace(jws, &tampered))
        .await
        .badly(4);
    assert_snapshot!(error, @"
    error: the license file does not count: the signature does not fit
      hint: ask your vendor for it again, and copy it whole
    ");
    for bad in ["", "{}", "hello", &good[..good.len() / 2]] {
        let error = machine.activate(bad).await.badly(1);
        assert!(error.contains("copy it whole"), "{error}");
    }
    // A file alone needs a root key from elsewhere.
    let error = machine.activate(jws).await.badly(4);
    assert!(error.contains("no root key is known"), "{error}");

    // The first root key is kept.
    let said = machine.activate(&good).await.well();
    assert!(said.err.contains(root().public().id()), "{said:?}");
    let again = machine.activate(jws).await.well();
    assert!(!again.err.contains("is kept"), "{again:?}");
    let other = SigningKey::from_seed(&[6; 32]).unwrap();
    let another = signed_by(&other, &file(&request, now(), now() + 300 * DAY));
    let error = machine.activate(&another).await.badly(4);
    assert!(error.contains("another key than the root key"), "{error}");
    assert!(error.contains("root-key.json"), "{error}");
    // Nor is there a way around by the option.
    let jwk = serde_json::to_string(other.public().to_jwk()).unwrap();
    let from = machine.path("handed-over.json");
    let given = [
        "activate",
        "--from",
        from.to_str().unwrap(),
        "--root-key",
        &jwk,
    ];
    let error = machine.run(&given).await.badly(4);
    assert!(error.contains("another root key"), "{error}");
    machine.run(&["token"]).await.well();

    // A root key that was given counts from the first use on.
    let pinned = Machine::new("f-1").await;
    fs::write(
        pinned.path("root.jwk"),
        serde_json::to_string(root().public().to_jwk()).unwrap(),
    )
    .unwrap();
    fs::write(pinned.path("license.json"), &another).unwrap();
    let given = [
        "activate",
        "--from",
        "license.json",
        "--registry",
        REGISTRY,
        "--root-key",
    ];
    let error = pinned
        .run(&[&given[..], &["root.jwk"]].concat())
        .await
        .badly(4);
    assert!(error.contains("another key than the root key"), "{error}");
    fs::write(pinned.path("license.json"), &good).unwrap();
    let said = pinned
        .run(&[&given[..], &["root.jwk"]].concat())
        .await
        .well();
    assert!(
        said.err.contains("which was not made in this project"),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_is_written_beside_the_file_does_not_count() {
    let machine = Machine::new("f-1").await;
    let request = machine.request().await;
    let old = file(&request, now() - 10 * DAY, now() + DAY);
    machine.activate(&signed_by(&root(), &old)).await.well();
    let token = machine.run(&["token"]).await.well().out;
    machine.edit("npmToken", json!("mine"));
    machine.edit("expiresAt", json!("2099-01-01T00:00:00Z"));
    assert_eq!(machine.run(&["token"]).await.well().out, token);
    // The file itself cannot be edited.
    let jws = machine.credentials()["licenseFile"].clone();
    machine.edit("licenseFile", json!(text(&jws).replace("eyJ", "eyK")));
    machine.run(&["token"]).await.badly(4);
    machine.edit("licenseFile", jws);
    // Another root key in place of the kept one.
    let other = SigningKey::from_seed(&[6; 32]).unwrap();
    let jwk = serde_json::to_string(other.public().to_jwk()).unwrap();
    fs::write(machine.path(".box/root-key.json"), jwk).unwrap();
    machine.run(&["token"]).await.badly(4);
    machine.asked_nobody();
}

#[tokio::test]
async fn time_is_the_files_and_a_clock_that_was_set_back_is_noticed() {
    let machine = Machine::new("f-1").await;
    let request = machine.request().await;
    // Ended, and not begun: for the latter this machine's clock was set back.
    let ended = file(&request, now() - 20 * DAY, now() - DAY);
    let error = machine.activate(&signed_by(&root(), &ended)).await.badly(4);
    assert!(error.contains("the license file ended at"), "{error}");
    let tomorrow = file(&request, now() + DAY, now() + 20 * DAY);
    let error = machine
        .activate(&signed_by(&root(), &tomorrow))
        .await
        .badly(4);
    assert!(
        error.contains("and the license file was signed at"),
        "{error}"
    );

    let good = signed_by(&root(), &file(&request, now() - 2 * DAY, now() + 20 * DAY));
    machine.activate(&good).await.well();
    machine.run(&["token"]).await.well();
    // It writes down how far the clock was, also while it goes on.
    machine.edit("clockSeenAt", json!(now() - DAY));
    machine.run(&["token"]).await.well();
    let seen: Timestamp = text(&machine.credentials()["clockSeenAt"]).parse().unwrap();
    assert!(now().duration_since(seen) < SignedDuration::from_mins(5));
    // The clock was three days ahead of what it shows now.
    machine.edit("clockSeenAt", json!(now() + 3 * DAY));
    let said = machine.run(&["token"]).await;
    let said = Said {
        err: said.masked(),
        ..said
    };
    assert_snapshot!(said.badly(4), @"
    ---
    error: this machine's clock shows [time] and has shown [time] before
      hint: set the clock right; if it was ahead before, a license file that is signed from now on begins anew
    ");
    // The same file again does not help, and neither does an older one.
    machine.activate(&good).await.badly(4);
    let older = signed_by(&root(), &file(&request, now() - 5 * DAY, now() + 20 * DAY));
    machine.activate(&older).await.badly(4);
    // A new one does: whoever signed it saw what time it is.
    let newer = signed_by(&root(), &file(&request, now(), now() + 20 * DAY));
    machine.activate(&newer).await.well();
    machine.run(&["token"]).await.well();
    for command in ["status", "renew"] {
        machine.edit("clockSeenAt", json!(now() + 3 * DAY));
        machine.run(&[command]).await.badly(4);
    }
    // A few minutes are nothing.
    machine.edit("clockSeenAt", json!(now() + SignedDuration::from_mins(4)));
    machine.run(&["token"]).await.well();
    machine.asked_nobody();
}

#[tokio::test]
async fn status_and_renew_ask_nobody_and_say_until_when_the_file_is_good() {
    let machine = Machine::new("f-1").await;
    let request = machine.request().await;
    let hour = SignedDuration::from_hours(1);
    let long = file(&request, now() - DAY, now() + 200 * DAY + hour);
    machine.activate(&signed_by(&root(), &long)).await.well();
    let status = machine.run(&["status"]).await.well();
    let renewed = machine.run(&["renew", "--force"]).await.well();
    let masked = format!("{}======\n{}", status.masked(), renewed.masked());
    assert_snapshot!("status_and_renew", masked);
    let soon = file(&request, now(), now() + 29 * DAY + hour);
    machine.activate(&signed_by(&root(), &soon)).await.well();
    let said = machine.run(&["renew"]).await.well();
    assert_snapshot!(said.masked(), @"
    nothing to renew: the license file is good until [time] (in 29 days)
    ---
    warning: the license file ends at [time] (in 29 days)
      hint: ask for another one: `box request > request.json`, have your vendor sign it, `box activate --from FILE`
    ");
    let said = machine.run(&["status"]).await.well();
    assert!(said.err.contains("the license file ends"), "{said:?}");
    // A project that cannot be written is used all the same.
    let folder = machine.path(".box");
    let kept = fs::metadata(&folder).unwrap().permissions();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    machine.run(&["token"]).await.well();
    fs::set_permissions(&folder, kept).unwrap();
    machine.asked_nobody();
}

#[tokio::test]
async fn the_doctor_asks_the_gate_alone() {
    let machine = Machine::new("mine").await;
    let request = machine.request().await;
    let good = signed_by(&root(), &file(&request, now(), now() + DAY));
    machine.activate(&good).await.well();
    let checks = async |expected: [&str; 4]| {
        let told = machine.run(&["doctor", "--json"]).await;
        assert!(!told.out.contains("eyJ"), "{told:?}");
        let told: Value = serde_json::from_str(&told.out).unwrap();
        let checks = told["checks"].as_array().unwrap().clone();
        let state = |name: &str| {
            let check = checks.iter().find(|check| check["name"] == name);
            text(&check.unwrap_or(&checks[0])["state"]).to_owned()
        };
        let states = ["control plane", "token", "npmrc", "gate"].map(state);
        assert_eq!(states, expected, "{told:#}");
        checks
    };
    checks(["skipped", "ok", "ok", "failed"]).await;

    machine.edit("fingerprint", json!("theirs"));
    machine.edit("expiresAt", json!(now() - DAY));
    checks(["skipped", "failed", "ok", "failed"]).await;
}
