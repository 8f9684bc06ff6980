//! The main job: a vendor publishes and sells, a box installs what its tier covers, with npm.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{COMMERCE, Npm, Tollgate, Vendor, tiers};

/// How many `npm publish` run at the same time.
const PUBLISHERS: usize = 4;

/// Publishes every package of the example manifest with npm, as their author would.
async fn publish_with_npm(tollgate: &Tollgate, vendor: &Vendor) -> usize {
    let secret = vendor.credential("publisher").await;
    let author = Npm::project("@acme", &tollgate.gate, Some(&secret));
    let tiers = tiers(COMMERCE);
    let packages: Vec<Value> = tiers
        .packages()
        .map(|package| {
            let dependencies: serde_json::Map<String, Value> =
                package.requires().map(|name| (name.to_string(), json!("^1.0.0"))).collect();
            json!({ "name": package.name(), "version": "1.0.0", "main": "index.js", "dependencies": dependencies })
        })
        .collect();
    for some in packages.chunks(PUBLISHERS) {
        let runs = some.iter().map(|package| {
            let dir = author.lay_out_package(package, &tollgate.gate);
            let author = &author;
            async move { author.run_in(&dir, &["publish"]).await }
        });
        for output in futures_util::future::join_all(runs).await {
            assert!(output.success, "{}", output.text);
        }
    }
    packages.len()
}

/// What npm must install for a package: the package and all that it requires.
fn closure(package: &str) -> BTreeSet<String> {
    let tiers = tiers(COMMERCE);
    let mut seen = BTreeSet::new();
    let mut waiting = vec![package.to_owned()];
    while let Some(name) = waiting.pop() {
        let requires = tiers
            .package(&name)
            .expect("a declared package")
            .requires()
            .map(ToString::to_string);
        waiting.extend(requires.collect::<Vec<_>>());
        seen.insert(name.clone());
        waiting.retain(|name| !seen.contains(name));
    }
    seen
}

#[tokio::test]
async fn pot_37_a_box_installs_exactly_what_its_tier_covers() {
    let tollgate = Tollgate::start(COMMERCE).await;
    let vendor = Vendor::of(&tollgate);
    let published = publish_with_npm(&tollgate, &vendor).await;
    assert!(published >= 60, "only {published} packages");

    // A basic box gets a basic leaf with its whole closure.
    let basic = vendor.sell("basic").await;
    let mut shop = Npm::project("@acme", &tollgate.gate, Some(&basic.token));
    shop.must(&["install", "@acme/order"]).await;
    let expected = closure("@acme/order");
    assert!(expected.len() > 2, "{expected:?} shows no dependency");
    assert_eq!(shop.installed("@acme"), expected);

    // The lockfile is good for a machine that has nothing yet.
    shop.clean();
    shop.must(&["ci"]).await;
    assert_eq!(shop.installed("@acme"), expected);

    // A growth package is refused by name and with the way out.
    let refusal = "@acme/loyalty is not in your tier basic; it comes with growth";
    let output = shop.run(&["install", "@acme/loyalty"]).await;
    assert!(
        !output.success && output.text.contains("E403"),
        "{}",
        output.text
    );
    assert!(output.text.contains(refusal), "{}", output.text);

    // So is its tarball (NPM-11), and a lockfile that leads straight to it.
    let url = format!("{}/@acme/loyalty/-/loyalty-1.0.0.tgz", tollgate.gate);
    let response = tests::people::client()
        .get(&url)
        .bearer_auth(&basic.token)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 403);
    let error = response.json::<Value>().await.unwrap()["error"].clone();
    assert!(error.as_str().unwrap().starts_with(refusal), "{error}");
    let growth = vendor.sell("growth").await;
    let mut grown = Npm::project("@acme", &tollgate.gate, Some(&growth.token));
    grown.must(&["install", "@acme/loyalty"]).await;
    assert!(grown.installed("@acme").contains("@acme/loyalty"));
    grown.clean();
    grown.point("@acme", &tollgate.gate, Some(&basic.token));
    let output = grown.run(&["ci"]).await;
    assert!(
        !output.success && output.text.contains("403"),
        "{}",
        output.text
    );

    // After the license is issued anew at growth, the same install works in the same project.
    let reissued = vendor.sell("growth").await;
    shop.point("@acme", &tollgate.gate, Some(&reissued.token));
    shop.must(&["install", "@acme/loyalty"]).await;
    let both: BTreeSet<String> = expected.union(&closure("@acme/loyalty")).cloned().collect();
    assert_eq!(shop.installed("@acme"), both);

    // POT-39, NPM-12.
    let whoami = shop
        .must(&["whoami", "--registry", &format!("{}/", tollgate.gate)])
        .await;
    assert!(whoami.text.contains("box-c-1"), "{}", whoami.text);
}

#[tokio::test]
async fn a_box_activates_with_its_own_command() {
    let tollgate = Tollgate::start(COMMERCE).await;
    let vendor = Vendor::of(&tollgate);
    vendor.publish_samples(COMMERCE).await;
    let key = vendor.issue("basic").await;

    let shop = Npm::empty();
    std::fs::write(shop.path(".npmrc"), "; ours\nfund=false\n").unwrap();
    let output = tests::process::command("box")
        .args(["activate", "--control-plane", &tollgate.control_plane])
        .env("BOX_LICENSE_KEY", &key)
        .current_dir(shop.dir())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.starts_with("activated: tier basic"),
        "{text}"
    );
    assert!(!text.contains(&key) && !text.contains("eyJ"), "{text}");
    let npmrc = std::fs::read_to_string(shop.path(".npmrc")).unwrap();
    assert!(
        npmrc.starts_with("; ours\nfund=false\n@acme:registry="),
        "{npmrc}"
    );
    shop.must(&["install", "@acme/order"]).await;
    assert_eq!(shop.installed("@acme"), closure("@acme/order"));
}
