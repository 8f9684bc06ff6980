//! Starting, refusing to start, stopping.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tests::{COMMERCE, Database, Tollgate, Vendor, tollgate_command};
use tokio::process::Command;

/// `tollgate serve` on free ports.
fn serve(data: &Path, manifest: &str) -> Command {
    let mut command = serve_with(&["--manifest", manifest, "--gate-listen", "127.0.0.1:0"]);
    command
        .args(["--listen", "127.0.0.1:0"])
        .arg("--data")
        .arg(data);
    command
}

fn serve_with(arguments: &[&str]) -> Command {
    let mut command = tollgate_command();
    command.arg("serve").args(arguments);
    command
}

/// Runs a command that must fail, and returns what it said.
async fn fails(mut command: Command) -> String {
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{text}");
    text
}

/// The file of the one signing key.
fn signing_key(data: &Path) -> String {
    let mut files = std::fs::read_dir(data.join("signing-keys")).unwrap();
    let name = files.next().unwrap().unwrap().file_name();
    name.into_string().unwrap()
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn pot_3_a_broken_manifest_stops_the_start_before_anything_listens() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let manifest = write(
        dir.path(),
        "tiers.toml",
        &COMMERCE.replace(
            "requires = [\"@acme/product\"",
            "requires = [\"@acme/prodcut\"",
        ),
    );
    let text = fails(serve(&data, &manifest)).await;
    assert!(
        text.contains("@acme/prodcut") && text.contains("tiers.toml:"),
        "{text}"
    );
    assert!(!data.exists(), "something was written");
}

#[tokio::test]
async fn a_taken_port_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let manifest = write(dir.path(), "tiers.toml", COMMERCE);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [
        "--manifest",
        &manifest,
        "--listen",
        "127.0.0.1:0",
        "--gate-listen",
        &address,
    ];
    let mut command = serve_with(&arguments);
    command.arg("--data").arg(&data);
    let text = fails(command).await;
    assert!(
        text.contains(&address) && text.contains("--gate-listen"),
        "{text}"
    );
    assert!(!data.exists(), "something was written");
}

#[tokio::test]
async fn wrong_settings_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = write(dir.path(), "tiers.toml", COMMERCE);
    assert!(fails(serve_with(&[])).await.contains("--manifest"));
    let text = fails(serve_with(&["--manifest", "no-such.toml"])).await;
    assert!(
        text.contains("cannot read the manifest `no-such.toml`"),
        "{text}"
    );
    let config = write(dir.path(), "tollgate.toml", "lisen = '127.0.0.1:0'\n");
    let text = fails(serve_with(&["--manifest", &manifest, "--config", &config])).await;
    assert!(
        text.contains("lisen") && text.contains("tollgate.toml"),
        "{text}"
    );
    // A file where the data directory should be.
    let text = fails(serve(Path::new(&config), &manifest)).await;
    assert!(text.contains("data directory"), "{text}");
}

#[tokio::test]
async fn prices_of_stripe_that_cannot_work_refuse_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let manifest = write(dir.path(), "tiers.toml", COMMERCE);
    let secret = write(dir.path(), "secret", "whsec_1\n");
    let empty = write(dir.path(), "empty", "\n");
    let gold = write(
        dir.path(),
        "gold.toml",
        "[stripe-prices]\nprice_1 = 'growth'\nprice_2 = 'gold'\n",
    );
    let file = "--stripe-webhook-secret-file";
    for (arguments, parts) in [
        (
            &[file, &secret, "--config", &gold][..],
            &["`price_2`", "`gold`", "`basic`, `growth`, `enterprise`"][..],
        ),
        (
            &[file, &secret, "--stripe-prices", "price_1=gold"],
            &["`gold`", "`basic`"],
        ),
        (&[file, &secret], &["`stripe-prices`", "belong together"]),
        (
            &["--stripe-prices", "price_1=growth"],
            &["`stripe-webhook-secret-file`"],
        ),
        (
            &[file, &empty, "--stripe-prices", "price_1=growth"],
            &["1 to 4 secrets"],
        ),
        (
            &[file, "no-such-file", "--stripe-prices", "price_1=growth"],
            &["`no-such-file`"],
        ),
    ] {
        let mut command = serve(&data, &manifest);
        command.args(arguments);
        let text = fails(command).await;
        for part in parts {
            assert!(text.contains(part), "{arguments:?}: {text}");
        }
        assert!(!text.contains("whsec_"), "{text}");
    }
    let mut both = serve(&data, &manifest);
    both.args([file, &secret, "--stripe-prices", "price_1=growth"]);
    both.env("TOLLGATE_STRIPE_WEBHOOK_SECRET", "whsec_2");
    assert!(fails(both).await.contains("give one"));
    assert!(!data.exists(), "something was written");
}

#[tokio::test]
async fn a_second_process_stays_out_of_the_data_directory() {
    let tollgate = Tollgate::start(COMMERCE).await;
    let dir = tempfile::tempdir().unwrap();
    let manifest = write(dir.path(), "tiers.toml", COMMERCE);
    let text = fails(serve(&tollgate.data(), &manifest)).await;
    assert!(text.contains("another tollgate"), "{text}");
}

#[tokio::test]
async fn secrets_in_the_data_directory_are_for_their_owner_and_a_stop_is_clean() {
    let tollgate = Tollgate::start(COMMERCE).await;
    let key = format!("signing-keys/{}", signing_key(&tollgate.data()));
    for name in [
        "operator-token",
        "root-key.pem",
        "hash-key",
        "tollgate.db",
        &key,
    ] {
        let mode = std::fs::metadata(tollgate.data().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(tollgate.stop().await.success());
}

#[tokio::test]
async fn the_same_product_runs_on_both_databases() {
    for database in [Database::Sqlite, Database::Postgres] {
        let tollgate = Tollgate::start_on(database, COMMERCE, &[]).await;
        let vendor = Vendor::of(&tollgate);
        let new = serde_json::json!({ "customerId": "c-1", "tier": "basic" });
        let mut issued: Value = vendor
            .post("/v1/licenses", &new)
            .await
            .json()
            .await
            .unwrap();
        issued.as_object_mut().unwrap().remove("key");
        let path = format!("/v1/licenses/{}", issued["id"].as_str().unwrap());
        let read: Value = vendor.get(&path).await.json().await.unwrap();
        assert_eq!(read, issued, "{database:?}");

        vendor.publish_samples(COMMERCE).await;
        let basic = vendor.sell("basic").await;
        for (path, status) in [("@acme%2forder", 200), ("@acme%2Floyalty", 403)] {
            let request = tests::people::client().get(format!("{}/{path}", tollgate.gate));
            let response = request.bearer_auth(&basic.token).send().await.unwrap();
            assert_eq!(response.status(), status, "{database:?} {path}");
        }
        let jwks = format!("{}/.well-known/jwks.json", tollgate.control_plane);
        let jwks: Value = tests::people::client()
            .get(jwks)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(jwks["keys"][0]["crv"], "Ed25519");
        assert!(jwks["keys"][0].get("d").is_none());
    }
}

#[tokio::test]
async fn the_demo_works_without_node_and_network() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let output = tollgate_command()
            .args([
                "demo",
                "--once",
                "--listen",
                "127.0.0.1:0",
                "--gate-listen",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(dir.path().join("data"))
            .env("PATH", "")
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "round {round}: {text}{errors}");
        assert!(
            text.contains("@acme/loyalty is not in your tier basic; it comes with growth"),
            "{text}"
        );
        assert!(text.ends_with("Everything worked.\n"), "{text}");
    }
}

#[tokio::test]
async fn a_gate_on_its_own_serves_by_what_the_control_plane_tells_it() {
    let tollgate = Tollgate::start(COMMERCE).await;
    let vendor = Vendor::of(&tollgate);
    let token = vendor.credential("gate").await;
    let basic = vendor.sell("basic").await;
    let dir = tempfile::tempdir().unwrap();
    let gate = tests::process::Gate::start(&tollgate, &token, dir.path()).await;
    vendor.publish_samples_to(&gate.url, COMMERCE).await;
    for (path, status) in [("@acme%2forder", 200), ("@acme%2floyalty", 403)] {
        let request = tests::people::client().get(format!("{}/{path}", gate.url));
        let response = request.bearer_auth(&basic.token).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
    // It listens for changes as long as it lives, which must not hold the control plane up.
    let asked = std::time::Instant::now();
    assert!(tollgate.stop().await.success());
    let took = asked.elapsed();
    assert!(took < std::time::Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn the_first_operators_token_can_be_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = write(dir.path(), "tiers.toml", COMMERCE);
    for (token, complaint) in [
        ("short", "16 to 256"),
        ("with a blank in the middle", "visible ASCII"),
        ("tgo_abcdefghijklmnopqrstuvwxyz234567aaaaaa", "typing error"),
        ("tgp_abcdefghijklmnopqrstuvwxyz234567aaaaaa", "typing error"),
    ] {
        let mut command = serve(&dir.path().join("refused"), &manifest);
        command.env("TOLLGATE_OPERATOR_TOKEN", token);
        let text = fails(command).await;
        assert!(text.contains(complaint), "{token}: {text}");
        assert!(!text.contains(token), "{text}");
    }

    let chosen = "a-token-of-the-vendors-own";
    let data = dir.path().join("data");
    let mut command = serve(&data, &manifest);
    command.env("TOLLGATE_OPERATOR_TOKEN", chosen);
    let (_child, ready) = tests::process::start(command).await;
    let (control_plane, _) = ready
        .strip_prefix("tollgate ready: control plane ")
        .and_then(|rest| rest.split_once(','))
        .unwrap();
    for (token, status) in [(chosen, 200), ("another-token-altogether", 401)] {
        let request = tests::people::client().get(format!("{control_plane}/v1/tiers"));
        assert_eq!(
            request.bearer_auth(token).send().await.unwrap().status(),
            status,
            "{token}"
        );
    }
}

#[tokio::test]
async fn keys_of_a_database_are_never_replaced_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = write(dir.path(), "tiers.toml", COMMERCE);
    let data = dir.path().join("data");
    let (mut child, _) = tests::process::start(serve(&data, &manifest)).await;
    child.kill().await.unwrap();
    let key = format!("signing-keys/{}", signing_key(&data));
    for name in ["hash-key", "root-key.pem", &key] {
        let (path, aside) = (data.join(name), dir.path().join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        let text = fails(serve(&data, &manifest)).await;
        assert!(text.contains(name) && text.contains("restore it"), "{text}");
        assert!(!path.exists());
        std::fs::rename(&aside, &path).unwrap();
    }
    let (_child, ready) = tests::process::start(serve(&data, &manifest)).await;
    assert!(ready.starts_with("tollgate ready"));
}
