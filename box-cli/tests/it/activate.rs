//! What an activation leaves in the project, and what it does not ask.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::played::{Home, KEY, Played, said};

#[test]
fn without_a_key_it_says_where_to_put_one() {
    let home = Home::new();
    let said = home.run(&["activate", "--control-plane", "http://127.0.0.1:9"]);
    assert_eq!(said.code, 2);
    let named = said.err.contains("--key-file") && said.err.contains("BOX_LICENSE_KEY");
    assert!(named, "{said:?}");
}

#[test]
fn a_control_plane_that_cannot_be_reached_is_named_and_nothing_is_left() {
    let home = Home::new();
    let url = "http://127.0.0.1:9";
    let said = home.run(&["activate", "--control-plane", url, "--key", KEY]);
    assert_eq!(said.code, 3);
    let text = "cannot reach the control plane at http://127.0.0.1:9";
    assert!(said.err.contains(text), "{said:?}");
    assert_eq!(fs::read_dir(home.path("")).unwrap().count(), 0);
}

/// POT-57 to POT-60.
#[test]
fn pot_57_what_may_be_committed_has_no_secret_and_what_is_secret_is_the_owners_alone() {
    let (home, played) = (Home::new(), Played::new());
    let before = "{\"name\": \"shop\", \"brand\": { \"color\":  \"red\" }}";
    fs::write(home.path("box.json"), before).unwrap();
    fs::write(home.path(".npmrc"), "; mine\r\nfund = false").unwrap();
    fs::write(home.path(".gitignore"), "node_modules").unwrap();
    let arguments = ["activate", "--control-plane", &played.url, "--org", "o-1"];
    let mut command = home.command(&arguments);
    command.env("BOX_LICENSE_KEY", KEY);
    let said = said(command);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(
        said.out,
        "activated: tier basic, 2 packages from http://gate.example/\n  @acme/order\n  @acme/shared\n"
    );
    assert_eq!(
        home.text(".npmrc"),
        "; mine\r\nfund = false\r\n@acme:registry=http://gate.example/\r\n\
         //gate.example/:_authToken=token-1\r\n"
    );
    let text = home.text("box.json");
    let kept = "{\n  \"name\": \"shop\",\n  \"brand\": { \"color\":  \"red\" },\n";
    assert!(text.starts_with(kept), "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    let block = &told["license"];
    assert_eq!(
        (&told["controlPlaneUrl"], &told["org"]),
        (&json!(played.url), &json!("o-1"))
    );
    assert_eq!(
        *block,
        json!({
            "customerId": "c-1", "tier": "basic", "registryUrl": "http://gate.example/",
            "packages": ["@acme/order", "@acme/shared"], "activatedAt": block["activatedAt"],
        })
    );
    assert!(!text.contains(KEY) && !text.contains("token-"), "{text}");
    let secret: Value = serde_json::from_str(&home.text(".box/credentials.json")).unwrap();
    assert_eq!(
        (&secret["licenseKey"], &secret["npmToken"]),
        (&json!(KEY), &json!("token-1"))
    );
    for name in [".box/credentials.json", ".npmrc"] {
        let mode = fs::metadata(home.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let ignored = "node_modules\n.box/credentials.json\n.npmrc\n";
    assert_eq!(home.text(".gitignore"), ignored);
    assert_eq!(home.text(".box/.gitignore"), "*\n");
}

#[test]
fn pot_56_the_older_ways_to_activate_go_on() {
    let played = Played::new();
    for (arguments, warned) in [
        (["auth", "--license-key", KEY], false),
        (["auth", "--key", KEY], false),
        (["activate", KEY, "--name=shop"], true),
    ] {
        let home = Home::new();
        let mut command = home.command(&arguments);
        command.env("BOX_CONTROL_PLANE", &played.url);
        let said = said(command);
        assert_eq!(
            (said.code, said.err.contains("deprecated")),
            (0, warned),
            "{said:?}"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_written_costs_no_seat() {
    let played = Played::new();
    for broken in [".box", ".npmrc/", "box.json"] {
        let home = Home::new();
        // A file in place of a folder, a folder in place of a file, no JSON.
        match broken.strip_suffix('/') {
            Some(folder) => fs::create_dir(home.path(folder)).unwrap(),
            None => fs::write(home.path(broken), "no").unwrap(),
        }
        let said = home.run(&["activate", "--control-plane", &played.url, "--key", KEY]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(broken.trim_end_matches('/')), "{said:?}");
    }
    assert_eq!(played.asked(), []);
}

#[test]
fn another_license_takes_the_place_of_the_old_one() {
    let (first, second) = (Played::new(), Played::new());
    let home = Home::activated(&first);
    second.set("registryUrl", json!("https://npm.example/r"));
    second.set("licenseId", json!("lic_2"));
    second.set("packages", json!(["@other/order"]));
    // The kept key is not for this control plane.
    let said = home.run(&["activate", "--control-plane", &second.url]);
    assert_eq!((said.code, second.asked().len()), (2, 0), "{said:?}");
    let said = home.run(&["activate", "--control-plane", &second.url, "--key", "k-2"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.err.contains("license lic_1 keeps this box's seat"),
        "{said:?}"
    );
    assert_eq!(
        home.text(".npmrc"),
        "@other:registry=https://npm.example/r/\n//npm.example/r/:_authToken=token-1\n"
    );
    // Known to both as the same.
    assert_eq!(first.asked()[0].1["box"], second.asked()[0].1["box"]);
}

#[test]
fn another_box_of_the_same_license_changes_nothing_that_is_committed() {
    let played = Played::new();
    let home = Home::activated(&played);
    let committed = home.text("box.json");
    // As after a clone elsewhere.
    fs::remove_dir_all(home.path(".box")).unwrap();
    let said = home.run(&["activate", "--key", KEY]);
    assert_eq!((said.code, played.asked().len()), (0, 2), "{said:?}");
    assert_eq!(home.text("box.json"), committed);
}
