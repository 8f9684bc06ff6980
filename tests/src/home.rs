//! A data directory over which commands and servers come and go.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::COMMERCE;
use crate::process::{Database, new_postgres_database, start, tollgate_command};
use crate::sql::Sql;

/// A data directory, and the database of what runs on it.
pub struct Home {
    /// What it is in.
    pub dir: TempDir,
    /// Its PostgreSQL, if it has one.
    pub database_url: Option<String>,
}

/// How a command ended and what it said, without what differs from run to run.
#[derive(Debug)]
pub struct Said {
    /// The exit status.
    pub code: i32,
    /// Its output, then its errors.
    pub text: String,
}

/// A server that runs over it.
pub struct Running {
    client: reqwest::Client,
    child: Child,
    control_plane: String,
    /// Where its gate answers.
    pub gate: String,
    token: String,
}

impl Home {
    /// An empty data directory.
    pub async fn new(database: Database) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tiers.toml"), COMMERCE).unwrap();
        let database_url = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(new_postgres_database().await),
        };
        Self { dir, database_url }
    }

    /// One on each database.
    pub async fn on_each() -> Vec<Self> {
        let sqlite = Self::new(Database::Sqlite).await;
        vec![sqlite, Self::new(Database::Postgres).await]
    }

    /// One that was served before, and stopped.
    pub async fn served(database: Database) -> Self {
        let home = Self::new(database).await;
        home.serve().await.stop().await;
        home
    }

    /// A file beside the data directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file in the data directory.
    pub fn data(&self, name: &str) -> PathBuf {
        self.path("data").join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tollgate_command();
        command.args(arguments).current_dir(self.dir.path());
        command.arg("--data").arg(self.path("data"));
        if let Some(url) = &self.database_url {
            command.args(["--database-url", url]);
        }
        command
    }

    /// Runs a command of `tollgate` over it.
    pub async fn say(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        let mut text = String::from_utf8(text).unwrap();
        text = text.replace(self.dir.path().to_str().unwrap(), "[DIR]");
        Said {
            code: output.status.code().unwrap(),
            text,
        }
    }

    /// The number of the newest audit row.
    pub async fn newest_row(&self) -> i64 {
        let head = self.say(&["audit", "head"]).await.text;
        head.split_once(':').unwrap().0.parse().unwrap()
    }

    /// Serves over it.
    pub async fn serve(&self) -> Running {
        let (child, ready) = start(self.serve_command()).await;
        let rest = ready.strip_prefix("tollgate ready: control plane ");
        let (control_plane, gate) = rest.unwrap().split_once(", gate ").unwrap();
        let token = std::fs::read_to_string(self.data("operator-token")).unwrap();
        Running {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            child,
            control_plane: control_plane.to_owned(),
            gate: gate.to_owned(),
            token: token.trim_end().to_owned(),
        }
    }

    fn serve_command(&self) -> Command {
        let any = "127.0.0.1:0";
        let arguments = ["serve", "--listen", any, "--gate-listen", any];
        let mut command = self.command(&arguments);
        command.arg("--manifest").arg(self.path("tiers.toml"));
        command
    }

    /// What a start says that is refused.
    pub async fn refused_start(&self) -> String {
        let output = self.serve_command().output();
        let output = tokio::time::timeout(Duration::from_secs(30), output).await;
        let output = output.expect("it does not start").unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        text.replace(self.dir.path().to_str().unwrap(), "[DIR]")
    }

    /// A connection of the test's own to its database.
    pub async fn sql(&self) -> Sql {
        match &self.database_url {
            Some(url) => Sql::postgres(url).await,
            None => Sql::sqlite(&self.data("tollgate.db")).await,
        }
    }

    /// One zero byte as its database writes it.
    pub fn binary(&self) -> &'static str {
        match &self.database_url {
            Some(_) => "'\\x00'",
            None => "x'00'",
        }
    }
}

impl Running {
    /// Changes something as the operator and returns what was answered.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.control_plane));
        let response = request.bearer_auth(&self.token).json(&body).send().await;
        let response = response.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
        response.json().await.unwrap()
    }

    /// What its gate answers to `npm whoami` with a token.
    pub async fn whoami(&self, token: &str) -> reqwest::StatusCode {
        let request = self.client.get(format!("{}/-/whoami", self.gate));
        let response = request.bearer_auth(token).send().await;
        response.unwrap().status()
    }

    /// Issues a license and returns it.
    pub async fn issue(&self) -> Value {
        let body = json!({ "customerId": "corner-shop", "tier": "basic" });
        self.post("/v1/licenses", body).await
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(killed.unwrap().success());
        assert!(self.child.wait().await.unwrap().success());
    }
}

/// Settings for snapshots: hashes and times are others on each run, and how many rows a start
/// writes is not for these tests to say.
pub fn hiding() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("[0-9a-f]{64}", "[HASH]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[TIME]");
    settings.add_filter(r"\d{8}T\d{9}Z", "[DATE]");
    settings.add_filter(r"\b\d+( audit)? (rows|row)\b", "[N]$1 $2");
    settings.add_filter(r"\b(row|to|lost,) \d+", "$1 [N]");
    settings.add_filter(r"\d+:\[HASH\]", "[N]:[HASH]");
    settings
}
