//! The process: how it starts, how it ends, and what it says when it cannot start.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// The gate with these arguments and a control plane that does not answer.
fn gate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gate"));
    command.env_clear().env("TOLLGATE_GATE_TOKEN", "tgg_x");
    command.args(["--control-plane", "http://127.0.0.1:9"]);
    command.args(arguments);
    command
}

#[test]
fn it_says_when_it_is_ready_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = gate(&["--listen", "127.0.0.1:0"])
        .arg("--data")
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("registry-gate ready: http://");
    assert!(TcpStream::connect(address.unwrap()).is_ok());
    let told = Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn its_figures_are_shown_to_whoever_has_the_token_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("metrics-token");
    std::fs::write(&token, "letmein\n").unwrap();
    let mut child = gate(&["--listen", "127.0.0.1:0", "--log-json"])
        .args(["--log", "info,registry_gate::requests=debug"])
        .arg("--data")
        .arg(dir.path().join("data"))
        .arg("--metrics-token-file")
        .arg(&token)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("registry-gate ready: http://");
    let address = address.unwrap().to_owned();
    let ask = |authorization: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: x\r\n{authorization}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("").starts_with("HTTP/1.1 401 "));
    let page = ask("authorization: Bearer letmein\r\n");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    let refused = r#"tollgate_gate_refusals_total{code="metrics_token_invalid"} 1"#;
    assert!(page.contains(refused), "{page}");
    assert!(page.contains("tollgate_gate_snapshot_number 0"), "{page}");
    let told = Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stderr).unwrap();
    let lines = lines.lines().map(|line| {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"))
    });
    let told: Vec<_> = lines.filter(|line| line["route"] == "metrics").collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0]["code"], "metrics_token_invalid");
}

#[test]
fn it_says_why_it_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, file, missing) = (path("data"), path("file"), path("none"));
    std::fs::write(&file, "").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    let cases: [(&str, &str, &[&str], &str); 11] = [
        (any, &file, &[], "cannot be used"),
        (&taken, &data, &[], "cannot listen on"),
        (
            any,
            &data,
            &["--token-file", &missing],
            "cannot read the token file",
        ),
        (any, &data, &["--gate-url", "ftp://x"], "public URL"),
        (any, &data, &["--upstream", "file:///x"], "upstream"),
        (any, &data, &["--poll-seconds", "0"], "--poll-seconds"),
        (
            any,
            &data,
            &["--root-key", &missing],
            "cannot read the root key file",
        ),
        (any, &data, &["--root-key", "{}"], "not the JWK of"),
        (
            any,
            &data,
            &["--metrics-token-file", &missing],
            "cannot read the token file",
        ),
        (any, &data, &["--metrics-token-file", &file], "is empty"),
        (any, &data, &["--log", "registry_gate=loud"], "--log"),
    ];
    for (listen, data, more, sentence) in cases {
        let mut command = gate(&["--listen", listen, "--data", data]);
        let output = command.args(more).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{sentence}");
        assert!(text.contains(sentence), "{sentence}: {text}");
        assert!(output.stdout.is_empty(), "{sentence}");
    }
}
