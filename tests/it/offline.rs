//! A box behind an air gap: it asks by hand, the vendor signs, and from then on nobody is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use activation_token::clock::{Clock, SystemClock};
use activation_token::offline::{HandedOver, LicenseFile, LicenseRequest};
use activation_token::{Key, KeySet, SigningKey, Verifier};
use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::process::command;
use tests::{COMMERCE, Database, SMALL, Tollgate, Vendor, tollgate_command};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const REGISTRY: &str = "http://packages.plant.example:7401";

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn well(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    fn badly(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }

    /// All of it, with what differs from run to run masked.
    fn masked(&self) -> String {
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

async fn said(mut command: tokio::process::Command) -> Said {
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
struct Machine {
    dir: TempDir,
    fingerprint: &'static str,
    wire: Arc<AtomicUsize>,
    proxy: String,
    sealed: bool,
}

impl Machine {
    async fn new(fingerprint: &'static str) -> Self {
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
    async fn run(&self, arguments: &[&str]) -> Said {
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    async fn request(&self) -> LicenseRequest {
        let said = self.run(&["request"]).await.well();
        LicenseRequest::from_json(&said.out).unwrap()
    }

    /// Activates from a text that was handed over.
    async fn activate(&self, handed_over: &str) -> Said {
        let file = self.path("handed-over.json");
        fs::write(&file, handed_over).unwrap();
        let from = file.to_str().unwrap();
        self.run(&["activate", "--from", from, "--registry", REGISTRY])
            .await
    }

    fn credentials(&self) -> Value {
        serde_json::from_str(&self.text(".box/credentials.json")).unwrap()
    }

    /// Has another member in what is kept, as an editor would.
    fn edit(&self, member: &str, value: Value) {
        let mut credentials = self.credentials();
        credentials[member] = value;
        fs::write(self.path(".box/credentials.json"), credentials.to_string()).unwrap();
    }

    fn asked_nobody(&self) {
        assert_eq!(self.wire.load(Ordering::SeqCst), 0);
    }
}

/// A vendor in the test itself: whatever the time, it signs.
fn root() -> SigningKey {
    SigningKey::from_seed(&[5; 32]).unwrap()
}

fn file(request: &LicenseRequest, from: Timestamp, until: Timestamp) -> LicenseFile {
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

fn signed_by(key: &SigningKey, file: &LicenseFile) -> String {
    let handed_over = HandedOver {
        license_file: key.sign_license_file(file).unwrap(),
        root_key: Some(key.public().clone()),
    };
    handed_over.to_text()
}

fn now() -> Timestamp {
    SystemClock.now()
}

async fn sign(tollgate: &Tollgate, arguments: &[&str]) -> Said {
    let mut command = tollgate_command();
    command
        .args([
            "license",
            "sign-request",
            "--server",
            &tollgate.control_plane,
        ])
        .args(arguments)
        .env("TOLLGATE_OPERATOR_TOKEN", &tollgate.operator_token)
        .env("TOLLGATE_PROFILES", "/nonexistent/profiles.toml");
    said(command).await
}

async fn issue(tollgate: &Tollgate, order: Value) -> Value {
    let response = Vendor::of(tollgate).post("/v1/licenses", &order).await;
    assert_eq!(response.status(), 201);
    response.json().await.unwrap()
}

async fn read(tollgate: &Tollgate, path: &str) -> Value {
    Vendor::of(tollgate).get(path).await.json().await.unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_box_without_a_network_is_activated_by_hand() {
    for database in [Database::Sqlite, Database::Postgres] {
        let tollgate = Tollgate::start_on(database, SMALL, &[]).await;
        let order = json!({ "customerId": "plant-7", "tier": "growth", "maxBoxes": 1 });
        let license = issue(&tollgate, order).await;
        let id = text(&license["id"]);
        let machine = Machine::new("press-line-2").await;

        // There: the request.
        let said = machine
            .run(&["request", "--license", id, "--name", "press line 2"])
            .await
            .well();
        fs::write(machine.path("request.json"), &said.out).unwrap();
        let mut request: Value = serde_json::from_str(&said.out).unwrap();
        assert!(now().duration_since(text(&request["requestedAt"]).parse().unwrap()) < DAY);
        request["requestedAt"] = json!("[time]");
        let shown = Said {
            out: format!("{request:#}\n"),
            ..said
        };
        assert_snapshot!("request", shown.masked());

        // Here: nobody is there to be asked, then it is signed.
        let request = machine.path("request.json");
        let request = request.to_str().unwrap();
        let unasked = sign(&tollgate, &[request]).await;
        assert!(unasked.err.contains("--yes"), "{unasked:?}");
        assert_eq!((unasked.code, &*unasked.out), (2, ""));
        assert_eq!(
            read(&tollgate, &format!("/v1/licenses/{id}")).await["boxes"]["used"],
            0
        );
        let output = machine.path("license.json");
        let output = output.to_str().unwrap();
        let said = sign(&tollgate, &[request, "-o", output, "--yes"])
            .await
            .well();
        assert_snapshot!("sign_request", said.masked());
        assert_eq!(mode(Path::new(output)), 0o600);
        let boxes = read(&tollgate, &format!("/v1/licenses/{id}/boxes")).await;
        let box_ = &boxes["boxes"][0];
        assert_eq!(box_["name"], "press line 2");
        assert_eq!(
            (&box_["fingerprint"], &box_["holdsSeat"]),
            (&json!("press-line-2"), &json!(true))
        );
        assert!(box_["offlineUntil"].is_string());

        // There again: from now on it has all that it needs.
        fs::write(machine.path(".npmrc"), "fund=false\n").unwrap();
        let said = machine
            .run(&["activate", "--from", "license.json", "--registry", REGISTRY])
            .await
            .well();
        assert_snapshot!("activate", said.masked());
        let credentials = machine.credentials();
        let token = text(&credentials["npmToken"]);
        let npmrc = machine.text(".npmrc");
        assert!(npmrc.starts_with("fund=false\n"), "{npmrc}");
        assert!(
            npmrc.contains(&format!("@acme:registry={REGISTRY}/")),
            "{npmrc}"
        );
        assert!(npmrc.contains(&format!(
            "//packages.plant.example:7401/:_authToken={token}"
        )));
        for name in [".npmrc", ".box/credentials.json", ".box/root-key.json"] {
            assert_eq!(mode(&machine.path(name)), 0o600, "{name}");
        }
        let box_json: Value = serde_json::from_str(&machine.text("box.json")).unwrap();
        assert_eq!(box_json["license"]["customerId"], "plant-7");
        assert_eq!(credentials["controlPlaneUrl"], Value::Null);
        assert_eq!(credentials["licenseKey"], Value::Null);

        // The token is one for the bundle's gate, and for no other.
        let root = Key::from_jwk(machine.text(".box/root-key.json").trim().as_bytes()).unwrap();
        let keys = KeySet::new(vec![root]);
        let verifier = Verifier::new("tollgate", "tollgate-gate", 60);
        assert!(verifier.verify(token, &keys, now()).is_err());
        let good = verifier.offline().verify(token, &keys, now()).unwrap();
        assert_eq!(good.claims().box_id.as_deref(), box_["id"].as_str());
        for _ in 0..2 {
            assert_eq!(
                machine.run(&["token"]).await.well().out,
                format!("{token}\n")
            );
        }
        machine.asked_nobody();

        // Its secrets are in no output and in no file that may be committed.
        for public in [
            machine.text("request.json"),
            machine.text("box.json"),
            said.out,
            said.err,
        ] {
            assert!(!public.contains("eyJ"), "{public}");
            assert!(!public.contains(text(&license["key"])));
        }

        // The seat is taken.
        let other = Machine::new("press-line-3").await;
        let asked = other.run(&["request"]).await.well().out;
        fs::write(other.path("request.json"), asked).unwrap();
        let request = other.path("request.json");
        let refused = sign(
            &tollgate,
            &[request.to_str().unwrap(), "--license", id, "--yes"],
        )
        .await;
        assert!(refused.code != 0 && refused.out.is_empty(), "{refused:?}");
        assert!(
            refused
                .err
                .contains("all 1 boxes of this license are in use"),
            "{refused:?}"
        );

        // A license that is suspended is signed for nobody, and the operator is told so.
        let path = format!("/v1/licenses/{id}/suspend");
        Vendor::of(&tollgate)
            .post(&path, &json!({ "reason": "a test" }))
            .await;
        let request = machine.path("request.json");
        let refused = sign(&tollgate, &[request.to_str().unwrap(), "--yes"]).await;
        assert!(refused.badly(5).contains("suspended"));
        // What was signed before goes on: nobody can tell the box.
        machine.run(&["token"]).await.well();
    }
}

#[tokio::test]
async fn a_request_names_its_license_or_the_operator_does() {
    let tollgate = Tollgate::start(COMMERCE).await;
    let license = issue(&tollgate, json!({ "customerId": "c-1", "tier": "basic" })).await;
    let id = text(&license["id"]);
    let machine = Machine::new("f-1").await;
    let file = machine.path("request.json");
    let name = file.to_str().unwrap();
    let request = |license: Value| {
        let mut request = json!({
            "requestId": "req_1", "requestedAt": "2026-01-01T00:00:00Z", "fingerprint": "f-1",
        });
        if !license.is_null() {
            request["licenseId"] = license;
        }
        fs::write(&file, request.to_string()).unwrap();
    };
    request(Value::Null);
    let error = sign(&tollgate, &[name, "--yes"]).await.badly(2);
    assert!(error.contains("names no license"), "{error}");
    request(json!("lic_00000000000000000000000000"));
    let error = sign(&tollgate, &[name, "--license", id, "--yes"])
        .await
        .badly(2);
    assert!(error.contains("is for license"), "{error}");
    let error = sign(&tollgate, &[name, "--yes"]).await.badly(5);
    assert!(error.contains("no license with this id"), "{error}");
    request(json!(id));
    for (arguments, ends) in [
        (["--days", "30"], now() + 30 * DAY),
        (["--expires-at", "400d"], now() + 400 * DAY),
    ] {
        let said = sign(
            &tollgate,
            &[&[name, "--yes", "--json"], &arguments[..]].concat(),
        )
        .await;
        let answer: Value = serde_json::from_str(&said.well().out).unwrap();
        let end: Timestamp = text(&answer["expiresAt"]).parse().unwrap();
        assert!(
            end.duration_since(ends).abs() < SignedDuration::from_mins(5),
            "{end}"
        );
    }
    let error = sign(&tollgate, &[name, "--yes", "--expires-at", "2y"])
        .await
        .badly(5);
    assert!(error.contains("400 days"), "{error}");
    for (bad, text) in [
        ("", "not what `box request` printed"),
        (r#"{"key":"tgl_live_x"}"#, "not what `box request` printed"),
    ] {
        fs::write(&file, bad).unwrap();
        let error = sign(&tollgate, &[name, "--license", id, "--yes"])
            .await
            .badly(1);
        assert!(error.contains(text), "{error}");
        assert!(!error.contains("tgl_live_x"));
    }
}

#[tokio::test]
async fn a_file_counts_for_its_own_machine_alone() {
    let machine = Machine::new("mine").await;
    let request = machine.request().await;
    let good = signed_by(&root(), &file(&request, now(), now() + DAY));
    let theirs = LicenseFile {
        fingerprint: "theirs".into(),
        ..file(&request, now(), now() + DAY)
    };
    let error = machine
        .activate(&signed_by(&root(), &theirs))
        .await
        .badly(4);
    assert_snapshot!(error, @"
    error: this license file is for another box
      hint: make a request on this one with `box request`; if it is known by a `--fingerprint` of yours, give the same again
    ");
    // Nothing is left of what was refused.
    for name in [
        ".box/credentials.json",
        ".box/root-key.json",
        ".npmrc",
        "box.json",
    ] {
        assert!(!machine.path(name).exists(), "{name}");
    }
    machine.activate(&good).await.well();
    for command in ["token", "status", "renew"] {
        machine.run(&[command]).await.well();
    }

    // The whole folder on another machine.
    let copy = Machine::new("another machine").await;
    for folder in ["", ".box"] {
        fs::create_dir_all(copy.path(folder)).unwrap();
        for entry in fs::read_dir(machine.path(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.path(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    for command in ["token", "status", "renew"] {
        let error = copy.run(&[command]).await.badly(4);
        assert!(error.contains("for another box"), "{command}: {error}");
    }
    let error = copy.activate(&good).await.badly(4);
    assert!(error.contains("for another box"), "{error}");
    // Saying so in what is kept is no help.
    copy.edit("fingerprint", json!("another machine"));
    copy.run(&["token"]).await.badly(4);
}

#[tokio::test]
async fn a_file_that_was_tampered_with_or_signed_by_another_does_not_count() {
    let machine = Machine::new("f-1").await;
    let request = machine.request().await;
    let good = signed_by(&root(), &file(&request, now(), now() + DAY));
    let json: Value = serde_json::from_str(&good).unwrap();
    let jws = text(&json["licenseFile"]);
    let middle = jws.len() / 2;
    let letter = if &jws[middle..=middle] == "A" {
        "B"
    } else {
        "A"
    };
    let tampered = format!("{}{letter}{}", &jws[..middle], &jws[middle + 1..]);
    let error = machine
        .activate(&good.replace(jws, &tampered))
        .await
        .badly(4);
    assert_snapshot!(error, @"
    error: the license file does not count: the signature does not fit
      hint: ask your vendor for it again, and copy it whole
    ");
    for bad in ["", "{}", "hello", &good[..good.len() / 2]] {
        let error = machine.activate(bad).await.badly(1);
        assert!(error.contains("copy it whole"), "{error}");
    }
    // A file alone needs a root key from elsewhere.
    let error = machine.activate(jws).await.badly(4);
    assert!(error.contains("no root key is known"), "{error}");

    // The first root key is kept.
    let said = machine.activate(&good).await.well();
    assert!(said.err.contains(root().public().id()), "{said:?}");
    let again = machine.activate(jws).await.well();
    assert!(!again.err.contains("is kept"), "{again:?}");
    let other = SigningKey::from_seed(&[6; 32]).unwrap();
    let another = signed_by(&other, &file(&request, now(), now() + 300 * DAY));
    let error = machine.activate(&another).await.badly(4);
    assert!(error.contains("another key than the root key"), "{error}");
    assert!(error.contains("root-key.json"), "{error}");
    // Nor is there a way around by the option.
    let jwk = serde_json::to_string(other.public().to_jwk()).unwrap();
    let from = machine.path("handed-over.json");
    let given = [
        "activate",
        "--from",
        from.to_str().unwrap(),
        "--root-key",
        &jwk,
    ];
    let error = machine.run(&given).await.badly(4);
    assert!(error.contains("another root key"), "{error}");
    machine.run(&["token"]).await.well();

    // A root key that was given counts from the first use on.
    let pinned = Machine::new("f-1").await;
    fs::write(
        pinned.path("root.jwk"),
        serde_json::to_string(root().public().to_jwk()).unwrap(),
    )
    .unwrap();
    fs::write(pinned.path("license.json"), &another).unwrap();
    let given = [
        "activate",
        "--from",
        "license.json",
        "--registry",
        REGISTRY,
        "--root-key",
    ];
    let error = pinned
        .run(&[&given[..], &["root.jwk"]].concat())
        .await
        .badly(4);
    assert!(error.contains("another key than the root key"), "{error}");
    fs::write(pinned.path("license.json"), &good).unwrap();
    let said = pinned
        .run(&[&given[..], &["root.jwk"]].concat())
        .await
        .well();
    assert!(
        said.err.contains("which was not made in this project"),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_is_written_beside_the_file_does_not_count() {
    let machine = Machine::new("f-1").await;
    let request = machine.request().await;
    let old = file(&request, now() - 10 * DAY, now() + DAY);
    machine.activate(&signed_by(&root(), &old)).await.well();
    let token = machine.run(&["token"]).await.well().out;
    machine.edit("npmToken", json!("mine"));
    machine.edit("expiresAt", json!("2099-01-01T00:00:00Z"));
    assert_eq!(machine.run(&["token"]).await.well().out, token);
    // The file itself cannot be edited.
    let jws = machine.credentials()["licenseFile"].clone();
    machine.edit("licenseFile", json!(text(&jws).replace("eyJ", "eyK")));
    machine.run(&["token"]).await.badly(4);
    machine.edit("licenseFile", jws);
    // Another root key in place of the kept one.
    let other = SigningKey::from_seed(&[6; 32]).unwrap();
    let jwk = serde_json::to_string(other.public().to_jwk()).unwrap();
    fs::write(machine.path(".box/root-key.json"), jwk).unwrap();
    machine.run(&["token"]).await.badly(4);
    machine.asked_nobody();
}

#[tokio::test]
async fn time_is_the_files_and_a_clock_that_was_set_back_is_noticed() {
    let machine = Machine::new("f-1").await;
    let request = machine.request().await;
    // Ended, and not begun: for the latter this machine's clock was set back.
    let ended = file(&request, now() - 20 * DAY, now() - DAY);
    let error = machine.activate(&signed_by(&root(), &ended)).await.badly(4);
    assert!(error.contains("the license file ended at"), "{error}");
    let tomorrow = file(&request, now() + DAY, now() + 20 * DAY);
    let error = machine
        .activate(&signed_by(&root(), &tomorrow))
        .await
        .badly(4);
    assert!(
        error.contains("and the license file was signed at"),
        "{error}"
    );

    let good = signed_by(&root(), &file(&request, now() - 2 * DAY, now() + 20 * DAY));
    machine.activate(&good).await.well();
    machine.run(&["token"]).await.well();
    // It writes down how far the clock was, also while it goes on.
    machine.edit("clockSeenAt", json!(now() - DAY));
    machine.run(&["token"]).await.well();
    let seen: Timestamp = text(&machine.credentials()["clockSeenAt"]).parse().unwrap();
    assert!(now().duration_since(seen) < SignedDuration::from_mins(5));
    // The clock was three days ahead of what it shows now.
    machine.edit("clockSeenAt", json!(now() + 3 * DAY));
    let said = machine.run(&["token"]).await;
    let said = Said {
        err: said.masked(),
        ..said
    };
    assert_snapshot!(said.badly(4), @"
    ---
    error: this machine's clock shows [time] and has shown [time] before
      hint: set the clock right; if it was ahead before, a license file that is signed from now on begins anew
    ");
    // The same file again does not help, and neither does an older one.
    machine.activate(&good).await.badly(4);
    let older = signed_by(&root(), &file(&request, now() - 5 * DAY, now() + 20 * DAY));
    machine.activate(&older).await.badly(4);
    // A new one does: whoever signed it saw what time it is.
    let newer = signed_by(&root(), &file(&request, now(), now() + 20 * DAY));
    machine.activate(&newer).await.well();
    machine.run(&["token"]).await.well();
    for command in ["status", "renew"] {
        machine.edit("clockSeenAt", json!(now() + 3 * DAY));
        machine.run(&[command]).await.badly(4);
    }
    // A few minutes are nothing.
    machine.edit("clockSeenAt", json!(now() + SignedDuration::from_mins(4)));
    machine.run(&["token"]).await.well();
    machine.asked_nobody();
}

#[tokio::test]
async fn status_and_renew_ask_nobody_and_say_until_when_the_file_is_good() {
    let machine = Machine::new("f-1").await;
    let request = machine.request().await;
    let hour = SignedDuration::from_hours(1);
    let long = file(&request, now() - DAY, now() + 200 * DAY + hour);
    machine.activate(&signed_by(&root(), &long)).await.well();
    let status = machine.run(&["status"]).await.well();
    let renewed = machine.run(&["renew", "--force"]).await.well();
    let masked = format!("{}======\n{}", status.masked(), renewed.masked());
    assert_snapshot!("status_and_renew", masked);
    let soon = file(&request, now(), now() + 29 * DAY + hour);
    machine.activate(&signed_by(&root(), &soon)).await.well();
    let said = machine.run(&["renew"]).await.well();
    assert_snapshot!(said.masked(), @"");
    let said = machine.run(&["status"]).await.well();
    assert!(said.err.contains("the license file ends"), "{said:?}");
    // A project that cannot be written is used all the same.
    let folder = machine.path(".box");
    let kept = fs::metadata(&folder).unwrap().permissions();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    machine.run(&["token"]).await.well();
    fs::set_permissions(&folder, kept).unwrap();
    machine.asked_nobody();
}
