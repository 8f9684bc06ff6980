//! `tollgate serve` as a process of its own, on either database.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_mins(1);
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Which database the product runs on.
#[derive(Debug, Clone, Copy)]
pub enum Database {
    /// The file in the data directory.
    Sqlite,
    /// A new database of the server that `ci/postgres` started.
    Postgres,
}

/// A running Tollgate with a data directory of its own. Ends with this value.
pub struct Tollgate {
    /// Where the control plane answers.
    pub control_plane: String,
    /// Where the gate answers.
    pub gate: String,
    /// The first operator's token.
    pub operator_token: String,
    /// Its database, where that is not in the data directory.
    pub database_url: Option<String>,
    dir: TempDir,
    arguments: Vec<String>,
    child: Child,
}

/// The `tollgate` binary that was built with these tests.
pub fn tollgate_command() -> Command {
    command("tollgate")
}

/// The binary `name` that was built with these tests: by `--workspace`, which builds them all.
pub fn command(name: &str) -> Command {
    let test = std::env::current_exe().expect("the test's own path");
    let path = test
        .parent()
        .and_then(Path::parent)
        .expect("a target directory")
        .join(name);
    assert!(
        path.exists(),
        "`{name}` is not built; run `cargo build --workspace` first"
    );
    let mut command = Command::new(path);
    command.kill_on_drop(true).stdin(Stdio::null());
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("TOLLGATE_")) {
        command.env_remove(key);
    }
    command
}

/// The Python that `ci/setup` has given the tools of others.
pub fn python() -> Command {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/tools/python/bin/python"
    );
    assert!(
        Path::new(path).exists(),
        "no Python tools; run `ci/setup` first"
    );
    Command::new(path)
}

impl Tollgate {
    /// Starts on SQLite with a manifest.
    pub async fn start(manifest: &str) -> Self {
        Self::start_on(Database::Sqlite, manifest, &[]).await
    }

    /// Starts on a database, with a manifest and further arguments.
    pub async fn start_on(database: Database, manifest: &str, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("tiers.toml"), manifest).expect("a manifest file");
        let database_url = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(new_postgres_database().await),
        };
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let (child, control_plane, gate) =
            serve(dir.path(), database_url.as_deref(), &arguments).await;
        let token = std::fs::read_to_string(dir.path().join("data/operator-token"));
        Self {
            control_plane,
            gate,
            operator_token: token.expect("the operator token").trim_end().to_owned(),
            database_url,
            dir,
            arguments,
            child,
        }
    }

    /// Reads all that it writes to standard error from now on: a pipe that nobody empties would
    /// hold it up.
    pub fn collect_errors(&mut self) -> tokio::task::JoinHandle<String> {
        let mut errors = self.child.stderr.take().expect("its errors");
        tokio::spawn(async move {
            let mut text = Vec::new();
            let read = errors.read_to_end(&mut text).await;
            read.expect("readable errors");
            String::from_utf8_lossy(&text).into_owned()
        })
    }

    /// Ends it as a power cut does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a running process");
    }

    /// Starts it again on its data, once it has ended. The addresses are new.
    pub async fn start_again(&mut self) {
        let database = self.database_url.as_deref();
        (self.child, self.control_plane, self.gate) =
            serve(self.dir.path(), database, &self.arguments).await;
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub async fn stop(mut self) -> std::process::ExitStatus {
        let id = self.child.id().expect("a running process").to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(killed.expect("kill runs").success());
        self.child.wait().await.expect("an exit status")
    }
}

/// Serves what is in a directory and returns both addresses.
async fn serve(
    dir: &Path,
    database: Option<&str>,
    arguments: &[String],
) -> (Child, String, String) {
    let mut command = tollgate_command();
    let any = "127.0.0.1:0";
    command.args(["serve", "--listen", any, "--gate-listen", any]);
    command.arg("--data").arg(dir.join("data"));
    command.arg("--manifest").arg(dir.join("tiers.toml"));
    command.args(arguments);
    if let Some(url) = database {
        command.args(["--database-url", url]);
    }
    let (child, ready) = start(command).await;
    let rest = ready.strip_prefix("tollgate ready: control plane ");
    let rest = rest.expect("the ready line");
    let (control_plane, gate) = rest.split_once(", gate ").expect("two addresses");
    (child, control_plane.to_owned(), gate.to_owned())
}

/// Stops it and returns how it ended, with all that it wrote to standard error.
pub async fn end_with(mut tollgate: Tollgate) -> (std::process::ExitStatus, String) {
    let mut errors = tollgate.child.stderr.take().expect("its errors");
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        errors.read_to_string(&mut text).await.map(|_| text)
    });
    let end = tollgate.stop().await;
    let text = reading
        .await
        .expect("it was read")
        .expect("readable errors");
    (end, text)
}

/// A running gate without a control plane of its own. Ends with this value.
pub struct Gate {
    /// Where it answers.
    pub url: String,
    child: Child,
}

impl Gate {
    /// Starts a gate that asks a control plane, with the packages in `dir`.
    pub async fn start(tollgate: &Tollgate, token: &str, dir: &Path) -> Self {
        let every_second = ["--poll-seconds", "1"];
        Self::start_at(&tollgate.control_plane, token, dir, &every_second).await
    }

    /// Ends it as a power cut does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a running process");
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub async fn stop(mut self) -> std::process::ExitStatus {
        let id = self.child.id().expect("a running process").to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(killed.expect("kill runs").success());
        self.child.wait().await.expect("an exit status")
    }

    /// Starts a gate that asks the control plane at an address, with the packages in `dir`, and
    /// with further arguments.
    pub async fn start_at(url: &str, token: &str, dir: &Path, arguments: &[&str]) -> Self {
        let mut command = command("registry-gate");
        command.args(["--listen", "127.0.0.1:0", "--control-plane", url]);
        command
            .args(arguments)
            .arg("--data")
            .arg(dir)
            .env("TOLLGATE_GATE_TOKEN", token);
        Self::start_with(command).await
    }

    /// Starts a gate by this command.
    pub async fn start_with(command: Command) -> Self {
        let (child, ready) = start(command).await;
        let url = ready
            .strip_prefix("registry-gate ready: ")
            .expect("the ready line");
        Self {
            url: url.trim_end_matches('/').to_owned(),
            child,
        }
    }
}

impl Gate {
    /// Over when the gate answers a token with this status. Returns how long that took.
    pub async fn answers(&self, token: &str, status: u16) -> Duration {
        let client = crate::people::client();
        let start = Instant::now();
        loop {
            let request = client
                .get(format!("{}/-/whoami", self.url))
                .bearer_auth(token);
            let answer = request.send().await.expect("an answer").status();
            let took = start.elapsed();
            if answer.as_u16() == status {
                return took;
            }
            assert!(took < PATIENCE, "{answer} and not {status}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Starts a server and returns it with the first line it printed.
pub async fn start(mut command: Command) -> (Child, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let ready = tokio::time::timeout(START, lines.next_line())
        .await
        .expect("ready in time");
    let Some(ready) = ready.expect("readable output") else {
        let mut error = String::new();
        let _ = child
            .stderr
            .take()
            .expect("its errors")
            .read_to_string(&mut error)
            .await;
        panic!("it did not start: {error}");
    };
    (child, ready)
}

/// A new, empty database on the server that `ci/postgres` started, as a URL.
pub async fn new_postgres_database() -> String {
    let server = std::env::var("TOLLGATE_TEST_POSTGRES_URL").expect(
        "TOLLGATE_TEST_POSTGRES_URL names no PostgreSQL; run `ci/test`, or `ci/postgres start DIR` and set it",
    );
    // Ids of processes come again; with the time, none meets another.
    let (process, time) = (std::process::id(), crate::now().as_microsecond());
    let nth = NEXT_DATABASE.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let name = format!("test_{process}_{nth}_{time}");
    let sql = format!("CREATE DATABASE {name}");
    let output = Command::new("psql")
        .args([&server, "-q", "-c", &sql])
        .output()
        .await;
    let output = output.expect("psql runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (base, _) = server.rsplit_once('/').expect("a database URL");
    format!("{base}/{name}")
}

static NEXT_DATABASE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
