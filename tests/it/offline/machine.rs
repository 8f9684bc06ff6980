//! A machine behind an air gap, and a vendor who signs whatever the time is.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use activation_token::SigningKey;
use activation_token::clock::{Clock, SystemClock};
use activation_token::offline::{HandedOver, LicenseFile, LicenseRequest};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tests::process::command;

pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);
pub(super) const REGISTRY: &str = "http://packages.plant.example:7401";

/// What a command said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    pub(super) fn well(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    pub(super) fn badly(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }

    /// All of it, with what differs from run to run masked.
    pub(super) fn masked(&self) -> String {
        let mut text = format!("{}---\n{}", self.out, self.err);
        for (begin, mask) in [("lic_", "[license]"), ("req_", "[request]")] {
            while let Some(at) = text.find(begin) {
                let rest = &text[at + 4..];
                let length = rest.find(|c: char| !c.is_ascii_alphanumeric());
                text.replace_range(at..at + 4 + length.unwrap_or(rest.len()), mask);
            }
        }
        let words = text.split_inclusive([' ', '\n']).map(|word| {
            let bare = word.trim_end();
            let mask = if bare
                .trim_matches([',', ';', ':'])
                .parse::<Timestamp>()
                .is_ok()
            {
                "[time]"
            } else if bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit()) {
                "[fingerprint]"
            } else if bare.len() == 43 {
                "[thumbprint]"
            } else if bare.starts_with("/tmp/") {
                "[file]"
            } else {
                return word.to_owned();
            };
            word.replace(bare, mask)
        });
        words.collect()
    }
}

pub(super) async fn said(mut command: tokio::process::Command) -> Said {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A machine behind an air gap, with a project. Whatever would leave it is counted.
pub(super) struct Machine {
    pub(super) dir: TempDir,
    pub(super) fingerprint: &'static str,
    pub(super) wire: Arc<AtomicUsize>,
    pub(super) proxy: String,
    pub(super) sealed: bool,
}

impl Machine {
    pub(super) async fn new(fingerprint: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let wire = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wire);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        // Where that is allowed, it has no network interface at all.
        let mut unshare = tokio::process::Command::new("unshare");
        unshare.args(["--net", "--map-root-user", "true"]);
        unshare.stderr(Stdio::null());
        let sealed = unshare.status().await.is_ok_and(|status| status.success());
        Self {
            dir: tempfile::tempdir().unwrap(),
            fingerprint,
            wire,
            proxy,
            sealed,
        }
    }

    /// Runs `box`.
    pub(super) async fn run(&self, arguments: &[&str]) -> Said {
        let plain = command("box");
        let mut command = if self.sealed {
            let mut sealed = tokio::process::Command::new("unshare");
            sealed.args(["--net", "--map-root-user"]);
            sealed.arg(plain.as_std().get_program());
            sealed
        } else {
            plain
        };
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env(name, &self.proxy);
        }
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BOX_")) {
            command.env_remove(name);
        }
        command.env("BOX_FINGERPRINT", self.fingerprint);
        command.args(arguments).current_dir(self.dir.path());
        command.stdin(Stdio::null());
        said(command).await
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(super) async fn request(&self) -> LicenseRequest {
        let said = self.run(&["request"]).await.well();
        LicenseRequest::from_json(&said.out).unwrap()
    }

    /// Activates from a text that was handed over.
    pub(super) async fn activate(&self, handed_over: &str) -> Said {
        let file = self.path("handed-over.json");
        fs::write(&file, handed_over).unwrap();
        let from = file.to_str().unwrap();
        self.run(&["activate", "--from", from, "--registry", REGISTRY])
            .await
    }

    pub(super) fn credentials(&self) -> Value {
        serde_json::from_str(&self.text(".box/credentials.json")).unwrap()
    }

    /// Has another member in what is kept, as an editor would.
    pub(super) fn edit(&self, member: &str, value: Value) {
        let mut credentials = self.credentials();
        credentials[member] = value;
        fs::write(self.path(".box/credentials.json"), credentials.to_string()).unwrap();
    }

    pub(super) fn asked_nobody(&self) {
        assert_eq!(self.wire.load(Ordering::SeqCst), 0);
    }
}

/// A vendor in the test itself: whatever the time, it signs.
pub(super) fn root() -> SigningKey {
    SigningKey::from_seed(&[5; 32]).unwrap()
}

pub(super) fn file(request: &LicenseRequest, from: Timestamp, until: Timestamp) -> LicenseFile {
    LicenseFile {
        request_id: request.request_id.clone(),
        issued_at: from,
        expires_at: until,
        fingerprint: request.fingerprint.clone(),
        license_id: "lic_1".into(),
        customer_id: "c-1".into(),
        tier: "basic".into(),
        license_expires_at: None,
        token: format!("offline-token-{}", from.as_second()),
        packages: vec!["@acme/order".parse().unwrap()],
    }
}

pub(super) fn signed_by(key: &SigningKey, file: &LicenseFile) -> String {
    let handed_over = HandedOver {
        license_file: key.sign_license_file(file).unwrap(),
        root_key: Some(key.public().clone()),
    };
    handed_over.to_text()
}

pub(super) fn now() -> Timestamp {
    SystemClock.now()
}
