//! What is shown of an activation, and how it ends.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::played::{Home, Played};

#[test]
fn status_asks_nobody() {
    let home = Home::new();
    let said = home.run(&["status"]);
    assert!(
        said.code == 1 && said.out.contains("is not activated"),
        "{said:?}"
    );
    assert_eq!(
        home.run(&["status", "--json"]).out,
        "{\n  \"activated\": false\n}\n"
    );

    let played = Played::new();
    let home = Home::activated(&played);
    let said = home.run(&["status"]);
    assert!(
        said.code == 0 && said.out.contains("seat      2 of 5\n"),
        "{said:?}"
    );
    assert!(said.err.is_empty(), "{said:?}");
    let told: Value = serde_json::from_str(&home.run(&["status", "--json"]).out).unwrap();
    assert_eq!(
        (&told["tier"], &told["packages"]),
        (&json!("basic"), &json!(2))
    );
    // In ten days by the token's times, which are of this machine's clock.
    home.edit(|kept| {
        let at: Timestamp = kept["issuedAt"].as_str().unwrap().parse().unwrap();
        kept["licenseExpiresAt"] = json!(at.checked_add(SignedDuration::from_hours(242)).unwrap());
    });
    let said = home.run(&["status"]);
    assert!(
        said.err.starts_with("warning: the license expires 2"),
        "{said:?}"
    );
    assert!(said.err.contains("(in 10 days)"), "{said:?}");
    assert_eq!(played.asked().len(), 1);
}

#[test]
fn packages_are_listed_and_compared_with_what_is_committed() {
    let played = Played::new();
    let home = Home::activated(&played);
    assert_eq!(home.run(&["packages"]).out, "@acme/order\n@acme/shared\n");
    assert_eq!(home.run(&["packages", "--diff"]).out, "nothing changed\n");
    played.set("packages", json!(["@acme/points", "@acme/shared"]));
    let files = (home.text("box.json"), home.text(".npmrc"));
    for _ in 0..2 {
        let said = home.run(&["packages", "--diff"]);
        assert_eq!(
            (said.code, said.out.as_str()),
            (0, "- @acme/order\n+ @acme/points\n")
        );
    }
    assert_eq!(files, (home.text("box.json"), home.text(".npmrc")));
}

#[test]
fn deactivating_takes_out_what_is_ours_alone() {
    let played = Played::new();
    let home = Home::new();
    fs::write(
        home.path(".npmrc"),
        "# mine\n\n@own:registry=http://gate.example/\n",
    )
    .unwrap();
    fs::write(home.path("box.json"), "{\"name\": \"shop\"}").unwrap();
    let activate = ["activate", "--control-plane", &played.url, "--key", "k"];
    assert_eq!(home.run(&activate).code, 0);
    // A scope that was pointed elsewhere by hand is no longer ours.
    let lines = home.text(".npmrc");
    let elsewhere = "@acme:registry=http://mine.example/\n";
    let lines = lines.replace("@acme:registry=http://gate.example/\n", elsewhere);
    fs::write(home.path(".npmrc"), lines).unwrap();
    let said = home.run(&["deactivate"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "deactivated: the seat is free\n")
    );
    let (path, body) = &played.asked()[1];
    assert_eq!(path, "/v1/deactivate");
    assert_eq!(
        *body,
        json!({ "key": "k", "box": { "fingerprint": "f-1" } })
    );
    assert_eq!(
        home.text(".npmrc"),
        format!("# mine\n\n@own:registry=http://gate.example/\n{elsewhere}")
    );
    let told: Value = serde_json::from_str(&home.text("box.json")).unwrap();
    assert_eq!(
        told,
        json!({ "name": "shop", "controlPlaneUrl": played.url })
    );
    assert!(!home.path(".box").exists());
    assert_eq!(home.run(&["deactivate"]).code, 4);
}

#[test]
fn where_the_seat_cannot_be_freed_the_local_part_can_go_alone() {
    let played = Played::new();
    let home = Home::activated(&played);
    played.refuse(403, "license_unusable");
    let said = home.run(&["deactivate"]);
    assert!(said.code == 4 && said.err.contains("--local"), "{said:?}");
    assert!(home.path(".box/credentials.json").exists());
    let asked = played.asked().len();
    let said = home.run(&["deactivate", "--local"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "deactivated: here alone\n")
    );
    assert!(!home.path(".npmrc").exists() && !home.path(".box").exists());
    assert_eq!(played.asked().len(), asked);
}
