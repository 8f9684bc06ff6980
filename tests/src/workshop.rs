//! A vendor's workshop: packages as `npm pack` makes them, and an operator who works with the
//! `tollgate` command there.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Npm, Tollgate, tollgate_command};

/// A folder with sources, and with tarballs in `dist`.
pub struct Workshop {
    dir: TempDir,
    npm: Npm,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Workshop {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("dist")).unwrap();
        let npm = Npm::empty();
        Self { dir, npm }
    }

    /// A place in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Packs a package with npm and returns its tarball, which lies in `dist`.
    pub async fn pack(&self, package_json: &Value, files: &[(&str, &str)]) -> PathBuf {
        let source = tempfile::tempdir().unwrap();
        std::fs::write(source.path().join("package.json"), package_json.to_string()).unwrap();
        for (name, text) in files {
            std::fs::write(source.path().join(name), text).unwrap();
        }
        let dist = self.path("dist");
        let arguments = ["pack", "--json", "--pack-destination"];
        let arguments = [&arguments[..], &[dist.to_str().unwrap()]].concat();
        let output = self.npm.run_in(source.path(), &arguments).await;
        assert!(output.success, "{}", output.text);
        let told: Value = serde_json::from_str(&output.stdout).unwrap();
        let name = told[0]["filename"].as_str().unwrap();
        // Some npm versions tell the package's name here.
        dist.join(name.trim_start_matches('@').replace('/', "-"))
    }

    /// The `tollgate` command in this folder, as the first operator of a Tollgate.
    pub fn tollgate(&self, tollgate: &Tollgate, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.env("TOLLGATE_SERVER", &tollgate.control_plane);
        command.env("TOLLGATE_OPERATOR_TOKEN", &tollgate.operator_token);
        command
    }

    /// The `tollgate` command of somebody who knows no server.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = tollgate_command();
        command.args(arguments).current_dir(self.dir.path());
        command.env("TOLLGATE_PROFILES", self.path("profiles.toml"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it as the first operator.
    pub async fn run(&self, tollgate: &Tollgate, arguments: &[&str]) -> Ended {
        end(self.tollgate(tollgate, arguments)).await
    }
}

/// Runs a command to its end.
pub async fn end(mut command: Command) -> Ended {
    command.output().await.expect("it runs").into()
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Standard output, once the command has ended with this code.
    pub fn with(self, code: i32) -> String {
        let (out, error) = (&self.stdout, &self.stderr);
        assert_eq!(self.code, Some(code), "{out}\n{error}");
        self.stdout
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// The folder in which the binaries lie that were built with these tests.
pub fn binaries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}
