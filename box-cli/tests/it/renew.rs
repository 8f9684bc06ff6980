//! When another token is asked for, and what happens when it is not to be had.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::played::{Home, Played};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn it_renews_when_half_of_the_life_is_over_and_dirties_nothing() {
    let played = Played::new();
    let home = Home::activated(&played);
    let committed = (home.text("box.json"), home.text(".gitignore"));
    home.shift_life(-SignedDuration::from_mins(29));
    let said = home.run(&["renew"]);
    assert!(
        said.out.starts_with("not due: tier basic, token until "),
        "{said:?}"
    );
    home.shift_life(-SignedDuration::from_mins(2));
    let said = home.run(&["renew"]);
    assert!(
        said.out.starts_with("renewed: tier basic, token until "),
        "{said:?}"
    );
    assert!(home.text(".npmrc").ends_with("=token-2\n"));
    assert!(home.run(&["renew", "--force"]).out.starts_with("renewed"));
    assert_eq!(home.run(&["token"]).out, "token-3\n");
    assert_eq!(home.run(&["token", "--header"]).out, "Bearer token-3\n");
    assert_eq!(committed, (home.text("box.json"), home.text(".gitignore")));
    // However the committed file is laid out.
    fs::write(home.path("box.json"), committed.0.replace("  ", "\t")).unwrap();
    home.run(&["renew", "--force"]);
    assert_eq!(home.text("box.json"), committed.0.replace("  ", "\t"));
    // What it says of the license is news.
    played.set("tier", json!("growth"));
    home.run(&["renew", "--force"]);
    assert!(home.text("box.json").contains("\"tier\": \"growth\""));
}

#[test]
fn of_many_at_once_one_renews() {
    let played = Played::new();
    let home = Home::activated(&played);
    home.shift_life(-HOUR);
    let all: Vec<_> = (0..8)
        .map(|_| home.command(&["token"]).spawn().unwrap())
        .collect();
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"token-2\n", "{output:?}");
    }
    assert_eq!(played.asked().len(), 2);
}

#[test]
fn without_network_a_good_token_goes_on_and_an_old_one_does_not() {
    let home = Home::activated(&Played::new());
    home.edit(|kept| kept["controlPlaneUrl"] = json!("http://127.0.0.1:9/"));
    home.shift_life(-SignedDuration::from_mins(40));
    let said = home.run(&["token"]);
    assert_eq!((said.code, said.out.as_str()), (0, "token-1\n"));
    assert!(
        said.err
            .starts_with("warning: cannot reach the control plane"),
        "{said:?}"
    );
    let said = home.run(&["renew"]);
    assert!(
        said.code == 0 && said.out.starts_with("not renewed"),
        "{said:?}"
    );
    home.shift_life(-HOUR);
    for command in ["token", "renew"] {
        let said = home.run(&[command]);
        assert_eq!((said.code, said.out.as_str()), (3, ""), "{said:?}");
    }
    assert_eq!(home.run(&["status"]).code, 1);
}

#[test]
fn a_refusal_is_not_taken_for_a_missing_network() {
    let played = Played::new();
    let home = Home::activated(&played);
    home.shift_life(-SignedDuration::from_mins(40));
    played.refuse(403, "license_unusable");
    let said = home.run(&["token"]);
    assert_eq!((said.code, said.out.as_str()), (4, ""), "{said:?}");
}

#[test]
fn a_wrong_clock_is_told() {
    let played = Played::new();
    let home = Home::activated(&played);
    let now: Timestamp = jiff::Timestamp::UNIX_EPOCH;
    played.tell_time(now);
    let said = home.run(&["renew", "--force"]);
    let text = "ahead of the control plane's";
    assert!(said.code == 0 && said.err.contains(text), "{said:?}");
    // What was made in the future says that the clock was set back since.
    home.shift_life(HOUR * 3);
    let said = home.run(&["status"]);
    assert!(said.err.contains("clock stands 2 hours before"), "{said:?}");
    home.edit(|kept| kept["controlPlaneUrl"] = json!("http://127.0.0.1:9/"));
    let said = home.run(&["token"]);
    assert!(said.err.contains("clock stands 2 hours before"), "{said:?}");
}

#[test]
fn a_wait_for_others_can_be_given_up() {
    let home = Home::activated(&Played::new());
    home.shift_life(-HOUR);
    let other = fs::File::open(home.path(".box/lock")).unwrap();
    other.lock().unwrap();
    let mut child = home.command(&["watch"]).spawn().unwrap();
    // Once it takes signals, it can do nothing but wait.
    while !takes_signals(&child) {
        std::thread::yield_now();
    }
    terminate(&child);
    assert!(child.wait().unwrap().success());
}

/// Whether a program has a handler for SIGTERM (`proc_pid_status(5)`).
fn takes_signals(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & 1 << 14 != 0
}

fn terminate(child: &Child) {
    let id = child.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(killed.success());
}

#[test]
fn it_watches_until_it_is_told_to_stop() {
    let played = Played::new();
    let home = Home::activated(&played);
    home.shift_life(-HOUR);
    let mut child = home.command(&["watch"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(
        line.starts_with("renewed: tier basic, token until "),
        "{line}"
    );
    terminate(&child);
    assert!(child.wait().unwrap().success());
    assert_eq!(lines.next().unwrap().unwrap(), "stopped");

    played.refuse(503, "unavailable");
    home.shift_life(-HOUR);
    home.edit(|kept| kept["controlPlaneUrl"] = json!("http://127.0.0.1:9/"));
    let mut child = home.command(&["watch"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(
        line.starts_with("not renewed: cannot reach") && line.ends_with("; again in 5 seconds"),
        "{line}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
