//! `manifest import` on real files and on a registry that answers as registries do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::command::{Run, manifest};

fn package(folder: &Path, place: &str, json: &str) {
    let folder = folder.join(place);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("package.json"), json).unwrap();
}

fn workspace() -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    package(
        at,
        ".",
        r#"{"name": "acme-monorepo", "private": true, "workspaces": ["packages/*"]}"#,
    );
    package(
        at,
        "packages/order",
        r#"{
        "name": "@acme/order", "version": "1.2.3",
        "dependencies": {"@acme/cart": "^1.0.0", "left-pad": "^1.3.0"},
        "peerDependencies": {"@acme/core": "*", "@acme/chat": "*"},
        "peerDependenciesMeta": {"@acme/chat": {"optional": true}},
        "devDependencies": {"@acme/testing": "*"}
    }"#,
    );
    package(
        at,
        "packages/cart",
        r#"{"name": "@acme/cart", "dependencies": {"@acme/tax": "*"}}"#,
    );
    package(at, "packages/core", r#"{"name": "@acme/core"}"#);
    package(at, "packages/other", r#"{"name": "@other/thing"}"#);
    package(
        at,
        "packages/order/node_modules/@acme/old",
        r#"{"name": "@acme/old"}"#,
    );
    folder
}

#[test]
fn a_workspace_becomes_a_manifest() {
    let folder = workspace();
    let run = manifest(folder.path(), &["import", ".", "--scope", "@acme"]);
    insta::assert_snapshot!(run.with_file(folder.path(), "tiers.toml"));
    assert_eq!(manifest(folder.path(), &["check", "tiers.toml"]).code, 0);
}

const WRITTEN: &str = r#"# Ours.
[manifest]
scope = "@acme"
default-tier = "basic"
tiers = ["basic"]

[tier.basic]
leaves = ["@acme/order"] # what sells

# What we sell.
[package."@acme/order"]
# by hand:
requires = [
    # the heart
    "@acme/cart",
    "@acme/pricing", # only people know
]

[package."@acme/pricing"]

[package."@acme/cart"]
"#;

#[test]
fn an_existing_manifest_keeps_its_comments_and_order() {
    let folder = workspace();
    fs::write(folder.path().join("tiers.toml"), WRITTEN).unwrap();
    let dry = manifest(folder.path(), &["import", ".", "--dry-run"]);
    assert_eq!(
        fs::read_to_string(folder.path().join("tiers.toml")).unwrap(),
        WRITTEN
    );
    insta::assert_snapshot!("dry_run", dry);
    let run = manifest(folder.path(), &["import", "."]);
    insta::assert_snapshot!("updated", run.with_file(folder.path(), "tiers.toml"));
    let again = manifest(folder.path(), &["import", ".", "--dry-run"]);
    assert_eq!(again.stdout, "");
    let pruned = manifest(folder.path(), &["import", ".", "--prune", "--dry-run"]);
    insta::assert_snapshot!("pruned", pruned);
}

/// A registry on a free port: answers known paths to whoever has the token, until dropped.
fn registry(packuments: BTreeMap<&'static str, String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/npm/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            let path = first.split(' ').nth(1).unwrap().to_owned();
            let headers: Vec<String> = lines
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect();
            let entitled = headers
                .iter()
                .any(|line| line == "authorization: Bearer secret");
            let (status, body) = match packuments.get(path.trim_start_matches("/npm/")) {
                _ if !entitled => ("401 Unauthorized", "{}"),
                Some(body) => ("200 OK", body.as_str()),
                None => ("404 Not Found", "{}"),
            };
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    url
}

fn packument(name: &str, latest: &str, dependencies: &str) -> String {
    format!(
        r#"{{"name": "{name}", "dist-tags": {{"latest": "{latest}"}}, "versions": {{
            "1.0.0": {{"name": "{name}", "version": "1.0.0", "dependencies": {{"@acme/ancient": "*"}}}},
            "{latest}": {{"name": "{name}", "version": "{latest}", "dependencies": {dependencies}}}
        }}}}"#
    )
}

#[test]
fn a_registry_is_followed_from_the_packages_named() {
    let url = registry(BTreeMap::from([
        (
            "@acme%2forder",
            packument("@acme/order", "2.0.0", r#"{"@acme/cart": "^1"}"#),
        ),
        (
            "@acme%2fcart",
            packument(
                "@acme/cart",
                "1.1.0",
                r#"{"@acme/gone": "^1", "react": "*"}"#,
            ),
        ),
    ]));
    let folder = TempDir::new().unwrap();
    let import = [
        "import",
        "--registry",
        &url,
        "--scope",
        "@acme",
        "--package",
        "@acme/order",
    ];

    let refused = manifest(folder.path(), &import);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("check the token"),
        "{}",
        refused.stderr
    );
    assert!(!folder.path().join("tiers.toml").exists());

    let run = manifest(
        folder.path(),
        &[&import[..], &["--token", "secret"]].concat(),
    );
    insta::assert_snapshot!(run.with_file(folder.path(), "tiers.toml"));
}

#[test]
fn a_registry_that_is_not_there_is_an_error() {
    let folder = TempDir::new().unwrap();
    let run: Run = manifest(
        folder.path(),
        &[
            "import",
            "--registry",
            "http://127.0.0.1:1/",
            "--scope",
            "@acme",
            "--package",
            "@acme/x",
        ],
    );
    assert_eq!(run.code, 2);
    assert!(
        run.stderr
            .starts_with("error: the registry does not answer for `@acme/x`"),
        "{}",
        run.stderr
    );
}
