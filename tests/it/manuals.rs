//! What both command lines say about themselves: completions, man pages, and the page whose
//! examples are run as they stand.

use std::path::Path;

use serde_json::json;
use tests::workshop::{binaries, end};
use tests::{Npm, SMALL, Tollgate, Workshop};
use tokio::process::Command;

const PROGRAMS: [&str; 2] = ["tollgate", "box"];

/// Runs a program that may not be installed; what it says where it fails.
async fn accepted_by(program: &str, arguments: &[&str], file: &Path) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).arg(file).output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() {
        text
    } else {
        format!("failed: {text}")
    })
}

#[tokio::test]
async fn completions_are_what_each_shell_reads() {
    let dir = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let mut command = tests::process::command(program);
            let output = command.args(["completions", shell]).output().await.unwrap();
            assert!(
                output.status.success() && output.stdout.len() > 1_000,
                "{program} {shell}"
            );
            let file = dir.path().join(format!("{program}.{shell}"));
            std::fs::write(&file, &output.stdout).unwrap();
            let accepted = accepted_by(shell, &["-n"], &file).await;
            assert!(accepted.unwrap_or_default().is_empty(), "{program} {shell}");
        }
        // bash completes from it.
        let script = format!(
            ". '{0}/{program}.bash'; COMP_WORDS=({program} com); COMP_CWORD=1; \
             _{program} {program} com {program}; echo \"${{COMPREPLY[*]}}\"",
            dir.path().display()
        );
        let output = Command::new("bash")
            .args(["-c", &script])
            .output()
            .await
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "completions"
        );
    }
}

#[tokio::test]
async fn every_subcommand_has_a_man_page_that_renders_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        let mut command = tests::process::command(program);
        let done = command.arg("man").arg(dir.path()).status().await.unwrap();
        assert!(done.success(), "{program}");
    }
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for page in [
        "tollgate.1",
        "tollgate-publish.1",
        "tollgate-license-issue.1",
        "box-activate.1",
    ] {
        assert!(names.iter().any(|name| name == page), "{page}: {names:?}");
    }
    for name in &names {
        let page = dir.path().join(name);
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(
            text.contains(".SH SYNOPSIS") && text.contains(".SH DESCRIPTION"),
            "{name}"
        );
        for (program, arguments) in [
            ("groff", &["-K", "utf8", "-man", "-ww", "-z"][..]),
            ("mandoc", &["-T", "lint", "-W", "error"]),
        ] {
            let told = accepted_by(program, arguments, &page).await;
            assert_eq!(told.unwrap_or_default(), "", "{name} by {program}");
        }
    }
}

/// The `sh` blocks of a page, one after the other.
fn examples(page: &str) -> String {
    let mut blocks = page.split("\n```sh\n");
    blocks.next();
    let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap());
    blocks.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_examples_of_the_page_of_commands_run_as_they_stand() {
    let tollgate = Tollgate::start(SMALL).await;
    let workshop = Workshop::new();
    for name in ["@acme/order", "@acme/shared"] {
        let package = json!({ "name": name, "version": "1.0.0" });
        workshop.pack(&package, &[]).await;
    }
    std::fs::create_dir(workshop.path("tollgate-data")).unwrap();
    let token = workshop.path("tollgate-data/operator-token");
    std::fs::write(token, &tollgate.operator_token).unwrap();
    let page = include_str!("../../control-plane/COMMANDS.md");
    let script = examples(page).replace("http://127.0.0.1:7400", &tollgate.control_plane);
    assert!(script.matches("tollgate ").count() > 15, "{script}");

    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &script]);
    command.current_dir(workshop.path(""));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("TOLLGATE_")) {
        command.env_remove(key);
    }
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", binaries().display()));
    command.env("TOLLGATE_PROFILES", workshop.path("profiles.toml"));
    let ended = end(command).await;
    assert_eq!(
        ended.code,
        Some(0),
        "{script}\n{}\n{}",
        ended.stdout,
        ended.stderr
    );
    assert!(!ended.stdout.contains(&tollgate.operator_token));

    // What it set up is there for the customer.
    let key = std::fs::read_to_string(workshop.path("license-key")).unwrap();
    let sold = tests::Vendor::of(&tollgate).activate(key.trim()).await;
    let shop = Npm::project("@acme", &tollgate.gate, Some(&sold.token));
    shop.must(&["install", "@acme/order"]).await;
}
