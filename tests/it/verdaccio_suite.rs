//! The suite that Verdaccio's people wrote for registries, run against a gate with a publisher's
//! token. What of it does not apply, and why, stands in [`NOT_APPLICABLE`].

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

/// Runs the suite with one package manager.
async fn run(package_manager: &str, without: &[&str]) -> String {
    let relay = Relay::bind().await;
    // The suite gives package managers the token under this name.
    let url = relay.url.replace("127.0.0.1", "localhost");
    let tollgate = Tollgate::start_on(Database::Sqlite, MANIFEST, &["--gate-url", &url]).await;
    relay.to(&tollgate.gate);
    let token = Vendor::of(&tollgate).credential("publisher").await;
    let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/verdaccio-suite.mjs");
    let mut command = Command::new("node");
    command.arg("--import").arg(shim);
    command.arg(installed("@verdaccio/e2e-cli/bin/e2e-cli.js"));
    command.args(["--registry", &url, "--token", &token]);
    command.args(["--pm", package_manager]);
    for test in without {
        command.args(["--skip-test", test]);
    }
    let home = tempfile::tempdir().unwrap();
    command.env("HOME", home.path()).env("NO_COLOR", "1");
    command.env("TMPDIR", home.path());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[tokio::test]
async fn npm_passes_verdaccios_suite() {
    println!("{}", run("npm", &[]).await);
}
