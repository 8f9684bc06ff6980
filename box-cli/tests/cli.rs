//! What `box` says on the command line.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    let project = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_box"));
    command
        .args(arguments)
        .current_dir(project.path())
        .stdin(Stdio::null())
        .env_remove("BOX_LICENSE_KEY")
        .output()
        .unwrap()
}

#[test]
fn without_a_key_it_says_where_to_put_one() {
    let output = run(&["activate", "--control-plane", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("--key-file") && text.contains("BOX_LICENSE_KEY"),
        "{text}"
    );
}

#[test]
fn a_control_plane_that_cannot_be_reached_is_named() {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path().to_str().unwrap();
    let url = "http://127.0.0.1:9";
    let output = run(&[
        "activate",
        "--control-plane",
        url,
        "--key",
        "k",
        "--project",
        folder,
    ]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("cannot reach the control plane at http://127.0.0.1:9"),
        "{text}"
    );
    assert!(!project.path().join(".npmrc").exists());
}
