//! The package managers that boxes use, each with a project, a home and caches of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// A package manager, in the version that `tests/clients/package.json` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The npm of this machine.
    Npm,
    /// The npm of Node 20 and 22.
    Npm10,
    /// pnpm, written in JavaScript.
    Pnpm10,
    /// pnpm, written in Rust.
    Pnpm12,
    /// yarn 1.
    YarnClassic,
    /// yarn 4.
    YarnBerry,
    /// bun.
    Bun,
}

/// A project that one package manager installs.
pub struct Project {
    client: Client,
    dir: TempDir,
    caches: u32,
}

/// What a package manager printed, without colors.
#[derive(Debug)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// Standard output and standard error.
    pub text: String,
}

impl Client {
    /// Every one of them.
    pub const ALL: [Self; 7] = [
        Self::Npm,
        Self::Npm10,
        Self::Pnpm10,
        Self::Pnpm12,
        Self::YarnClassic,
        Self::YarnBerry,
        Self::Bun,
    ];

    fn command(self) -> Command {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The words that run it.
    pub fn words(self) -> Vec<String> {
        let program = match self {
            Self::Npm => return vec!["npm".to_owned()],
            _ => self.program(),
        };
        let program = program.to_str().unwrap().to_owned();
        match self {
            Self::Bun | Self::Pnpm12 => vec![program],
            _ => vec!["node".to_owned(), program],
        }
    }

    /// The file that is the program.
    pub fn program(self) -> PathBuf {
        installed(match self {
            Self::Npm | Self::Npm10 => "npm10/bin/npm-cli.js",
            Self::Pnpm10 => "pnpm10/bin/pnpm.cjs",
            Self::Pnpm12 => "pnpm12/pnpm",
            Self::YarnClassic => "yarn-classic/bin/yarn.js",
            Self::YarnBerry => "yarn-berry/bin/yarn.js",
            Self::Bun => "bun/bin/bun.exe",
        })
    }

    /// Its version.
    pub fn version(self) -> String {
        let program = self.program();
        let package = program.ancestors().map(|dir| dir.join("package.json"));
        let mut package = package.filter(|file| file.exists());
        let text = std::fs::read_to_string(package.next().unwrap()).unwrap();
        let package: Value = serde_json::from_str(&text).unwrap();
        package["version"].as_str().unwrap().to_owned()
    }

    /// What has each of them keep to a cache, and to itself.
    pub fn environment(cache: &Path) -> Vec<(&'static str, String)> {
        let of = |name: &str| cache.join(name).to_str().unwrap().to_owned();
        let mut variables = vec![
            ("XDG_CACHE_HOME", of("")),
            ("XDG_DATA_HOME", of("")),
            ("XDG_STATE_HOME", of("")),
            ("npm_config_cache", of("npm")),
            ("npm_config_store_dir", of("store")),
            ("YARN_CACHE_FOLDER", of("yarn")),
            ("BUN_INSTALL_CACHE_DIR", of("bun")),
        ];
        let same = [
            ("npm_config_update_notifier", "false"),
            ("npm_config_fund", "false"),
            ("npm_config_audit", "false"),
            ("YARN_ENABLE_IMMUTABLE_INSTALLS", "false"),
            ("YARN_IGNORE_PATH", "1"),
            ("DO_NOT_TRACK", "1"),
            ("NO_COLOR", "1"),
            ("CI", "1"),
        ];
        variables.extend(same.map(|(name, value)| (name, value.to_owned())));
        variables
    }

    fn frozen(self) -> &'static [&'static str] {
        match self {
            Self::Npm | Self::Npm10 => &["ci"],
            Self::YarnBerry => &["install", "--immutable"],
            Self::Pnpm10 | Self::Pnpm12 | Self::YarnClassic | Self::Bun => {
                &["install", "--frozen-lockfile"]
            }
        }
    }
}

/// A file of what `ci/setup` has installed.
pub fn installed(file: &str) -> PathBuf {
    let root = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/tools/clients/node_modules"
    );
    let path = Path::new(root).join(file);
    assert!(path.exists(), "no package managers; run `ci/setup` first");
    path
}

impl Project {
    /// A project that wants some packages of a scope from a gate.
    pub fn new(client: Client, scope: &str, gate: &str, token: &str, wants: &[&str]) -> Self {
        let project = Self {
            client,
            dir: tempfile::tempdir().unwrap(),
            caches: 0,
        };
        std::fs::create_dir(project.dir()).unwrap();
        let wants: serde_json::Map<String, Value> = wants
            .iter()
            .map(|name| ((*name).to_owned(), json!("^1.0.0")))
            .collect();
        let package =
            json!({ "name": "shop", "version": "1.0.0", "private": true, "dependencies": wants });
        project.write("package.json", &package.to_string());
        project.point(scope, gate, token);
        project
    }

    /// Writes the settings of the package manager: which gate has the scope, and the token there.
    pub fn point(&self, scope: &str, gate: &str, token: &str) {
        let place = gate.strip_prefix("http:").unwrap();
        let bare = scope.trim_start_matches('@');
        self.write(
            ".npmrc",
            &format!("{scope}:registry={gate}/\n{place}/:_authToken={token}\n"),
        );
        if self.client == Client::YarnBerry {
            let settings = json!({
                "npmScopes": { bare: {
                    "npmRegistryServer": gate, "npmAuthToken": token, "npmAlwaysAuth": true,
                    "npmMinimalAgeGate": 0,
                } },
                "nodeLinker": "node-modules",
                "enableTelemetry": false,
                "enableGlobalCache": false,
                "cacheFolder": self.cache(),
                "httpRetry": 0,
                "unsafeHttpWhitelist": ["127.0.0.1", "localhost"],
            });
            // What is JSON is YAML.
            self.write(".yarnrc.yml", &settings.to_string());
        }
        if matches!(self.client, Client::Pnpm10 | Client::Pnpm12) {
            self.write("pnpm-workspace.yaml", "minimumReleaseAge: 0\n");
        }
    }

    /// Installs what the project wants and writes the lockfile.
    pub async fn install(&self) -> Output {
        self.run(&["install"]).await
    }

    /// Installs what the lockfile says, and nothing else.
    pub async fn install_frozen(&self) -> Output {
        self.run(self.client.frozen()).await
    }

    /// Forgets everything that was downloaded; the lockfile stays.
    pub fn clean(&mut self) {
        self.caches += 1;
        let _ = std::fs::remove_dir_all(self.dir().join("node_modules"));
        if self.client == Client::YarnBerry {
            let settings = std::fs::read_to_string(self.dir().join(".yarnrc.yml")).unwrap();
            let mut settings: Value = serde_json::from_str(&settings).unwrap();
            settings["cacheFolder"] = json!(self.cache());
            self.write(".yarnrc.yml", &settings.to_string());
        }
    }

    /// The packages of a scope in `node_modules`, linked or laid out.
    pub fn installed(&self, scope: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.dir().join("node_modules").join(scope));
        let names = entries.into_iter().flatten().map(|entry| entry.unwrap());
        names
            .filter(|entry| entry.path().join("package.json").exists())
            .map(|entry| format!("{scope}/{}", entry.file_name().to_string_lossy()))
            .collect()
    }

    /// The project's folder.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join(format!("cache-{}", self.caches))
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir().join(name), text).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.client.command();
        command
            .args(arguments)
            .current_dir(self.dir())
            .env("HOME", self.dir.path())
            .envs(Client::environment(&self.cache()))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.expect("a package manager runs");
        Output {
            success: output.status.success(),
            text: format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }
}
