//! npm, with a project, a cache and a gate of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// An npm project that takes one scope from a gate and everything else from the registry that
/// this machine's npm is configured with.
pub struct Npm {
    dir: TempDir,
    caches: u32,
}

/// What npm printed.
#[derive(Debug)]
pub struct NpmOutput {
    /// Whether it exited with 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard output and standard error.
    pub text: String,
}

impl Npm {
    /// An empty project that sends `token`, where there is one, to `gate` for `scope`.
    pub fn project(scope: &str, gate: &str, token: Option<&str>) -> Self {
        let npm = Self::empty();
        npm.point(scope, gate, token);
        npm
    }

    /// An empty project that knows no gate yet.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let package = json!({ "name": "shop", "version": "1.0.0", "private": true });
        std::fs::create_dir(dir.path().join("project")).unwrap();
        std::fs::write(dir.path().join("project/package.json"), package.to_string()).unwrap();
        Self { dir, caches: 0 }
    }

    /// Writes the project's `.npmrc`.
    pub fn point(&self, scope: &str, gate: &str, token: Option<&str>) {
        let place = gate.strip_prefix("http:").unwrap();
        let token = token.map_or_else(String::new, |t| format!("{place}/:_authToken={t}\n"));
        std::fs::write(
            self.path(".npmrc"),
            format!("{scope}:registry={gate}/\n{token}"),
        )
        .unwrap();
    }

    /// The project's folder.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// A file of the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Forgets everything that was downloaded.
    pub fn clean(&mut self) {
        self.caches += 1;
        let _ = std::fs::remove_dir_all(self.path("node_modules"));
    }

    /// Runs npm in the project.
    pub async fn run(&self, arguments: &[&str]) -> NpmOutput {
        self.run_in(&self.dir(), arguments).await
    }

    /// Runs npm in a folder, with this project's cache.
    pub async fn run_in(&self, dir: &Path, arguments: &[&str]) -> NpmOutput {
        let output = Command::new("npm")
            .args(arguments)
            .current_dir(dir)
            .env(
                "npm_config_cache",
                self.dir.path().join(format!("cache-{}", self.caches)),
            )
            .env("npm_config_update_notifier", "false")
            .env("npm_config_fund", "false")
            .env("npm_config_audit", "false")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("npm runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        NpmOutput {
            success: output.status.success(),
            text: format!("{stdout}{}", String::from_utf8_lossy(&output.stderr)),
            stdout,
        }
    }

    /// Runs npm and fails the test when npm fails.
    pub async fn must(&self, arguments: &[&str]) -> NpmOutput {
        let output = self.run(arguments).await;
        assert!(output.success, "npm {arguments:?} failed:\n{}", output.text);
        output
    }

    /// The packages of a scope in `node_modules`.
    pub fn installed(&self, scope: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.path("node_modules").join(scope));
        entries
            .into_iter()
            .flatten()
            .map(|entry| format!("{scope}/{}", entry.unwrap().file_name().to_string_lossy()))
            .collect()
    }

    /// Lays out a package's folder as its author has it, ready for `npm publish`.
    pub fn lay_out_package(&self, package_json: &Value, gate: &str) -> PathBuf {
        let name = package_json["name"].as_str().unwrap().replace('/', "+");
        let dir = self.dir.path().join("packages").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("package.json"), package_json.to_string()).unwrap();
        std::fs::write(dir.join("index.js"), "module.exports = __filename;\n").unwrap();
        std::fs::copy(self.path(".npmrc"), dir.join(".npmrc")).unwrap();
        assert!(
            std::fs::read_to_string(dir.join(".npmrc"))
                .unwrap()
                .contains(gate)
        );
        dir
    }
}

/// The registry that this machine's npm is configured with. It is read, never written down.
pub async fn configured_registry(npm: &Npm) -> String {
    npm.must(&["config", "get", "registry"])
        .await
        .stdout
        .trim()
        .to_owned()
}
