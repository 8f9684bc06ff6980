//! An operator publishes a folder of tarballs with one command.

use serde_json::{Value, json};
use tests::people::client;
use tests::workshop::{Ended, end};
use tests::{Database, Npm, SMALL, Tollgate, Vendor, Workshop};
use tokio::net::TcpListener;

async fn pack(workshop: &Workshop, name: &str, version: &str, requires: &[&str]) {
    let requires: serde_json::Map<String, Value> = requires
        .iter()
        .map(|name| ((*name).to_owned(), json!("^1.0.0")))
        .collect();
    let package = json!({ "name": name, "version": version, "dependencies": requires });
    workshop
        .pack(&package, &[("index.js", "module.exports = __filename;\n")])
        .await;
}

/// The publisher credentials that there are.
async fn publishers(vendor: &Vendor) -> Vec<Value> {
    let answer = vendor.get("/v1/credentials?kind=publisher").await;
    let body: Value = answer.json().await.unwrap();
    body["credentials"].as_array().unwrap().clone()
}

/// The versions of a package and its tags, as a box sees them; `null` where there is none.
async fn seen(tollgate: &Tollgate, token: &str, name: &str) -> Value {
    let request = client().get(format!("{}/{name}", tollgate.gate));
    let answer = request.bearer_auth(token).send().await.unwrap();
    if answer.status() == 404 {
        return Value::Null;
    }
    let body: Value = answer.json().await.unwrap();
    let versions: Vec<&String> = body["versions"].as_object().unwrap().keys().collect();
    json!({ "versions": versions, "tags": body["dist-tags"] })
}

async fn a_folder_is_published(database: Database) -> String {
    let tollgate = Tollgate::start_on(database, SMALL, &[]).await;
    let vendor = Vendor::of(&tollgate);
    let workshop = Workshop::new();
    for version in ["1.10.0", "1.9.0", "2.0.0-rc.1"] {
        pack(&workshop, "@acme/order", version, &["@acme/shared"]).await;
    }
    pack(&workshop, "@acme/shared", "1.0.0", &[]).await;
    pack(
        &workshop,
        "@acme/loyalty",
        "1.0.0-beta.1",
        &["@acme/points"],
    )
    .await;
    pack(&workshop, "@acme/points", "1.0.0", &[]).await;
    let sold = vendor.sell("growth").await;

    let run = async |arguments: &[&str]| {
        let ended = workshop.run(&tollgate, arguments).await;
        format!("$ tollgate {}\n{}\n", arguments.join(" "), ended.with(0))
    };
    let mut screen = run(&["publish", "--dry-run", "dist"]).await;
    assert_eq!(publishers(&vendor).await, Vec::<Value>::new());
    assert_eq!(
        seen(&tollgate, &sold.token, "@acme/order").await,
        Value::Null
    );

    screen += &run(&["publish", "dist"]).await;
    let order = seen(&tollgate, &sold.token, "@acme/order").await;
    let expected = json!({
        "versions": ["1.10.0", "1.9.0", "2.0.0-rc.1"],
        "tags": { "latest": "1.10.0" },
    });
    assert_eq!(order, expected);
    let loyalty = seen(&tollgate, &sold.token, "@acme/loyalty").await;
    assert_eq!(loyalty["tags"], json!({ "latest": "1.0.0-beta.1" }));

    // The token of the run is over, and would have been soon without that.
    let made = publishers(&vendor).await;
    assert_eq!(made.len(), 1);
    assert!(made[0]["revokedAt"].is_string() && made[0]["expiresAt"].is_string());

    // Once more, with one that is new and lower.
    pack(&workshop, "@acme/order", "1.9.1", &[]).await;
    screen += &run(&["publish", "dist", "dist/acme-order-1.9.1.tgz"]).await;
    pack(&workshop, "@acme/order", "2.0.0-rc.2", &[]).await;
    screen += &run(&["publish", "--tag", "next", "dist/acme-order-2.0.0-rc.2.tgz"]).await;
    let order = seen(&tollgate, &sold.token, "@acme/order").await;
    assert_eq!(
        order["tags"],
        json!({ "latest": "1.10.0", "next": "2.0.0-rc.2" })
    );

    let shop = Npm::project("@acme", &tollgate.gate, Some(&sold.token));
    shop.must(&["install", "@acme/order", "@acme/loyalty"])
        .await;
    let all = [
        "@acme/loyalty",
        "@acme/order",
        "@acme/points",
        "@acme/shared",
    ];
    assert_eq!(shop.installed("@acme").iter().collect::<Vec<_>>(), all);
    screen
}

#[tokio::test]
async fn a_folder_is_published_in_order_and_again_without_harm() {
    let screen = a_folder_is_published(Database::Sqlite).await;
    insta::assert_snapshot!("publish", screen);
    assert_eq!(a_folder_is_published(Database::Postgres).await, screen);
}

/// Everything but what differs between any two gates: where they are, and when it happened.
async fn packument(tollgate: &Tollgate, token: &str) -> Value {
    let request = client().get(format!("{}/@acme/order", tollgate.gate));
    let answer = request.bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    let mut body: Value =
        serde_json::from_str(&text.replace(&tollgate.gate, "http://gate.example")).unwrap();
    body["time"] = Value::Null;
    body
}

#[tokio::test]
async fn the_gate_shows_what_it_shows_after_npm_publish() {
    let workshop = Workshop::new();
    let package = json!({
        "name": "@acme/order",
        "version": "1.2.3",
        "description": "Takes orders",
        "keywords": ["shop"],
        "author": "A. C. Me <me@acme.example>",
        "license": "UNLICENSED",
        "bin": "order.js",
        "repository": "github:acme/order",
        "scripts": { "postinstall": "node order.js" },
        "dependencies": { "@acme/shared": "^1.0.0" },
        "engines": { "node": ">=18" },
    });
    let files = [
        ("order.js", "#!/usr/bin/env node\n"),
        ("README.md", "# Order\n\nTakes orders: ✓\n"),
    ];
    let tarball = workshop.pack(&package, &files).await;
    let tarball = tarball.to_str().unwrap();
    let (ours, theirs) = (Tollgate::start(SMALL).await, Tollgate::start(SMALL).await);
    workshop.run(&ours, &["publish", tarball]).await.with(0);
    let secret = Vendor::of(&theirs).credential("publisher").await;
    let author = Npm::project("@acme", &theirs.gate, Some(&secret));
    author.must(&["publish", tarball]).await;

    let shown = packument(&ours, &Vendor::of(&ours).sell("basic").await.token).await;
    let expected = packument(&theirs, &Vendor::of(&theirs).sell("basic").await.token).await;
    assert_eq!(shown, expected);
    assert_eq!(shown["readme"], files[1].1);
    assert_eq!(
        shown["versions"]["1.2.3"]["bin"],
        json!({ "order": "order.js" })
    );
}

#[tokio::test]
async fn bad_input_publishes_nothing() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    let sold = vendor.sell("basic").await;
    let workshop = Workshop::new();
    pack(&workshop, "@acme/order", "1.0.0", &[]).await;
    pack(&workshop, "@acme/nobodys", "1.0.0", &[]).await;
    pack(&workshop, "@other/order", "1.0.0", &[]).await;
    let dist = workshop.path("dist");
    std::fs::write(dist.join("broken.tgz"), "not a tarball").unwrap();
    std::fs::create_dir(dist.join("old")).unwrap();
    std::fs::copy(
        dist.join("acme-order-1.0.0.tgz"),
        dist.join("old/order.tgz"),
    )
    .unwrap();
    // Neither is looked at.
    for aside in ["dist/node_modules", "dist/.cache"] {
        std::fs::create_dir(workshop.path(aside)).unwrap();
        std::fs::write(workshop.path(aside).join("broken.tgz"), "").unwrap();
    }
    let ended = workshop.run(&tollgate, &["publish", "dist"]).await;
    assert_eq!(ended.code, Some(1));
    insta::assert_snapshot!(
        "publish_bad_input",
        format!("{}{}", ended.stdout, ended.stderr)
    );
    let ended = workshop
        .run(&tollgate, &["publish", "dist", "--json"])
        .await;
    let outcomes: Vec<Value> = ended.json()["tarballs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["outcome"].clone())
        .collect();
    assert_eq!(
        outcomes,
        ["refused", "refused", "refused", "refused", "notSent"]
    );
    assert_eq!(publishers(&vendor).await, Vec::<Value>::new());

    // A name that cannot be sold, alone, breaks a rule; a folder without tarballs is a mistake.
    let ended = workshop
        .run(&tollgate, &["publish", "dist/acme-nobodys-1.0.0.tgz"])
        .await;
    ended.with(5);
    let ended = workshop
        .run(&tollgate, &["publish", "dist/node_modules/.."])
        .await;
    assert_eq!(ended.code, Some(1));
    let empty = workshop.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let ended = workshop.run(&tollgate, &["publish", "empty"]).await;
    assert!(
        ended.code == Some(1) && ended.stderr.contains("there are no tarballs"),
        "{ended:?}"
    );
    assert_eq!(
        workshop
            .run(&tollgate, &["publish", "dist", "--tag", "1.x"])
            .await
            .code,
        Some(2)
    );

    // A version that is there with other bytes keeps the rest from being sent.
    let order = ["publish", "dist/acme-order-1.0.0.tgz"];
    workshop.run(&tollgate, &order).await.with(0);
    let other = Workshop::new();
    let package = json!({ "name": "@acme/order", "version": "1.0.0", "description": "another" });
    other.pack(&package, &[]).await;
    pack(&other, "@acme/shared", "1.0.0", &[]).await;
    let ended = other.run(&tollgate, &["publish", "dist"]).await;
    assert!(
        ended
            .stdout
            .contains("the gate has this version with other bytes"),
        "{ended:?}"
    );
    ended.with(5);
    assert_eq!(
        seen(&tollgate, &sold.token, "@acme/shared").await,
        Value::Null
    );
    let made = publishers(&vendor).await;
    assert!(
        made.len() == 2 && made.iter().all(|one| one["revokedAt"].is_string()),
        "{made:?}"
    );
}

#[tokio::test]
async fn what_requires_a_refused_package_is_not_sent() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    let workshop = Workshop::new();
    pack(&workshop, "@acme/points", "1.0.0", &[]).await;
    workshop.run(&tollgate, &["publish", "dist"]).await.with(0);
    let secret = vendor.credential("publisher").await;
    let author = Npm::project("@acme", &tollgate.gate, Some(&secret));
    author.must(&["unpublish", "@acme/points", "--force"]).await;

    pack(&workshop, "@acme/loyalty", "1.0.0", &["@acme/points"]).await;
    pack(&workshop, "@acme/shared", "1.0.0", &[]).await;
    let ended = workshop.run(&tollgate, &["publish", "dist"]).await;
    assert!(
        ended
            .stderr
            .contains("error: the gate does not have 1 of these"),
        "{ended:?}"
    );
    insta::assert_snapshot!("publish_refused", ended.with(5));
}

#[tokio::test]
async fn a_build_server_needs_nothing_but_a_publisher_token() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    let workshop = Workshop::new();
    pack(&workshop, "@acme/order", "1.0.0", &[]).await;
    let secret = vendor.credential("publisher").await;
    let mut command = workshop.bare(&["publish", "dist", "--gate", &tollgate.gate]);
    command.env("TOLLGATE_PUBLISHER_TOKEN", &secret);
    let ended = end(command).await;
    assert!(!format!("{ended:?}").contains(&secret));
    ended.with(0);
    // What it would do is told with that token too, and the gate looked at.
    std::fs::write(workshop.path("token"), format!("{secret}\n")).unwrap();
    let token = ["--publisher-token-file", "token"];
    let arguments = [
        &["publish", "dist", "--dry-run", "--gate", &tollgate.gate],
        &token[..],
    ];
    let told = end(workshop.bare(&arguments.concat())).await.with(0);
    assert!(told.contains("there already"), "{told}");

    // Of operators only an admin may make a token; and a wrong one is told from one that lacks.
    let body = json!({ "kind": "operator", "name": "v", "role": "viewer" });
    let viewer: Value = vendor
        .post("/v1/credentials", &body)
        .await
        .json()
        .await
        .unwrap();
    let mut command = workshop.tollgate(&tollgate, &["publish", "dist"]);
    command.env(
        "TOLLGATE_OPERATOR_TOKEN",
        viewer["secret"].as_str().unwrap(),
    );
    let ended = end(command).await;
    assert!(ended.stderr.contains("--publisher-token-file"), "{ended:?}");
    ended.with(4);
    pack(&workshop, "@acme/order", "1.0.1", &[]).await;
    let mut command = workshop.bare(&["publish", "dist", "--gate", &tollgate.gate]);
    command.env("TOLLGATE_PUBLISHER_TOKEN", vendor.sell("basic").await.token);
    let ended = end(command).await;
    assert!(
        ended.stderr.contains("only a publisher token may publish"),
        "{ended:?}"
    );
    ended.with(4);
}

async fn interrupted(workshop: &Workshop, tollgate: &Tollgate) -> Ended {
    // A gate that takes connections and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let mut command = workshop.tollgate(tollgate, &["publish", "dist", "--gate", &silent]);
    let child = command.spawn().unwrap();
    let _held = listener.accept().await.unwrap();
    let id = child.id().unwrap().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(killed.unwrap().success());
    child.wait_with_output().await.unwrap().into()
}

#[tokio::test]
async fn a_run_that_ends_early_leaves_no_token_behind() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    let workshop = Workshop::new();
    pack(&workshop, "@acme/order", "1.0.0", &[]).await;
    let ended = interrupted(&workshop, &tollgate).await;
    assert!(ended.stdout.contains("not sent"), "{ended:?}");
    assert!(ended.stderr.contains("error: interrupted"), "{ended:?}");
    ended.with(130);

    // Nobody listens there.
    let gate = ["publish", "dist", "--gate", "http://127.0.0.1:1"];
    let ended = workshop.run(&tollgate, &gate).await;
    assert!(ended.stderr.contains("cannot reach the gate"), "{ended:?}");
    ended.with(3);
    let made = publishers(&vendor).await;
    assert!(
        made.len() == 2 && made.iter().all(|one| one["revokedAt"].is_string()),
        "{made:?}"
    );
}

#[tokio::test]
async fn a_publishers_token_is_not_sent_in_clear_to_another_machine() {
    let workshop = Workshop::new();
    pack(&workshop, "@acme/order", "1.0.0", &[]).await;
    std::fs::write(workshop.path("token"), "tgp_secret").unwrap();
    let at = ["--gate", "http://npm.example.com"];
    let token = ["--publisher-token-file", "token"];
    let publish = workshop.bare(&[&["publish", "dist"][..], &at, &token].concat());
    let ended = end(publish).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--insecure"), "{ended:?}");
}
