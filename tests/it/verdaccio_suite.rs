//! The suite that Verdaccio's people wrote for registries, run against a gate with a publisher's
//! token. `clients/verdaccio-suite.mjs` gives its own requests the token, since no gate answers
//! anybody, and moves its names into the gated scope. What does not apply:
//!
//! | test | why |
//! |---|---|
//! | `login` | a gate has no accounts: the token comes from an activation or an operator |
//! | `package-names` | it publishes what npm takes from old packages alone: capitals, a leading `_` or `-` |
//! | one of three addresses in `scenario:tarballs` | a file of another package is no address here (400), since names are read from the raw path |
//! | `scenario:minimum-release-age` | it tells names of one scope from names of none, which moved into it |
//! | `deprecate`, `ping` and `login` of yarn | they download plugins from elsewhere |
//!
//! What the suite itself skips is said by it: what a package manager cannot do, and scenarios that
//! it runs with one of them alone.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use tests::client::installed;
use tests::{Database, Relay, Tollgate, Vendor};
use tokio::process::Command;

const MANIFEST: &str = r#"
[manifest]
scope = "@verdaccio"
default-tier = "basic"
tiers = ["basic"]

[tier.basic]
leaves = ["@verdaccio/any"]

[package."@verdaccio/any"]
"#;

/// Runs the suite with a package manager: `npm`, or another one's name and program.
async fn run(package_manager: &str, without: &[&str]) {
    let relay = Relay::bind().await;
    // The suite gives package managers the token under this name.
    let url = relay.url.replace("127.0.0.1", "localhost");
    // Where the suite puts a registry of its own, which it breaks in several ways.
    let behind = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = behind.local_addr().unwrap().port().to_string();
    drop(behind);
    let pass_through = format!("http://localhost:{port}");
    let settings = [
        ["--gate-url", &url],
        ["--pass-through", &pass_through],
        ["--upstream-timeout", "3"],
    ];
    let tollgate = Tollgate::start_on(Database::Sqlite, MANIFEST, settings.as_flattened()).await;
    relay.to(&tollgate.gate);
    let token = Vendor::of(&tollgate).credential("publisher").await;

    let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/verdaccio-suite.mjs");
    let mut command = Command::new("node");
    command.arg("--import").arg(shim);
    command.arg(installed("@verdaccio/e2e-cli/bin/e2e-cli.js"));
    command.args(["--registry", &url, "--token", &token]);
    command.args(["--pm", package_manager, "--uplink-port", &port]);
    for test in without {
        command.args(["--skip-test", test]);
    }
    let home = tempfile::tempdir().unwrap();
    command.env("HOME", home.path()).env("TMPDIR", home.path());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains(" passed"), "nothing was run");
}

#[tokio::test]
async fn npm_passes_verdaccios_suite() {
    run("npm", &["package-names"]).await;
}

#[tokio::test]
async fn pnpm_passes_verdaccios_suite() {
    let program = installed("pnpm12/pnpm");
    let without = ["package-names", "scenario:minimum-release-age"];
    run(&format!("pnpm={}", program.display()), &without).await;
}

#[tokio::test]
async fn yarn_passes_verdaccios_suite() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("yarn");
    let script = installed("yarn-berry/bin/yarn.js");
    let text = format!("#!/bin/sh\nexec node '{}' \"$@\"\n", script.display());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let without = ["package-names", "deprecate", "ping", "login"];
    run(&format!("yarn-modern={}", program.display()), &without).await;
}

#[tokio::test]
async fn bun_passes_verdaccios_suite() {
    let program = installed("bun/bin/bun.exe");
    run(&format!("bun={}", program.display()), &["package-names"]).await;
}
