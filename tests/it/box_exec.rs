//! `box exec`: real package managers, and others, with a token that is in their environment alone.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;
use tests::box_cli::{BoxCli, Ran};
use tests::client::Client;
use tests::{Database, Relay, SMALL, Tollgate, Vendor};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// How every token begins: `{"typ":"activation+jwt",` in base64.
pub(crate) const TOKEN: &str = "eyJ0eXAiOiJhY3RpdmF0aW9uK2p3dCIs";

/// A vendor with packages, and a key.
pub(crate) struct Sold {
    pub(crate) tollgate: Tollgate,
    pub(crate) vendor: Vendor,
    pub(crate) key: String,
    // Where the package managers keep what is theirs.
    pub(crate) cache: TempDir,
}

impl Sold {
    pub(crate) async fn new(arguments: &[&str]) -> Self {
        let tollgate = Tollgate::start_on(Database::Sqlite, SMALL, arguments).await;
        Self::at(tollgate).await
    }

    async fn at(tollgate: Tollgate) -> Self {
        let vendor = Vendor::of(&tollgate);
        vendor.publish_samples(SMALL).await;
        let key = vendor.issue("growth").await;
        let cache = tempfile::tempdir().unwrap();
        Self {
            tollgate,
            vendor,
            key,
            cache,
        }
    }

    /// Everything that a box without files of its own is given.
    fn given(&self) -> Vec<(&'static str, String)> {
        let mut given = Client::environment(self.cache.path());
        given.push(("BOX_LICENSE_KEY", self.key.clone()));
        given.push(("BOX_CONTROL_PLANE", self.tollgate.control_plane.clone()));
        given
    }

    pub(crate) async fn activated(&self) -> BoxCli {
        let shop = BoxCli::new();
        shop.activate(&self.tollgate.control_plane, &self.key).await;
        shop
    }
}

pub(crate) fn borrowed<'v>(
    variables: &'v [(&'static str, String)],
) -> Vec<(&'static str, &'v str)> {
    let variables = variables.iter();
    variables
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// A project that wants one package, with the settings without a secret that its package manager
/// cannot do without.
fn wanting(client: Client, gate: &str) -> BoxCli {
    let shop = BoxCli::new();
    let package = json!({
        "name": "shop", "version": "1.0.0", "private": true,
        "dependencies": { "@acme/loyalty": "^1.0.0" },
    });
    shop.write("package.json", &package.to_string());
    set(client, &shop, gate);
    shop
}

pub(crate) fn set(client: Client, shop: &BoxCli, gate: &str) {
    let scope = format!("@acme:registry={gate}/\n");
    let place = gate.strip_prefix("http:").unwrap();
    match client {
        Client::Npm | Client::Npm10 => {}
        Client::Pnpm10 | Client::Pnpm12 => {
            shop.write(".npmrc", &scope);
            shop.write("pnpm-workspace.yaml", "minimumReleaseAge: 0\n");
        }
        Client::YarnClassic | Client::Bun => {
            shop.write(
                ".npmrc",
                &format!("{scope}{place}/:_authToken=${{BOX_TOKEN}}\n"),
            );
        }
        Client::YarnBerry => {
            let settings = json!({
                "npmScopes": { "acme": {
                    "npmRegistryServer": gate, "npmAuthToken": "${BOX_TOKEN-}",
                    "npmMinimalAgeGate": 0,
                } },
                "nodeLinker": "node-modules",
                "enableTelemetry": false,
                "enableGlobalCache": false,
                "unsafeHttpWhitelist": ["127.0.0.1"],
            });
            // What is JSON is YAML.
            shop.write(".yarnrc.yml", &settings.to_string());
        }
    }
}

/// The packages that are there, linked or laid out.
pub(crate) fn installed(shop: &BoxCli) -> BTreeSet<String> {
    shop.npm.installed("@acme")
}

/// The files of a folder that hold a token or a key.
pub(crate) fn with_secrets(folder: &Path, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(with_secrets(&path, key));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        if text.contains(TOKEN) || text.contains(key) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The command lines of the processes that work in a folder.
fn command_lines(folder: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let there = processes.filter(|process| {
        let place = std::fs::read_link(process.path().join("cwd"));
        place.is_ok_and(|place| place.starts_with(folder))
    });
    let lines = there.filter_map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.collect()
}

pub(crate) fn ended_well(ran: &Ran, what: &str) {
    assert_eq!(ran.code, 0, "{what}: {}{}", ran.stdout, ran.stderr);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!said.contains(TOKEN), "{what} shows the token: {said}");
}

async fn installs_with_the_environment_alone(client: Client) {
    let relay = Relay::bind().await;
    let url = relay.url.clone();
    let sold = Sold::new(&["--gate-url", &url]).await;
    let relaying = relay.to(&sold.tollgate.gate);
    let shop = wanting(client, &url);
    let words = client.words();
    let mut arguments = vec!["exec", "--"];
    arguments.extend(words.iter().map(String::as_str));
    arguments.push("install");

    let given = sold.given();
    let given = borrowed(&given);
    let mut caught = relaying.trap();
    let folder = shop.npm.dir();
    let look = async {
        caught.came().await;
        let lines = command_lines(&folder);
        caught.go();
        lines
    };
    let (ran, lines) = tokio::join!(shop.run_with(&arguments, &given), look);
    ended_well(&ran, "install");
    assert!(!lines.is_empty(), "nothing was looked at");
    assert!(!lines.iter().any(|line| line.contains(TOKEN)), "{lines:?}");
    assert!(installed(&shop).contains("@acme/loyalty"));
    assert_eq!(with_secrets(&folder, &sold.key), [""; 0]);
    assert_eq!(with_secrets(sold.cache.path(), &sold.key), [""; 0]);
    assert!(!shop.path(".box").exists(), "it was to keep nothing");
}

#[tokio::test]
async fn npm_of_this_machine_installs_with_the_environment_alone_and_no_settings() {
    installs_with_the_environment_alone(Client::Npm).await;
}

#[tokio::test]
async fn npm_10_installs_with_the_environment_alone_and_no_settings() {
    installs_with_the_environment_alone(Client::Npm10).await;
}

#[tokio::test]
async fn pnpm_10_installs_with_the_environment_and_the_scopes_line() {
    installs_with_the_environment_alone(Client::Pnpm10).await;
}

#[tokio::test]
async fn pnpm_12_installs_with_the_environment_and_the_scopes_line() {
    installs_with_the_environment_alone(Client::Pnpm12).await;
}

#[tokio::test]
async fn yarn_classic_installs_with_the_environment_where_npmrc_names_the_variable() {
    installs_with_the_environment_alone(Client::YarnClassic).await;
}

#[tokio::test]
async fn yarn_berry_installs_with_the_environment_where_yarnrc_names_the_variable() {
    installs_with_the_environment_alone(Client::YarnBerry).await;
}

#[tokio::test]
async fn bun_installs_with_the_environment_where_npmrc_names_the_variable() {
    installs_with_the_environment_alone(Client::Bun).await;
}

#[tokio::test]
async fn the_fresh_token_counts_before_a_stale_one_for_npm_and_pnpm_12() {
    let sold = Sold::new(&[]).await;
    let gate = &sold.tollgate.gate;
    let place = gate.strip_prefix("http:").unwrap();
    for client in [Client::Npm, Client::Npm10, Client::Pnpm12] {
        let shop = wanting(client, gate);
        let stale = format!("@acme:registry={gate}/\n{place}/:_authToken=stale\n");
        shop.write(".npmrc", &stale);
        let words = client.words();
        let mut arguments = vec!["exec", "--"];
        arguments.extend(words.iter().map(String::as_str));
        arguments.push("install");
        let ran = shop.run_with(&arguments, &borrowed(&sold.given())).await;
        ended_well(&ran, &format!("{client:?}"));
        assert!(installed(&shop).contains("@acme/loyalty"), "{client:?}");
        assert_eq!(shop.read(".npmrc"), stale);
    }
}

#[tokio::test]
async fn a_command_has_our_place_and_no_key() {
    let sold = Sold::new(&[]).await;
    let shop = BoxCli::new();
    let given = sold.given();
    let given = borrowed(&given);

    // Input, output, errors and the exit code.
    let mut command = shop.command(&["exec", "--", "sh", "-c", "cat; echo no >&2; exit 7"]);
    command.envs(given.iter().copied()).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"in and out").await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"in and out");
    assert_eq!(output.stderr, b"no\n");

    // The environment, without the key.
    let ran = shop.run_with(&["exec", "env"], &given).await;
    assert!(ran.stdout.contains(&format!("BOX_TOKEN={TOKEN}")));
    assert!(ran.stdout.contains("npm_config_@acme:registry="));
    assert!(!ran.stdout.contains(&sold.key));

    // A signal ends the command, and is seen so.
    let ran = shop
        .run_with(&["exec", "--", "sh", "-c", "kill -TERM $$"], &given)
        .await;
    assert_eq!(ran.code, -1, "{ran:?}");

    // A program that is not there, and one that is none.
    let ran = shop.run_with(&["exec", "no-such-program"], &given).await;
    assert_eq!(ran.code, 127);
    insta::assert_snapshot!("not_found", ran.stderr);
    let ran = shop.run_with(&["exec", "/"], &given).await;
    assert_eq!(ran.code, 126, "{ran:?}");
    assert!(ran.stderr.starts_with("error: cannot run `/`: "), "{ran:?}");

    // Nothing runs without a token.
    let ran = shop.run(&["exec", "--", "sh", "-c", "echo ran"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{ran:?}");
}

#[tokio::test]
async fn signals_reach_the_command() {
    let sold = Sold::new(&[]).await;
    let shop = BoxCli::new();
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        // A trap that comes just before a shell reads would wait for the line.
        let script = format!(
            "trap 'echo caught; exit 9' {signal}; echo ready; while sleep 0.05; do :; done"
        );
        for (script, ends) in [(script.as_str(), Some(9)), ("echo ready; read line", None)] {
            let mut command = shop.command(&["exec", "--", "sh", "-c", script]);
            command.envs(sold.given()).stdin(Stdio::piped());
            command.stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
            let id = child.id().unwrap().to_string();
            let sent = tokio::process::Command::new("kill")
                .args([&format!("-{signal}"), &id])
                .status();
            assert!(sent.await.unwrap().success());
            let ended = child.wait().await.unwrap();
            assert_eq!(ended.code(), ends, "{signal}");
            if ends.is_none() {
                assert_eq!(ended.signal(), Some(number));
            } else {
                assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("caught"));
            }
        }
    }
}

#[tokio::test]
async fn it_works_where_nothing_may_be_written() {
    let sold = Sold::new(&[]).await;
    let shop = BoxCli::new();
    let script = "test -n \"$BOX_TOKEN\" && echo has one";
    let ran = shop
        .run_read_only(
            &["exec", "--", "sh", "-c", script],
            &borrowed(&sold.given()),
        )
        .await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "has one\n"), "{ran:?}");
    assert!(!shop.path(".box").exists());
}
