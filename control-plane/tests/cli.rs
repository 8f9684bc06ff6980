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
        "--config",
        "TOLLGATE_OPERATOR_TOKEN",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
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
