//! A control plane that answers as told, and a project that asks it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The license key of every project here.
pub(crate) const KEY: &str = "tgl_live_played";

/// A played control plane. It goes on until the test ends.
#[derive(Clone)]
pub(crate) struct Played {
    /// Where it is.
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    status: u16,
    answer: Value,
    date: Option<String>,
    asked: Vec<(String, Value)>,
}

impl Played {
    /// One that activates everything.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let state = State {
            status: 200,
            answer: json!({
                "token": "token-1", "expiresIn": 3600, "tier": "basic", "customerId": "c-1",
                "licenseId": "lic_1", "boxId": "box_1",
                "packages": ["@acme/order", "@acme/shared"],
                "registryUrl": "http://gate.example/",
                "licenseExpiresAt": null, "boxesUsed": 2, "boxesLimit": 5,
            }),
            date: None,
            asked: Vec::new(),
        };
        let played = Self {
            url,
            state: Arc::new(Mutex::new(state)),
        };
        let state = Arc::clone(&played.state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &state);
            }
        });
        played
    }

    /// Answers with another value of a member from now on.
    pub(crate) fn set(&self, member: &str, value: Value) {
        self.state.lock().unwrap().answer[member] = value;
    }

    /// Refuses everything from now on.
    pub(crate) fn refuse(&self, status: u16, code: &str) {
        let mut state = self.state.lock().unwrap();
        state.status = status;
        state.answer = json!({ "status": status, "code": code, "detail": "no, thank you" });
    }

    /// Tells this time from now on.
    pub(crate) fn tell_time(&self, at: Timestamp) {
        let date = jiff::fmt::rfc2822::DateTimePrinter::new();
        let date = date.timestamp_to_rfc9110_string(&at).unwrap();
        self.state.lock().unwrap().date = Some(date);
    }

    /// What was asked so far: path and body.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        self.state.lock().unwrap().asked.clone()
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(&stream);
    let (mut length, mut path) = (0, String::new());
    for line in reader.by_ref().lines() {
        let line = line.unwrap();
        if line.is_empty() {
            break;
        }
        if path.is_empty() {
            line.split(' ').nth(1).unwrap().clone_into(&mut path);
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut state = state.lock().unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    state.asked.push((path.clone(), body));
    let mut answer = state.answer.clone();
    if path == "/v1/activate" && answer["token"] == "token-1" {
        answer["token"] = json!(format!("token-{}", state.asked.len()));
    }
    let answer = answer.to_string();
    let kind = if state.status == 200 {
        "json"
    } else {
        "problem+json"
    };
    let date = state.date.as_ref();
    let date = date.map_or_else(String::new, |date| format!("date: {date}\r\n"));
    let head = format!(
        "HTTP/1.1 {} -\r\ncontent-type: application/{kind}\r\n{date}connection: close\r\n\
         content-length: {}\r\n\r\n",
        state.status,
        answer.len()
    );
    stream.write_all((head + &answer).as_bytes()).unwrap();
}

/// A project's folder, and the box that lives there.
pub(crate) struct Home(TempDir);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One that was activated.
    pub(crate) fn activated(at: &Played) -> Self {
        let home = Self::new();
        let said = home.run(&["activate", "--control-plane", &at.url, "--key", KEY]);
        assert_eq!(said.code, 0, "{said:?}");
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_box"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .env("BOX_FINGERPRINT", "f-1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments))
    }

    /// Changes what the box keeps, as time or a hand does.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.path(".box/credentials.json");
        let mut kept = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        edit(&mut kept);
        fs::write(path, kept.to_string()).unwrap();
    }

    /// Moves the kept token's life.
    pub(crate) fn shift_life(&self, by: SignedDuration) {
        self.edit(|kept| {
            for member in ["issuedAt", "expiresAt"] {
                let at: Timestamp = kept[member].as_str().unwrap().parse().unwrap();
                kept[member] = json!(at.checked_add(by).unwrap());
            }
        });
    }
}

pub(crate) fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
