//! A key that is given for one call: used, and kept nowhere.

use std::fs;

use serde_json::json;

use crate::played::{Home, KEY, Played, said};

#[test]
fn a_build_machine_gets_a_token_and_no_file() {
    let (home, played) = (Home::new(), Played::new());
    // Committed, so that the key alone is given.
    let text = json!({ "controlPlaneUrl": played.url }).to_string();
    fs::write(home.path("box.json"), &text).unwrap();
    let mut command = home.command(&["token"]);
    command.env("BOX_LICENSE_KEY", KEY);
    assert_eq!(said(command).out, "token-1\n");
    assert_eq!(fs::read_dir(home.path("")).unwrap().count(), 1);
    assert_eq!(home.text("box.json"), text);
}

#[test]
fn another_key_leaves_what_is_kept_alone() {
    let played = Played::new();
    let home = Home::activated(&played);
    let before = home.text(".box/credentials.json");
    assert_eq!(home.run(&["token", "--key", "k-2"]).out, "token-2\n");
    assert_eq!(home.run(&["token"]).out, "token-1\n");
    // The same key is nothing else than what is kept.
    assert_eq!(home.run(&["token", "--key", KEY]).out, "token-1\n");
    assert_eq!(home.text(".box/credentials.json"), before);
    // The kept key goes to no other control plane.
    let other = Played::new();
    let said = home.run(&["token", "--control-plane", &other.url]);
    assert_eq!((said.code, other.asked().len()), (4, 0), "{said:?}");
}

#[test]
fn a_due_token_is_renewed_without_a_trace_where_nothing_can_be_written() {
    let played = Played::new();
    let home = Home::activated(&played);
    home.shift_life(-jiff::SignedDuration::from_hours(1));
    fs::remove_file(home.path(".box/lock")).unwrap();
    fs::create_dir(home.path(".box/lock")).unwrap();
    assert_eq!(home.run(&["token"]).out, "token-2\n");
    assert!(home.text(".box/credentials.json").contains("token-1"));
    let said = home.run(&["renew"]);
    assert!(
        said.code == 1 && said.err.contains("cannot write"),
        "{said:?}"
    );
}

#[test]
fn the_key_comes_from_a_file_before_the_variable() {
    let (home, played) = (Home::new(), Played::new());
    fs::write(home.path("key"), "from-the-file\n").unwrap();
    let mut command = home.command(&["token", "--key-file", "key"]);
    command
        .env("BOX_CONTROL_PLANE", &played.url)
        .env("BOX_LICENSE_KEY", KEY);
    assert_eq!(said(command).code, 0);
    let mut command = home.command(&["token", "--key-file", "-"]);
    command
        .env("BOX_CONTROL_PLANE", &played.url)
        .stdin(fs::File::open(home.path("key")).unwrap());
    assert_eq!(said(command).code, 0);
    let asked = played.asked();
    let keys: Vec<_> = asked.iter().map(|(_, body)| &body["key"]).collect();
    assert_eq!(keys, ["from-the-file", "from-the-file"]);
    fs::write(home.path("key"), "\n").unwrap();
    assert_eq!(home.run(&["token", "--key-file", "key"]).code, 2);
}

#[test]
fn a_project_is_found_upwards() {
    let played = Played::new();
    let home = Home::activated(&played);
    fs::create_dir_all(home.path("packages/shop")).unwrap();
    let mut command = home.command(&["token"]);
    command.current_dir(home.path("packages/shop"));
    assert_eq!(said(command).out, "token-1\n");
    let mut command = home.command(&["token"]);
    command.env("BOX_PROJECT", home.path("packages"));
    assert_eq!(said(command).code, 4);
    assert_eq!(home.run(&["token", "--project", "nowhere"]).code, 2);
}
