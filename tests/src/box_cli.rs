//! `box` on a customer's machine: a project, a home of its own, and nothing of the environment
//! that the tests run in.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::npm::Npm;
use crate::process::command;

/// A box with one project.
pub struct BoxCli {
    /// The project, with its npm.
    pub npm: Npm,
    home: TempDir,
    fingerprint: String,
}

/// How a command ended and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Every box is another one.
static NEXT_BOX: AtomicU32 = AtomicU32::new(0);

impl Default for BoxCli {
    fn default() -> Self {
        Self::new()
    }
}

impl BoxCli {
    /// A box with an empty project.
    pub fn new() -> Self {
        let nth = NEXT_BOX.fetch_add(1, Ordering::SeqCst);
        Self {
            npm: Npm::empty(),
            home: tempfile::tempdir().unwrap(),
            fingerprint: format!("box-cli-{nth}"),
        }
    }

    /// A file of the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.npm.path(name)
    }

    /// A file outside of the project, in the home of whoever runs it.
    pub fn at_home(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The text of a file of the project.
    pub fn read(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path(name));
        text.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// What the box keeps.
    pub fn credentials(&self) -> Value {
        serde_json::from_str(&self.read(".box/credentials.json")).unwrap()
    }

    /// Changes what the box keeps.
    pub fn edit_credentials(&self, edit: impl FnOnce(&mut Value)) {
        let mut kept = self.credentials();
        edit(&mut kept);
        self.write(".box/credentials.json", &kept.to_string());
    }

    /// Has the token look as if it was made so long ago, and good for so long from now.
    pub fn set_life(&self, age: SignedDuration, left: SignedDuration) {
        self.edit_credentials(|kept| {
            let now: Timestamp = crate::now();
            kept["issuedAt"] = (now - age).to_string().into();
            kept["expiresAt"] = (now + left).to_string().into();
            kept["clockSeenAt"] = kept["issuedAt"].clone();
        });
    }

    /// `box` in the project.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = command("box");
        self.place(&mut command);
        command.args(arguments);
        command
    }

    /// `box` in the project by somebody who cannot write there, with what is given in the
    /// environment.
    pub async fn run_read_only(&self, arguments: &[&str], given: &[(&str, &str)]) -> Ran {
        let folders: Vec<PathBuf> = [self.npm.dir(), self.path(".box")]
            .into_iter()
            .filter(|folder| folder.exists())
            .collect();
        let allow = |mode| {
            for folder in &folders {
                std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        };
        allow(0o555);
        let mut command = self.command(arguments);
        if std::fs::metadata(self.home.path()).unwrap().uid() == 0 {
            // Modes hold for nobody who may override them.
            let program = command.as_std().get_program().to_owned();
            command = Command::new("setpriv");
            command.arg("--bounding-set=-dac_override,-dac_read_search");
            command.arg(program).args(arguments);
            self.place(&mut command);
        }
        command.envs(given.iter().copied());
        let ran = run(command).await;
        allow(0o755);
        ran
    }

    /// Where and with what a command runs.
    fn place(&self, command: &mut Command) {
        command
            .current_dir(self.npm.dir())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("BOX_FINGERPRINT", &self.fingerprint)
            .stdin(Stdio::null())
            .kill_on_drop(true);
    }

    /// Runs `box`.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments)).await
    }

    /// Runs `box` with more in its environment.
    pub async fn run_with(&self, arguments: &[&str], given: &[(&str, &str)]) -> Ran {
        let mut command = self.command(arguments);
        command.envs(given.iter().copied());
        run(command).await
    }

    /// Runs `box` and fails the test when it fails.
    pub async fn must(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, 0, "box {arguments:?}: {}", ran.stderr);
        ran
    }

    /// Activates with a key in a file, as the README says.
    pub async fn activate(&self, control_plane: &str, key: &str) -> Ran {
        let file = self.key_file(key);
        let file = file.to_str().unwrap();
        let arguments = [
            "activate",
            "--control-plane",
            control_plane,
            "--key-file",
            file,
        ];
        self.must(&arguments).await
    }

    /// A file outside of the project with a license key.
    pub fn key_file(&self, key: &str) -> PathBuf {
        let path = self.at_home("license-key");
        std::fs::write(&path, format!("{key}\n")).unwrap();
        path
    }

    /// Runs `box` and tells it as a terminal shows it, without what differs from run to run.
    pub async fn transcript(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        let text = format!("$ box {}\n{}", arguments.join(" "), ran.on_screen());
        self.hide(&text)
    }

    fn hide(&self, text: &str) -> String {
        let hide = |text: String, path: &Path, name| text.replace(path.to_str().unwrap(), name);
        let text = hide(text.to_owned(), &self.npm.dir(), "[PROJECT]");
        hide(text, self.home.path(), "[HOME]")
    }
}

impl Ran {
    /// Output, errors behind a bar, and the exit code.
    fn on_screen(&self) -> String {
        let errors = self.stderr.lines().map(|line| format!("| {line}\n"));
        let errors: Vec<String> = errors.collect();
        format!("{}{}=> {}\n", self.stdout, errors.concat(), self.code)
    }
}

/// Waits for a command and returns what it said.
pub async fn run(mut command: Command) -> Ran {
    let output = command.output().await.expect("it runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Settings for snapshots: addresses, ids and times are others on each run.
pub fn hiding() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"127\.0\.0\.1:\d+", "[HOST]");
    settings.add_filter(r"\b(lic|box)_[0-9a-z]+", "${1}_[ID]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[TIME]");
    settings.add_filter(
        r"\((in )?\d+ (second|minute|hour|day)s?( ago)?\)",
        "($1[SPAN]$3)",
    );
    settings
}
