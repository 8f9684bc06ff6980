//! Publishing: what is taken, what is refused, and what two publishers at once leave behind.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use crate::world::{
    World, document, document_of, gzip, package_json, publisher_token, request, sample, tarball,
};

#[tokio::test]
async fn the_latest_publish_that_carries_a_tag_has_it() {
    let world = World::new();
    let publish = async |version: &str, tag: &str| {
        let mut document = document("@acme/order", version);
        document["dist-tags"] = json!({ tag: version });
        assert_eq!(world.put("@acme/order", &document).await.status, 201);
        world.clock.advance_seconds(1);
        world
            .get("/-/package/@acme/order/dist-tags", &world.basic())
            .await
            .json()
    };
    // npm always expects `latest`.
    let tags = publish("2.0.0-rc.1", "next").await;
    assert_eq!(
        tags,
        json!({ "latest": "2.0.0-rc.1", "next": "2.0.0-rc.1" })
    );
    let tags = publish("1.0.0", "latest").await;
    assert_eq!(tags, json!({ "latest": "1.0.0", "next": "2.0.0-rc.1" }));
    publish("2.0.0", "latest").await;
    let tags = publish("1.0.1", "latest").await;
    assert_eq!(tags["latest"], "1.0.1");

    let token = world.basic();
    let versions: Vec<_> = ["latest", "next", "2.0.0"].into();
    for (selector, version) in versions.into_iter().zip(["1.0.1", "2.0.0-rc.1", "2.0.0"]) {
        let release = world.get(&format!("/@acme/order/{selector}"), &token).await;
        assert_eq!(release.json()["version"], version);
    }
}

#[tokio::test]
async fn a_document_without_tags_moves_none() {
    let world = World::new();
    let publish = async |version: &str, tags: Value| {
        let mut document = document("@acme/order", version);
        document["dist-tags"] = tags;
        assert_eq!(world.put("@acme/order", &document).await.status, 201);
        world.clock.advance_seconds(1);
        let path = "/-/package/@acme/order/dist-tags";
        world.get(path, &world.basic()).await.json()
    };
    // The only version is the latest one whatever it says.
    let tags = publish("1.0.0", json!({})).await;
    assert_eq!(tags, json!({ "latest": "1.0.0" }));
    let tags = publish("2.0.0", json!({})).await;
    assert_eq!(tags, json!({ "latest": "1.0.0" }));
}

#[tokio::test]
async fn a_document_that_its_tarball_does_not_bear_out_is_refused() {
    let world = World::new();
    let name = "@acme/order";
    let good = || document(name, "1.0.0");
    let change = |path: &str, value: Value| {
        let mut document = good();
        *document.pointer_mut(path).unwrap() = value;
        document
    };
    let of = |json: Value| {
        document_of(
            name,
            "1.0.0",
            &tarball(&[("package/package.json", json.to_string().as_bytes())]),
        )
    };
    let attachment = "/_attachments/@acme~1order-1.0.0.tgz";
    let mut two_versions = good();
    two_versions["versions"]["2.0.0"] = two_versions["versions"]["1.0.0"].clone();
    let mut no_hash = good();
    no_hash["versions"]["1.0.0"]["dist"] = json!({});
    let cases = [
        (json!([]), "not a publish document"),
        (json!({ "name": name }), "not a publish document"),
        (change("/name", json!("@acme/other")), "name in its address"),
        (
            change("/versions/1.0.0/name", json!("@acme/other")),
            "name in its address",
        ),
        (change("/versions", json!({})), "exactly one version"),
        (two_versions, "exactly one version"),
        (change("/_attachments", json!({})), "exactly one attachment"),
        (
            change("/versions/1.0.0/version", json!("1.0.1")),
            "strict semantic version",
        ),
        (document(name, "1.0"), "strict semantic version"),
        (document(name, "v1.0.0"), "strict semantic version"),
        (document(name, "1.0.0+build"), "strict semantic version"),
        (
            change("/dist-tags", json!({ "latest": "2.0.0" })),
            "dist-tag",
        ),
        (change("/dist-tags", json!({ "1.x": "1.0.0" })), "dist-tag"),
        (
            change("/dist-tags", json!({ "a/../b": "1.0.0" })),
            "dist-tag",
        ),
        (
            change(&format!("{attachment}/data"), json!("????")),
            "not base64",
        ),
        (
            change(&format!("{attachment}/length"), json!(1)),
            "not base64",
        ),
        (
            change("/versions/1.0.0/dist/integrity", json!("sha512-x")),
            "hashes",
        ),
        (change("/versions/1.0.0/dist/shasum", json!("00")), "hashes"),
        (no_hash, "hashes"),
        (document_of(name, "1.0.0", b"no archive"), "gzip"),
        (
            document_of(name, "1.0.0", &gzip(&[0; 1024])),
            "package/package.json",
        ),
        (of(json!([])), "package.json is not a JSON object"),
        (
            of(package_json("@acme/other", "1.0.0")),
            "another name or version",
        ),
        (of(package_json(name, "1.0.1")), "another name or version"),
        (of(json!({ "name": name })), "another name or version"),
    ];
    for (document, sentence) in cases {
        let answer = world.put(name, &document).await;
        assert!(answer.is(400, "publication_invalid"), "{answer:?}");
        assert!(
            answer.error().contains(sentence),
            "{sentence}: {}",
            answer.error()
        );
    }
    // Nothing of all this is there, and a sound document still is taken.
    assert!(
        world
            .get("/@acme/order", &world.basic())
            .await
            .is(404, "not_published")
    );
    assert_eq!(world.put(name, &good()).await.status, 201);
}

#[tokio::test]
async fn a_document_of_a_client_that_knows_only_sha_1_is_taken() {
    let world = World::new();
    let mut document = document("@acme/order", "1.0.0");
    document["versions"]["1.0.0"]["dist"]
        .as_object_mut()
        .unwrap()
        .remove("integrity");
    document.as_object_mut().unwrap().remove("dist-tags");
    assert_eq!(world.put("@acme/order", &document).await.status, 201);
    let release = world
        .get("/@acme/order/latest", &world.basic())
        .await
        .json();
    assert!(
        release["dist"]["integrity"]
            .as_str()
            .unwrap()
            .starts_with("sha512-")
    );
}

#[tokio::test]
async fn the_body_is_bounded_and_json() {
    let world = World::with(|config| config.publish_bytes_max = 100);
    let put = |kind: &str, body: String| {
        request(Method::PUT, "/@acme/order", &publisher_token())
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap()
    };
    let large = world.call(put("application/json", " ".repeat(101))).await;
    assert!(large.is(413, "body_too_large"));
    let fits = world
        .call(put("application/json; charset=utf-8", " ".repeat(100)))
        .await;
    assert!(fits.is(400, "publication_invalid"));
    for kind in ["text/plain", "application/jsonx", "", "multipart/form-data"] {
        let wrong = world.call(put(kind, "{}".to_owned())).await;
        assert!(wrong.is(415, "media_type_unsupported"), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_publish_one_version_exactly_one_wins() {
    let world = World::new();
    let tarballs: Vec<Vec<u8>> = (0..12)
        .map(|number| {
            let json = package_json("@acme/order", "1.0.0").to_string();
            let text = format!("module.exports = {number};");
            tarball(&[
                ("package/package.json", json.as_bytes()),
                ("package/index.js", text.as_bytes()),
            ])
        })
        .collect();
    let publish = |tarball: &Vec<u8>| {
        let document = document_of("@acme/order", "1.0.0", tarball);
        let request = crate::world::put("@acme/order", &publisher_token(), &document);
        let router = world.gate.router();
        tokio::spawn(async move {
            let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
            crate::world::Answer::read(response).await
        })
    };
    let asked: Vec<_> = tarballs.iter().map(publish).collect();
    let mut winners = Vec::new();
    for (answer, tarball) in asked.into_iter().zip(&tarballs) {
        let answer = answer.await.unwrap();
        if answer.status == 201 {
            winners.push(tarball);
        } else {
            assert!(answer.is(409, "version_exists"), "{answer:?}");
            assert_eq!(
                answer.error(),
                "cannot publish over the existing version of @acme/order"
            );
        }
    }
    let [winner] = &winners[..] else {
        panic!("{} winners", winners.len())
    };
    let served = world
        .get("/@acme/order/-/order-1.0.0.tgz", &world.basic())
        .await;
    assert_eq!(&&served.body, winner);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_seen_at_once() {
    let world = World::new();
    let token = world.basic();
    for number in 0..10 {
        // Somebody reads all the time, so that there is always a load in progress.
        let router = world.gate.router();
        let read = crate::world::get("/@acme/order", &token);
        let reader = tokio::spawn(tower::ServiceExt::oneshot(router, read));
        let version = format!("1.0.{number}");
        assert_eq!(world.publish("@acme/order", &version).await.status, 201);
        let seen = world.get("/@acme/order", &token).await.json();
        assert!(seen["versions"][&version].is_object(), "{version}");
        reader.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn gates_on_one_store_come_to_agree() {
    let one = World::new();
    let two = World::with(|config| config.store_dir = one.dir.path().to_owned());
    one.publish("@acme/order", "1.0.0").await;
    let versions = async || {
        let json = two.get("/@acme/order", &two.basic()).await.json();
        json["versions"].as_object().unwrap().len()
    };
    assert_eq!(versions().await, 1);
    one.publish("@acme/order", "1.0.1").await;
    // Whoever may send it back with a change gets the document of now.
    let shown = two.get("/@acme/order", &publisher_token()).await.json();
    assert_eq!(shown["versions"].as_object().unwrap().len(), 2);
    one.publish("@acme/order", "1.0.2").await;
    assert_eq!(versions().await, 2);
    two.clock.advance_seconds(2);
    assert_eq!(versions().await, 3);
    let etag = |answer: crate::world::Answer| answer.header("etag").to_owned();
    let [first, second] = [
        one.get("/@acme/order", &one.basic()).await,
        two.get("/@acme/order", &two.basic()).await,
    ];
    assert_eq!(etag(first), etag(second));
}

#[tokio::test]
async fn a_crash_before_the_release_leaves_nothing_and_a_fault_hides_its_reason() {
    let world = World::new();
    // A tarball without its release: what a crash in the middle leaves.
    world.publish("@acme/order", "1.0.0").await;
    let release = world
        .dir
        .path()
        .join("packages/@acme/order/versions/1.0.0.json");
    let record = std::fs::read(&release).unwrap();
    std::fs::remove_file(&release).unwrap();
    std::fs::write(release.with_extension("json#1"), "half a rel").unwrap();
    world.clock.advance_seconds(2);
    assert!(
        world
            .get("/@acme/order", &world.basic())
            .await
            .is(404, "not_published")
    );
    assert_eq!(world.publish("@acme/order", "1.0.0").await.status, 201);

    // Half a release: corruption is a fault.
    std::fs::write(&release, &record[..record.len() / 2]).unwrap();
    let fresh = World::with(|config| config.store_dir = world.dir.path().to_owned());
    let mut request = crate::world::get("/@acme/order", &fresh.basic());
    request
        .headers_mut()
        .insert("x-request-id", "abc-1".parse().unwrap());
    let answer = fresh.call(request).await;
    assert!(answer.is(500, "internal"), "{answer:?}");
    assert_eq!(answer.header("x-request-id"), "abc-1");
    assert_eq!(answer.json()["requestId"], "abc-1");
    let text = String::from_utf8(answer.body).unwrap();
    assert!(!text.contains("packages/"), "{text}");
    // Without an id of its own the request gets one; a strange one is not repeated.
    let mut request = crate::world::get("/@acme/order", &fresh.basic());
    request
        .headers_mut()
        .insert("x-request-id", "a b".parse().unwrap());
    let answer = fresh.call(request).await;
    assert!(answer.header("x-request-id").starts_with("gate-"));
}

#[tokio::test]
async fn a_version_again_is_refused_though_it_is_the_same() {
    let world = World::new();
    assert_eq!(world.publish("@acme/order", "1.0.0").await.status, 201);
    let again = world.publish("@acme/order", "1.0.0").await;
    assert!(again.is(409, "version_exists"));
    let token = world.basic();
    let served = world.get("/@acme/order/-/order-1.0.0.tgz", &token).await;
    assert_eq!(served.body, sample("@acme/order", "1.0.0"));
}
