//! The npm package of `box`: packed, installed by npm, and run by npx.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tests::{Npm, process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// The tarballs of the package and of the one for this platform.
struct Packed {
    dir: TempDir,
    scope: &'static str,
    platform: String,
}

impl Packed {
    async fn new(scope: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Command::new("node")
            .args(["-p", "process.platform + '-' + process.arch"])
            .output();
        let platform = text(&node.await.unwrap().stdout).trim().to_owned();
        let binary = process::command("box");
        let binary = Path::new(binary.as_std().get_program()).to_str().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/pack-box");
        let packed = Command::new(script)
            .args(["--scope", scope, "--out"])
            .arg(dir.path())
            .arg(format!("{platform}={binary}"))
            .output();
        let packed = packed.await.unwrap();
        assert!(packed.status.success(), "{}", text(&packed.stderr));
        Self {
            dir,
            scope,
            platform,
        }
    }

    fn tarball(&self, name: &str) -> String {
        let scope = self.scope.trim_start_matches('@');
        let version = env!("CARGO_PKG_VERSION");
        let path = self
            .dir
            .path()
            .join(format!("{scope}-{name}-{version}.tgz"));
        path.to_str().unwrap().to_owned()
    }

    /// A project with the package, and with the one for this platform or without.
    async fn installed(&self, with_binary: bool) -> Npm {
        let npm = Npm::empty();
        let mut arguments = vec!["install".to_owned(), "--offline".to_owned()];
        arguments.push(self.tarball("box"));
        if with_binary {
            arguments.push(self.tarball(&format!("box-{}", self.platform)));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        npm.must(&arguments).await;
        npm
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The package's program in a project.
fn wrapper(npm: &Npm) -> Command {
    let mut command = Command::new(npm.path("node_modules/.bin/box"));
    command.current_dir(npm.dir()).stdin(Stdio::null());
    command.kill_on_drop(true);
    for name in ["BOX_BINARY", "BOX_LICENSE_KEY", "BOX_CONTROL_PLANE"] {
        command.env_remove(name);
    }
    command
}

async fn run(command: &mut Command) -> Output {
    command.output().await.unwrap()
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn pot_71_it_is_packed_installed_and_run_by_npx() {
    for scope in ["@tollgate", "@acme"] {
        let packed = Packed::new(scope).await;
        let npm = packed.installed(true).await;
        let version = format!("box {}\n", env!("CARGO_PKG_VERSION"));
        let npx = ["exec", "--no", "--", "box", "--version"];
        assert_eq!(npm.must(&npx).await.stdout, version);
        let ran = run(wrapper(&npm).arg("status")).await;
        assert_eq!(ran.status.code(), Some(1), "not activated");
        assert!(text(&ran.stdout).ends_with("is not activated\n"));

        for name in ["box".to_owned(), format!("box-{}", packed.platform)] {
            let path = format!("node_modules/{scope}/{name}/package.json");
            let package = std::fs::read_to_string(npm.path(&path)).unwrap();
            let package: Value = serde_json::from_str(&package).unwrap();
            assert!(package["scripts"].is_null(), "{package}");
            assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
        }
    }
}

#[tokio::test]
async fn what_is_named_counts_first_and_a_script_on_path_does_not() {
    let packed = Packed::new("@tollgate").await;
    let npm = packed.installed(true).await;
    let named = script(&npm.path("named"), "mine", "echo \"mine: $*\"; exit 7");
    let ran = run(wrapper(&npm).args(["a", "b c"]).env("BOX_BINARY", named)).await;
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!(text(&ran.stdout), "mine: a b c\n");
    let ran = run(wrapper(&npm).env("BOX_BINARY", "/no/such/box")).await;
    assert_eq!(ran.status.code(), Some(127));
    assert!(text(&ran.stderr).contains("cannot run /no/such/box"));

    let npm = packed.installed(false).await;
    script(&npm.path("scripts"), "box", "exit 9");
    let bin = npm.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let binary = process::command("box");
    std::os::unix::fs::symlink(binary.as_std().get_program(), bin.join("box")).unwrap();
    let path = |with_binary: bool| {
        let mut folders = vec![npm.path("node_modules/.bin"), npm.path("scripts")];
        folders.extend(with_binary.then(|| bin.clone()));
        let path = std::env::var_os("PATH").unwrap();
        folders.extend(std::env::split_paths(&path));
        std::env::join_paths(folders).unwrap()
    };
    let ran = run(wrapper(&npm).arg("--version").env("PATH", path(true))).await;
    assert!(text(&ran.stdout).starts_with("box "), "{ran:?}");
    let ran = run(wrapper(&npm).arg("--version").env("PATH", path(false))).await;
    assert_eq!(ran.status.code(), Some(127));
    let told = text(&ran.stderr).replace(&packed.platform, "[PLATFORM]");
    insta::assert_snapshot!("none", told);
}

#[tokio::test]
async fn signals_go_there_and_how_it_ended_comes_back() {
    let packed = Packed::new("@tollgate").await;
    let npm = packed.installed(false).await;
    let folder = npm.path("named");
    let dies = script(&folder, "dies", "kill -TERM $$");
    let ran = run(wrapper(&npm).env("BOX_BINARY", dies)).await;
    assert_eq!(ran.status.signal(), Some(15), "{ran:?}");

    for signal in ["INT", "TERM", "HUP"] {
        // A trap that comes just before a shell reads would wait for the line.
        let text = format!(
            "trap 'echo caught; exit 9' {signal}; echo ready; while sleep 0.05; do :; done"
        );
        let waits = script(&folder, "waits", &text);
        let mut command = wrapper(&npm);
        command.env("BOX_BINARY", waits);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
        let id = child.id().unwrap().to_string();
        let mut kill = Command::new("kill");
        kill.args([&format!("-{signal}"), &id]);
        assert!(kill.status().await.unwrap().success());
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("caught"));
        assert_eq!(child.wait().await.unwrap().code(), Some(9), "{signal}");
    }
}
