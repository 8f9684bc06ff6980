//! A license's packages behind an air gap: packed by the vendor, served by a gate that asks
//! nobody, installed by npm with a license file's token.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tests::client::{Client, Project};
use tests::process::{Gate, command};
use tests::{Database, Npm, SMALL, Tollgate, Vendor};

const BOTH: [Database; 2] = [Database::Sqlite, Database::Postgres];

struct Story {
    dir: tempfile::TempDir,
    tollgate: Tollgate,
    vendor: Vendor,
    license: String,
}

impl Story {
    async fn begin(database: Database, tier: &str) -> Self {
        let tollgate = Tollgate::start_on(database, SMALL, &[]).await;
        let vendor = Vendor::of(&tollgate);
        vendor.publish_samples(SMALL).await;
        let body = json!({ "customerId": "corner-shop", "tier": tier });
        let issued: Value = vendor
            .post("/v1/licenses", &body)
            .await
            .json()
            .await
            .unwrap();
        Self {
            dir: tempfile::tempdir().unwrap(),
            tollgate,
            vendor,
            license: issued["id"].as_str().unwrap().to_owned(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `tollgate bundle` as an operator does.
    async fn bundle(&self, arguments: &[&str]) -> Output {
        let mut command = command("tollgate");
        command
            .args(["bundle", "--license", &self.license])
            .arg("--output")
            .arg(self.path("shop.bundle"))
            .args(arguments)
            .env("TOLLGATE_PROFILES", self.path("profiles.toml"))
            .env("TOLLGATE_SERVER", &self.tollgate.control_plane)
            .env("TOLLGATE_OPERATOR_TOKEN", &self.tollgate.operator_token);
        command.output().await.unwrap()
    }

    async fn must_bundle(&self) -> String {
        let output = self.bundle(&[]).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The token of a license file for a box.
    async fn offline_token(&self, fingerprint: &str) -> String {
        let request = json!({
            "requestId": format!("request-{fingerprint}"),
            "requestedAt": tests::now(),
            "fingerprint": fingerprint,
        });
        let path = format!("/v1/licenses/{}/license-files", self.license);
        let answer = self
            .vendor
            .post(&path, &json!({ "request": request }))
            .await;
        assert_eq!(answer.status(), 201);
        let answer: Value = answer.json().await.unwrap();
        let file = answer["licenseFile"].as_str().unwrap();
        let payload = file.split('.').nth(1).unwrap();
        let payload = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes());
        let payload: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
        payload["token"].as_str().unwrap().to_owned()
    }

    fn gate_command(&self, bundle: &Path, data: &str) -> tokio::process::Command {
        let mut command = command("registry-gate");
        command.args(["--listen", "127.0.0.1:0", "--bundle"]);
        command.arg(bundle).arg("--data").arg(self.path(data));
        command
    }

    async fn serve(&self, data: &str) -> Gate {
        Gate::start_with(self.gate_command(&self.path("shop.bundle"), data)).await
    }

    /// What a gate says that does not start.
    async fn refused(&self, bundle: &Path, data: &str, arguments: &[&str]) -> String {
        let mut command = self.gate_command(bundle, data);
        let output = command.args(arguments).output().await.unwrap();
        assert!(!output.status.success());
        assert!(output.stdout.is_empty(), "it said that it is ready");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test]
async fn npm_and_pnpm_install_from_a_bundle_and_nothing_else_is_served() {
    for database in BOTH {
        let story = Story::begin(database, "basic").await;
        let told = story.must_bundle().await;
        assert!(told.contains("2 packages"), "{told}");
        let token = story.offline_token("box-1").await;
        let online = story.vendor.sell("basic").await.token;
        let gate = story.serve("gate").await;

        // From here on there is no control plane.
        let Story { tollgate, dir, .. } = story;
        tollgate.stop().await;
        let shop = Npm::project("@acme", &gate.url, Some(&token));
        shop.must(&["install", "@acme/order"]).await;
        assert!(shop.installed("@acme").contains("@acme/order"));
        let project = Project::new(Client::Pnpm10, "@acme", &gate.url, &token, &["@acme/order"]);
        let installed = project.install().await;
        assert!(installed.success, "{}", installed.text);

        let refused = shop.run(&["install", "@acme/loyalty"]).await;
        assert!(
            !refused.success
                && refused.text.contains("@acme/loyalty")
                && refused.text.contains("growth"),
            "{}",
            refused.text
        );
        // The document is the one that the vendor's gate shows.
        let told = shop
            .must(&["view", "@acme/order", "dist-tags", "--json"])
            .await;
        assert!(told.stdout.contains("latest"), "{}", told.stdout);

        let stranger = Npm::project("@acme", &gate.url, Some(&online));
        let refused = stranger.run(&["install", "@acme/order"]).await;
        assert!(
            !refused.success && refused.text.contains("401"),
            "{}",
            refused.text
        );
        let publisher = Npm::project("@acme", &gate.url, Some(&token));
        let package = json!({ "name": "@acme/order", "version": "9.0.0" });
        let package = publisher.lay_out_package(&package, &gate.url);
        assert!(!publisher.run_in(&package, &["publish"]).await.success);

        assert!(gate.stop().await.success());
        drop(dir);
    }
}

#[tokio::test]
async fn a_gate_starts_again_with_its_bundle_and_takes_no_other_vendors() {
    let story = Story::begin(Database::Sqlite, "growth").await;
    story.must_bundle().await;
    let bundle = story.path("shop.bundle");
    story.serve("gate").await.stop().await;
    let unpacked = std::fs::read_dir(story.path("gate/bundles")).unwrap();
    let unpacked: Vec<_> = unpacked.map(|entry| entry.unwrap().path()).collect();
    let laid = unpacked.iter().find(|path| path.is_dir()).unwrap();
    std::fs::write(laid.join("mark"), "").unwrap();
    story.serve("gate").await.stop().await;
    assert!(laid.join("mark").exists(), "it was unpacked again");

    // Another vendor's bundle in the same place.
    let other = Story::begin(Database::Sqlite, "growth").await;
    other.must_bundle().await;
    let error = story.refused(&other.path("shop.bundle"), "gate", &[]).await;
    assert!(error.contains("another key than the root key"), "{error}");
    // With the key from elsewhere, only that one counts from the start.
    let key = other.tollgate.data().join("root-key.jwk");
    let key = key.exists().then(|| key.to_str().unwrap().to_owned());
    let key = match key {
        Some(key) => key,
        None => root_key(&other).await,
    };
    let error = story.refused(&bundle, "fresh", &["--root-key", &key]).await;
    assert!(error.contains("another key than the root key"), "{error}");
}

/// The root key's public half, as the control plane tells its gates.
async fn root_key(story: &Story) -> String {
    let gate = story.vendor.credential("gate").await;
    let url = format!("{}/v1/gate/root-key", story.tollgate.control_plane);
    let answer = tests::people::client().get(url).bearer_auth(gate).send();
    answer.await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_damaged_bundle_is_refused_at_start_and_nothing_of_it_stays() {
    let story = Story::begin(Database::Sqlite, "basic").await;
    story.must_bundle().await;
    let good = std::fs::read(story.path("shop.bundle")).unwrap();
    let bad = story.path("bad.bundle");
    let hint = |bytes: &[u8], what: &[u8]| {
        bytes
            .windows(what.len())
            .position(|window| window == what)
            .unwrap()
    };
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("a cut end", good[..good.len() / 2].to_vec()),
        ("no archive", b"nonsense".to_vec()),
    ];
    for (what, at) in [
        ("the head", hint(&good, b"bundle.jws") + 512 + 600),
        ("the list", hint(&good, b"\"files\"") + 30),
        ("a release", hint(&good, b"\"publishedAt\"")),
    ] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        cases.push((what, bytes));
    }
    for (what, bytes) in cases {
        std::fs::write(&bad, bytes).unwrap();
        let error = story.refused(&bad, "gate", &[]).await;
        assert!(error.contains("bad.bundle"), "{what}: {error}");
        let left = std::fs::read_dir(story.path("gate/bundles")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"], "{what}");
    }
}

#[tokio::test]
async fn a_bundle_ends_and_is_only_made_of_a_license_that_can_be_used() {
    let story = Story::begin(Database::Sqlite, "basic").await;
    let soon = tests::now() + jiff::SignedDuration::from_secs(2);
    let output = story.bundle(&["--expires-at", &soon.to_string()]).await;
    assert!(output.status.success(), "{output:?}");
    while tests::now() < soon {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let error = story.refused(&story.path("shop.bundle"), "gate", &[]).await;
    assert!(error.contains("ended at"), "{error}");

    let too_long = story.bundle(&["--expires-at", "500d"]).await;
    let error = String::from_utf8_lossy(&too_long.stderr).into_owned();
    assert_eq!(too_long.status.code(), Some(5), "{error}");
    assert!(error.contains("400 days"), "{error}");

    let before = std::fs::read(story.path("shop.bundle")).unwrap();
    let path = format!("/v1/licenses/{}/suspend", story.license);
    story
        .vendor
        .post(&path, &json!({ "reason": "unpaid" }))
        .await;
    let refused = story.bundle(&[]).await;
    assert_eq!(refused.status.code(), Some(5));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("suspended"), "{error}");
    assert_eq!(std::fs::read(story.path("shop.bundle")).unwrap(), before);
    let left = std::fs::read_dir(story.dir.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_box_that_was_released_is_refused_by_a_later_bundle() {
    let story = Story::begin(Database::Sqlite, "basic").await;
    let token = story.offline_token("box-1").await;
    let path = format!("/v1/licenses/{}/boxes", story.license);
    let boxes: Value = story.vendor.get(&path).await.json().await.unwrap();
    let id = boxes["boxes"][0]["id"].as_str().unwrap();
    let client = tests::people::client();
    let released = client
        .delete(format!("{}{path}/{id}", story.tollgate.control_plane))
        .bearer_auth(&story.tollgate.operator_token)
        .send();
    assert_eq!(released.await.unwrap().status(), 200);
    story.must_bundle().await;
    let gate = story.serve("gate").await;
    let asked = client.get(format!("{}/@acme%2forder", gate.url));
    let asked = asked.bearer_auth(token).send().await.unwrap();
    assert_eq!(asked.status(), 403);
}

#[tokio::test]
async fn a_license_file_of_another_license_is_refused_since_nobody_told_what_became_of_it() {
    let mut story = Story::begin(Database::Sqlite, "basic").await;
    story.must_bundle().await;
    let own = story.offline_token("box-1").await;
    let body = json!({ "customerId": "corner-shop", "tier": "basic" });
    let other: Value = story
        .vendor
        .post("/v1/licenses", &body)
        .await
        .json()
        .await
        .unwrap();
    story.license = other["id"].as_str().unwrap().to_owned();
    let other = story.offline_token("box-2").await;
    let gate = story.serve("gate").await;
    let ask = async |token: &str| {
        let asked = tests::people::client().get(format!("{}/@acme%2forder", gate.url));
        let asked = asked.bearer_auth(token).send().await.unwrap();
        (asked.status().as_u16(), asked.text().await.unwrap())
    };
    assert_eq!(ask(&own).await.0, 200);
    let (status, told) = ask(&other).await;
    assert_eq!(status, 403);
    assert!(told.contains("not_of_bundle"), "{told}");
}
