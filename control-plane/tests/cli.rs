//! What `tollgate` says on the command line.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

fn tollgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .args(arguments)
        .env_remove("TOLLGATE_MANIFEST")
        .output()
        .unwrap()
}

#[test]
fn help_names_every_setting_with_its_variable_and_default() {
    let output = tollgate(&["serve", "--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in [
        "--data",
        "TOLLGATE_DATA",
        "--manifest",
        "--listen",
        "127.0.0.1:7400",
        "--gate-listen",
        "127.0.0.1:7401",
        "--gate-url",
        "--upstream",
        "--database-url",
        "--tls-cert",
        "--trusted-proxies",
        "--otlp-endpoint",
        "--shutdown-delay",
        "--signing-key",
        "--key-passphrase-file",
        "TOLLGATE_KEY_PASSPHRASE",
        "--key-rotation-days",
        "--log-json",
        "TOLLGATE_LOG",
        "--config",
        "TOLLGATE_OPERATOR_TOKEN",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn config_tells_each_setting_with_its_origin_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tollgate.toml");
    let text = "database-url = 'postgres://u:hunter2@db/t'\naudience = 'file'\nlog = 'info'\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.env_clear().env("TOLLGATE_AUDIENCE", "variable");
        command.env("TOLLGATE_KEY_PASSPHRASE", "hunter2");
        command.args(["config", "--config", file, "--issuer", "flag"]);
        command.args(more).output().unwrap()
    };
    let output = run(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let row = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("issuer"), "issuer flag flag --issuer");
    let audience = "audience variable environment TOLLGATE_AUDIENCE";
    assert_eq!(row("audience"), audience);
    assert_eq!(row("log "), format!("log info file {file}"));
    assert_eq!(row("token-life"), "token-life 3600 default");
    assert_eq!(row("manifest"), "manifest - default");
    assert!(row("database-url").contains("postgres://u:***@db/t"));
    assert!(!text.contains("hunter2"), "{text}");

    let output = run(&["--json", "--log-json", "--gate-listen", "0.0.0.0:0"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let log = rows.iter().find(|row| row["key"] == "log-json").unwrap();
    let origin = serde_json::json!({ "kind": "flag", "name": "--log-json" });
    assert_eq!((&log["value"], &log["origin"]), (&"true".into(), &origin));
    assert!(!text.contains("hunter2"), "{text}");
    // What does not fit together is told after the table.
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--gate-url"), "{text}");
}

#[test]
fn wrong_usage_exits_with_2_and_a_failure_with_1() {
    assert_eq!(tollgate(&["serv"]).status.code(), Some(2));
    assert_eq!(
        tollgate(&["serve", "--listen", "nowhere"]).status.code(),
        Some(2)
    );
    let output = tollgate(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("error: no manifest is given\n  hint: "),
        "{text}"
    );
}
