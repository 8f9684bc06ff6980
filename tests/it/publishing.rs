//! What publishers do with npm after they have published: tags, deprecations, unpublishing. On a
//! directory, and in a bucket with two gates over it.

use serde_json::{Value, json};
use tests::bucket::{self, Bucket};
use tests::{Database, Npm, NpmOutput, SMALL, Tollgate, Vendor};

/// A publisher's npm at a gate, and a box's.
struct People {
    author: Npm,
    gate: String,
    shop: Npm,
}

impl People {
    async fn at(tollgate: &Tollgate) -> Self {
        let vendor = Vendor::of(tollgate);
        let secret = vendor.credential("publisher").await;
        let sold = vendor.sell("basic").await;
        Self {
            author: Npm::project("@acme", &tollgate.gate, Some(&secret)),
            gate: tollgate.gate.clone(),
            shop: Npm::project("@acme", &tollgate.gate, Some(&sold.token)),
        }
    }

    async fn publish(&self, version: &str, arguments: &[&str]) -> NpmOutput {
        let package = json!({ "name": "@acme/order", "version": version, "main": "index.js" });
        let dir = self.author.lay_out_package(&package, &self.gate);
        let arguments = [&["publish"], arguments].concat();
        self.author.run_in(&dir, &arguments).await
    }

    async fn must_publish(&self, version: &str, arguments: &[&str]) {
        let output = self.publish(version, arguments).await;
        assert!(output.success, "{}", output.text);
    }

    /// The dist-tags as npm lists them.
    async fn tags(&self) -> String {
        let output = self.author.must(&["dist-tag", "ls", "@acme/order"]).await;
        output.stdout.trim().replace('\n', ", ")
    }

    async fn view(&self, what: &str, field: &str) -> Value {
        let output = self.author.must(&["view", what, field, "--json"]).await;
        serde_json::from_str(&output.stdout).unwrap_or(Value::Null)
    }
}

fn fails_with(output: &NpmOutput, parts: &[&str]) {
    assert!(!output.success, "{}", output.text);
    for part in parts {
        assert!(output.text.contains(part), "{part}: {}", output.text);
    }
}

async fn a_package_has_its_life(people: &mut People) {
    people.must_publish("1.0.0", &[]).await;
    people.must_publish("1.1.0", &[]).await;
    people.must_publish("2.0.0-rc.1", &["--tag", "next"]).await;
    assert_eq!(people.tags().await, "latest: 1.1.0, next: 2.0.0-rc.1");
    let again = people.publish("1.1.0", &["--force"]).await;
    fails_with(
        &again,
        &[
            "E409",
            "cannot publish over the existing version of @acme/order",
        ],
    );

    // Tags.
    people
        .author
        .must(&["dist-tag", "add", "@acme/order@1.0.0", "stable"])
        .await;
    assert_eq!(
        people.tags().await,
        "latest: 1.1.0, next: 2.0.0-rc.1, stable: 1.0.0"
    );
    people
        .author
        .must(&["dist-tag", "rm", "@acme/order", "next"])
        .await;
    assert_eq!(people.tags().await, "latest: 1.1.0, stable: 1.0.0");
    let box_tries = people
        .shop
        .run(&["dist-tag", "add", "@acme/order@1.0.0", "mine"])
        .await;
    fails_with(&box_tries, &["E403", "only a publisher token may publish"]);

    // Deprecations.
    people
        .author
        .must(&["deprecate", "@acme/order@1.0.0", "use 1.1"])
        .await;
    assert_eq!(
        people.view("@acme/order@1.0.0", "deprecated").await,
        "use 1.1"
    );
    let installed = people.shop.must(&["install", "@acme/order@stable"]).await;
    assert!(
        installed
            .text
            .contains("deprecated @acme/order@1.0.0: use 1.1"),
        "{}",
        installed.text
    );
    people
        .author
        .must(&["undeprecate", "@acme/order@1.0.0"])
        .await;
    assert_eq!(
        people.view("@acme/order@1.0.0", "deprecated").await,
        Value::Null
    );

    // Unpublishing one.
    people
        .author
        .must(&["unpublish", "@acme/order@1.1.0"])
        .await;
    assert_eq!(
        people.view("@acme/order", "versions").await,
        json!(["1.0.0", "2.0.0-rc.1"])
    );
    assert_eq!(people.tags().await, "latest: 1.0.0, stable: 1.0.0");
    people.shop.clean();
    let gone = people.shop.run(&["install", "@acme/order@1.1.0"]).await;
    fails_with(&gone, &["ETARGET"]);
    let again = people.publish("1.1.0", &["--force"]).await;
    let text = "@acme/order 1.1.0 was unpublished; a version can never be published again";
    fails_with(&again, &["E409", text]);

    // And all.
    people
        .author
        .must(&["unpublish", "@acme/order", "--force"])
        .await;
    let gone = people.shop.run(&["install", "@acme/order"]).await;
    fails_with(&gone, &["E404", "@acme/order has not been published"]);
    let again = people.publish("1.0.0", &["--force"]).await;
    fails_with(&again, &["E409", "1.0.0 was unpublished"]);
    people.must_publish("1.2.0", &[]).await;
    assert_eq!(people.tags().await, "latest: 1.2.0");
    people.shop.must(&["install", "@acme/order"]).await;
}

#[tokio::test]
async fn a_publisher_manages_a_package_with_npm() {
    let tollgate = Tollgate::start(SMALL).await;
    let mut people = People::at(&tollgate).await;
    a_package_has_its_life(&mut people).await;
}

#[tokio::test]
async fn a_publisher_manages_a_package_that_lies_in_a_bucket() {
    let (content, address) = Bucket::start().await;
    let dir = tempfile::tempdir().unwrap();
    let options = dir.path().join("s3");
    std::fs::write(&options, bucket::options(&address)).unwrap();
    let arguments = [
        "--store",
        "s3://acme/npm",
        "--store-options-file",
        options.to_str().unwrap(),
    ];
    let mut tollgate = Tollgate::start_on(Database::Sqlite, SMALL, &arguments).await;
    let errors = tollgate.collect_errors();
    let mut people = People::at(&tollgate).await;
    a_package_has_its_life(&mut people).await;
    // Everything lies there and nothing beside it.
    let names: Vec<String> = content.content().objects.keys().cloned().collect();
    assert!(
        names.contains(&"npm/packages/@acme/order/versions/1.2.0.json".to_owned()),
        "{names:?}"
    );
    let blobs = names.iter().filter(|name| name.starts_with("npm/blobs/"));
    assert_eq!(blobs.count(), 1, "{names:?}");
    assert!(!tollgate.data().join("packages").exists());

    tollgate.stop().await;
    let log = errors.await.unwrap();
    assert!(!log.contains("hush"), "{log}");
}
