//! An operator at a terminal of their own: the real `tollgate`, a home that nobody shares, and a
//! running Tollgate.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Database, Tollgate, tollgate_command};

/// An operator who has no profile yet.
pub struct Operator {
    home: TempDir,
}

/// How a command ended, and what it said where.
#[derive(Debug, Clone)]
pub struct Told {
    /// The exit status.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Default for Operator {
    fn default() -> Self {
        let home = tempfile::tempdir().expect("a home");
        Self { home }
    }
}

impl Operator {
    /// One who is logged in to a new Tollgate, on each database.
    pub async fn on_each(manifest: &str) -> Vec<(Self, Tollgate)> {
        let mut all = Vec::new();
        for database in [Database::Sqlite, Database::Postgres] {
            let tollgate = Tollgate::start_on(database, manifest, &[]).await;
            let operator = Self::default();
            operator.log_in("default", &tollgate).await;
            all.push((operator, tollgate));
        }
        all
    }

    /// Logs in to a Tollgate as its first operator.
    pub async fn log_in(&self, profile: &str, tollgate: &Tollgate) -> Told {
        let at = ["--profile", profile, "--server", &tollgate.control_plane];
        let login = [&["login", "--token-file", "-"][..], &at].concat();
        let told = self.hear(&login, &tollgate.operator_token).await;
        assert_eq!(told.code, 0, "{}", told.err);
        told
    }

    /// A file where the operator works.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The file of profiles.
    pub fn profiles(&self) -> PathBuf {
        self.path("config/tollgate/profiles.toml")
    }

    /// A command of theirs, to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tollgate_command();
        let home = self.home.path();
        command.args(arguments).current_dir(home);
        command.env("HOME", home);
        command.env("XDG_CONFIG_HOME", home.join("config"));
        command
    }

    /// Runs a command; nobody is there to be asked.
    pub async fn run(&self, arguments: &[&str]) -> Told {
        Told::of(self.command(arguments)).await
    }

    /// Runs a command with something on standard input.
    pub async fn hear(&self, arguments: &[&str], input: &str) -> Told {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(input.as_bytes()).expect("written");
        std::io::Seek::rewind(&mut file).expect("read again");
        let mut command = self.command(arguments);
        command.stdin(Stdio::from(file));
        Told::of(command).await
    }

    /// Runs a command that must do what it is told, and returns its standard output.
    pub async fn must(&self, arguments: &[&str]) -> String {
        let told = self.run(arguments).await;
        assert_eq!(told.code, 0, "{arguments:?}: {}", told.err);
        told.out
    }

    /// The same, for machines.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let out = self.must(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }
}

impl Told {
    /// Runs it to its end.
    pub async fn of(mut command: Command) -> Self {
        let output = command.output().await.expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code().expect("no signal ended it"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// The whole for a snapshot.
    pub fn whole(&self) -> String {
        format!("exit {}\n{}---\n{}", self.code, self.out, self.err)
    }
}

/// Settings for snapshots: ids, keys, times and addresses are others on each run.
pub fn hiding() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"tgl_live_[0-9a-zA-Z_]+", "[KEY]");
    settings.add_filter(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "[ID]");
    settings.add_filter(r"\b(lic|box|crd|cred)_[0-9a-zA-Z]{10,}", "[ID]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[TIME]");
    settings.add_filter(r"http://127\.0\.0\.1:\d+", "[SERVER]");
    settings
}
