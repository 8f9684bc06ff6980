//! The process: how it starts, how it ends, and what it says when it cannot start.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

fn gate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gate"));
    command.env_clear().env("TOLLGATE_GATE_TOKEN", "tgg_x");
    command.args([
        "--control-plane",
        "http://127.0.0.1:9",
        "--listen",
        "127.0.0.1:0",
    ]);
    command
}

#[test]
fn it_says_when_it_is_ready_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = gate()
        .arg("--data")
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim()
        .strip_prefix("registry-gate ready: http://")
        .unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    let killed = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_says_why_it_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (data, missing) = (
        path(&dir.path().join("data")),
        path(&dir.path().join("none")),
    );
    let cases: [(&[&str], &str); 6] = [
        (&["--data", &path(&file)], "cannot be used"),
        (&["--data", &data, "--listen", &taken], "cannot listen on"),
        (
            &["--data", &data, "--token-file", &missing],
            "cannot read the token file",
        ),
        (&["--data", &data, "--gate-url", "ftp://x"], "public URL"),
        (&["--data", &data, "--upstream", "file:///x"], "upstream"),
        (&["--data", &data, "--poll-seconds", "0"], "--poll-seconds"),
    ];
    for (arguments, sentence) in cases {
        let arguments = arguments.iter().rev().fold(Vec::new(), |mut all, part| {
            all.insert(0, *part);
            all
        });
        let output = gate_with(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text.contains(sentence), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

/// A later `--listen` would be an error, so the default one is left out where one is given.
fn gate_with(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gate"));
    command.env_clear().env("TOLLGATE_GATE_TOKEN", "tgg_x");
    command.args(["--control-plane", "http://127.0.0.1:9"]);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(arguments).output().unwrap()
}
