//! Signing keys in files: kept over a restart, given by the vendor, under a passphrase.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::process::{new_postgres_database, start};
use tests::{COMMERCE, Database, tollgate_command};
use tokio::process::{Child, Command};

/// A data directory and a database that processes come to and leave.
struct Home {
    dir: tempfile::TempDir,
    postgres: Option<String>,
}

/// A running process.
struct Running {
    child: Child,
    control_plane: String,
    gate: String,
}

impl Home {
    async fn on(database: Database) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tiers.toml"), COMMERCE).unwrap();
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(new_postgres_database().await),
        };
        Self { dir, postgres }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tollgate_command();
        let any = "127.0.0.1:0";
        command.args(["serve", "--listen", any, "--gate-listen", any]);
        command.arg("--data").arg(self.path("data"));
        command.arg("--manifest").arg(self.path("tiers.toml"));
        if let Some(url) = &self.postgres {
            command.args(["--database-url", url]);
        }
        command.args(arguments);
        command
    }

    async fn start(&self, arguments: &[&str]) -> Running {
        Running::of(self.command(arguments)).await
    }

    /// Fails to start, and returns what it said.
    async fn fails(&self, arguments: &[&str]) -> String {
        fails(self.command(arguments)).await
    }

    /// The files of the signing keys.
    fn keys(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.path("data/signing-keys")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    async fn sql(&self, statement: &str) {
        let mut command = if let Some(url) = &self.postgres {
            let mut command = Command::new("psql");
            command.args([url, "-qc", statement]);
            command
        } else {
            let mut command = Command::new("sqlite3");
            command.arg(self.path("data/tollgate.db")).arg(statement);
            command
        };
        assert!(command.status().await.unwrap().success());
    }

    fn operator(&self) -> String {
        let token = std::fs::read_to_string(self.path("data/operator-token"));
        token.unwrap().trim_end().to_owned()
    }
}

impl Running {
    async fn of(command: Command) -> Self {
        let (child, ready) = start(command).await;
        let rest = ready.strip_prefix("tollgate ready: control plane ");
        let (control_plane, gate) = rest.unwrap().split_once(", gate ").unwrap();
        Self {
            child,
            control_plane: control_plane.to_owned(),
            gate: gate.to_owned(),
        }
    }

    async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.unwrap().success());
        assert!(self.child.wait().await.unwrap().success());
    }

    async fn jwks(&self) -> Vec<String> {
        let url = format!("{}/.well-known/jwks.json", self.control_plane);
        let jwks = tests::people::client().get(url).send().await.unwrap();
        let jwks: Value = jwks.json().await.unwrap();
        let keys = jwks["keys"].as_array().unwrap();
        let ids = keys.iter().map(|key| key["kid"].as_str().unwrap());
        ids.map(ToOwned::to_owned).collect()
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.control_plane);
        let request = tests::people::client().post(url).bearer_auth(token);
        let response = request.json(body).send().await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
        response.json().await.unwrap()
    }

    async fn activate(&self, home: &Home) -> String {
        let new = json!({ "customerId": "c-1", "tier": "basic" });
        let license = self.post("/v1/licenses", &home.operator(), &new).await;
        let body = json!({ "key": license["key"], "box": { "fingerprint": "f" } });
        let activated = self.post("/v1/activate", "none", &body).await;
        activated["token"].as_str().unwrap().to_owned()
    }

    /// What the gate answers to a token: 404 for one that is good, as nothing is published.
    async fn install(&self, token: &str) -> u16 {
        let url = format!("{}/@acme%2fproduct", self.gate);
        let request = tests::people::client().get(url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }
}

async fn fails(mut command: Command) -> String {
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

/// What `openssl` makes of a key.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn new_key() -> Vec<u8> {
    openssl(&["genpkey", "-algorithm", "ed25519"], b"")
}

fn id(pem: &[u8]) -> String {
    let key = activation_token::SigningKey::from_file_bytes(pem, None).unwrap();
    key.public().id().to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

const BOTH: [Database; 2] = [Database::Sqlite, Database::Postgres];

#[tokio::test]
async fn pot_31_adopted_differently_keys_persist_so_that_a_token_verifies_after_a_restart() {
    for database in BOTH {
        let home = Home::on(database).await;
        let first = home.start(&[]).await;
        let token = first.activate(&home).await;
        let keys = first.jwks().await;
        assert_eq!(first.install(&token).await, 404);
        first.stop().await;
        let second = home.start(&[]).await;
        assert_eq!(second.jwks().await, keys);
        assert_eq!(second.install(&token).await, 404);
        assert_eq!(second.install("not.a.token").await, 401);
    }
}

#[tokio::test]
async fn pot_30_a_public_half_alone_stops_the_start() {
    let home = Home::on(Database::Sqlite).await;
    let pem = new_key();
    let public = openssl(&["pkey", "-pubout"], &pem);
    let key = activation_token::SigningKey::from_file_bytes(&pem, None).unwrap();
    let jwk = serde_json::to_vec(key.public().to_jwk()).unwrap();
    for (name, content) in [("public.pem", public), ("public.jwk", jwk)] {
        let file = home.write(name, content);
        let text = home.fails(&["--signing-key", &file]).await;
        assert!(
            text.contains(&file) && text.contains("public key alone"),
            "{text}"
        );
    }
    for (name, content, part) in [
        ("rsa.pem", "-----BEGIN RSA PRIVATE KEY-----\n", "an RSA key"),
        ("empty.pem", "", "empty"),
    ] {
        let text = home
            .fails(&["--signing-key", &home.write(name, content)])
            .await;
        assert!(text.contains(part), "{text}");
    }
    let text = home.fails(&["--signing-key", "no-such.pem"]).await;
    assert!(text.contains("no-such.pem"), "{text}");
    assert!(!home.path("data").exists(), "something was written");
}

#[tokio::test]
async fn a_given_key_signs_from_the_first_start_in_each_form() {
    let pem = new_key();
    let der = openssl(&["pkey", "-outform", "DER"], &pem);
    let seed = data_encoding::BASE64URL_NOPAD.encode(&der[16..48]);
    let key = activation_token::SigningKey::from_file_bytes(&pem, None).unwrap();
    let mut jwk = serde_json::to_value(key.public().to_jwk()).unwrap();
    jwk["d"] = seed.into();
    let encrypted = openssl(
        &[
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-passout",
            "pass:open sesame",
        ],
        &pem,
    );
    for (name, content) in [
        ("key.pem", pem.clone()),
        ("key.der", der),
        ("key.jwk", jwk.to_string().into_bytes()),
        ("encrypted.pem", encrypted),
    ] {
        let home = Home::on(Database::Sqlite).await;
        let file = home.write(name, content);
        let mut command = home.command(&["--signing-key", &file]);
        if name == "encrypted.pem" {
            command.env("TOLLGATE_KEY_PASSPHRASE", "open sesame");
        }
        let running = Running::of(command).await;
        assert_eq!(running.jwks().await, [id(&pem)], "{name}");
        let token = running.activate(&home).await;
        assert_eq!(running.install(&token).await, 404);
    }
}

#[tokio::test]
async fn a_further_given_key_is_published_and_waits_for_its_turn() {
    for database in BOTH {
        let home = Home::on(database).await;
        let running = home.start(&[]).await;
        let old = running.jwks().await;
        let token = running.activate(&home).await;
        running.stop().await;
        let pem = new_key();
        let file = home.write("key.pem", &pem);
        for _ in 0..2 {
            let running = home.start(&["--signing-key", &file]).await;
            assert_eq!(running.jwks().await, [old[0].clone(), id(&pem)]);
            assert_eq!(running.install(&token).await, 404);
            running.stop().await;
        }
        // Its file is not needed any more, and a third one has to wait until it signs.
        let third = home.write("third.pem", new_key());
        let running = home.start(&["--signing-key", &third]).await;
        assert_eq!(running.jwks().await, [old[0].clone(), id(&pem)]);
        running.stop().await;
        while home.keys().len() != 2 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn the_key_of_an_older_data_directory_is_adopted() {
    for database in BOTH {
        let home = Home::on(database).await;
        let running = home.start(&[]).await;
        let keys = running.jwks().await;
        let token = running.activate(&home).await;
        running.stop().await;
        // As the version before left it.
        home.sql("DELETE FROM signing_keys").await;
        let single = home.path("data/signing-key.pem");
        std::fs::rename(&home.keys()[0], &single).unwrap();
        for _ in 0..2 {
            let running = home.start(&[]).await;
            assert_eq!(running.jwks().await, keys);
            assert_eq!(running.install(&token).await, 404);
            running.stop().await;
        }
        assert!(!single.exists());

        home.sql("DELETE FROM signing_keys").await;
        let file = home.keys().remove(0);
        std::fs::rename(&file, home.path("aside")).unwrap();
        let text = home.fails(&[]).await;
        assert!(
            text.contains("signing-key.pem") && text.contains("restore it"),
            "{text}"
        );
        std::fs::rename(home.path("aside"), &file).unwrap();
        assert_eq!(home.start(&[]).await.jwks().await, keys);
    }
}

#[tokio::test]
async fn with_a_passphrase_no_key_is_plain_and_a_wrong_one_stops_the_start() {
    let home = Home::on(Database::Sqlite).await;
    let running = home.start(&[]).await;
    let keys = running.jwks().await;
    running.stop().await;
    let file = home.write("passphrase", "open sesame\n");
    let with_file = ["--key-passphrase-file", &file];
    // Keys that were plain are encrypted now.
    let running = home.start(&with_file).await;
    assert_eq!(running.jwks().await, keys);
    let reason = json!({ "reason": "a test" });
    let rotate = "/v1/signing-keys/rotate";
    running.post(rotate, &home.operator(), &reason).await;
    let keys = running.jwks().await;
    running.stop().await;
    let mut secret = home.keys();
    assert_eq!(secret.len(), 2);
    secret.push(home.path("data/root-key.pem"));
    for path in &secret {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        assert_eq!(mode(path), 0o600);
    }
    assert_eq!(mode(&home.path("data/hash-key")), 0o600);

    let text = home.fails(&[]).await;
    assert!(text.contains("key-passphrase-file"), "{text}");
    let with_variable = |passphrase: &str, arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("TOLLGATE_KEY_PASSPHRASE", passphrase);
        command
    };
    let text = fails(with_variable("open barley", &[])).await;
    assert!(text.contains("passphrase is not the one"), "{text}");
    assert!(!text.contains("barley"), "{text}");
    let text = fails(with_variable("open sesame", &with_file)).await;
    assert!(text.contains("give one"), "{text}");
    let empty = home.write("empty", "\n");
    let text = home.fails(&["--key-passphrase-file", &empty]).await;
    assert!(text.contains("is empty"), "{text}");

    let running = Running::of(with_variable("open sesame", &[])).await;
    assert_eq!(running.jwks().await, keys);
    let token = running.activate(&home).await;
    assert_eq!(running.install(&token).await, 404);
}
