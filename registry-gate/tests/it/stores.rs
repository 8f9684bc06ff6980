//! What publishers change, on each kind of store: a directory and a bucket.

use axum::body::Body;
use http::{Method, Request};
use registry_gate::{GateConfig, StoreUrl};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use tempfile::TempDir;

use crate::bucket::{self, Bucket};
use crate::world::{
    Answer, World, document, document_of, package_json, publisher_token, request, sample, tarball,
};

/// Has a gate keep its packages in the bucket at an address.
fn keep_in(config: &mut GateConfig, address: &str) {
    config.store = Some("s3://acme/npm".parse::<StoreUrl>().unwrap());
    config.store_options = bucket::options(address).parse().unwrap();
}

/// A place for packages that gates can share.
enum Place {
    Dir(TempDir),
    Bucket(Bucket, String),
}

impl Place {
    async fn each() -> [Self; 2] {
        let (bucket, address) = Bucket::start().await;
        [
            Self::Dir(tempfile::tempdir().unwrap()),
            Self::Bucket(bucket, address),
        ]
    }

    fn gate(&self) -> World {
        World::with(|config| self.keep(config))
    }

    fn keep(&self, config: &mut GateConfig) {
        match self {
            Self::Dir(dir) => dir.path().clone_into(&mut config.store_dir),
            Self::Bucket(_, address) => keep_in(config, address),
        }
    }

    /// The files that lie there, by what their paths begin with.
    fn files(&self, prefix: &str) -> Vec<String> {
        match self {
            Self::Dir(dir) => {
                let mut files = Vec::new();
                let mut folders = vec![dir.path().join(prefix)];
                while let Some(folder) = folders.pop() {
                    for entry in std::fs::read_dir(folder).into_iter().flatten() {
                        let path = entry.unwrap().path();
                        if path.is_dir() {
                            folders.push(path);
                        } else {
                            files.push(path.to_str().unwrap().to_owned());
                        }
                    }
                }
                files
            }
            Self::Bucket(bucket, _) => {
                let content = bucket.content();
                let keys = content.objects.keys();
                let prefix = format!("npm/{prefix}/");
                keys.filter(|key| key.starts_with(&prefix))
                    .cloned()
                    .collect()
            }
        }
    }
}

fn change(method: Method, path: &str, body: &Value) -> Request<Body> {
    request(method, path, &publisher_token())
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn put(world: &World, path: &str, body: &Value) -> Answer {
    world.call(change(Method::PUT, path, body)).await
}

async fn delete(world: &World, path: &str) -> Answer {
    world.call(change(Method::DELETE, path, &Value::Null)).await
}

/// The package as npm reads it before it changes it.
async fn read(world: &World) -> Value {
    let answer = world
        .get("/@acme%2forder?write=true", &publisher_token())
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn tags(world: &World) -> Value {
    let path = "/-/package/@acme%2forder/dist-tags";
    world.get(path, &publisher_token()).await.json()
}

async fn with_versions(place: &Place, versions: &[&str]) -> World {
    let world = place.gate();
    for version in versions {
        let answer = world.publish("@acme/order", version).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    world
}

fn rev(document: &Value) -> &str {
    document["_rev"].as_str().unwrap()
}

#[tokio::test]
async fn a_publisher_moves_and_removes_dist_tags() {
    for place in Place::each().await {
        let world = with_versions(&place, &["1.0.0", "1.1.0"]).await;
        let next = "/-/package/@acme%2forder/dist-tags/next";
        assert_eq!(put(&world, next, &json!("1.0.0")).await.status, 201);
        assert_eq!(
            tags(&world).await,
            json!({ "latest": "1.1.0", "next": "1.0.0" })
        );
        let one = world.get(next, &world.basic()).await;
        assert_eq!(one.json(), "1.0.0");
        let latest = "/-/package/@acme%2forder/dist-tags/latest";
        let posted = world.call(change(Method::POST, latest, &json!("1.0.0")));
        assert_eq!(posted.await.status, 201);
        assert_eq!(delete(&world, next).await.status, 200);
        assert_eq!(tags(&world).await, json!({ "latest": "1.0.0" }));

        // The package's own members come from its latest release, and a later publish has its tag.
        assert_eq!(world.publish("@acme/order", "1.2.0").await.status, 201);
        assert_eq!(tags(&world).await["latest"], "1.2.0");

        assert!(delete(&world, latest).await.is(400, "latest_stays"));
        assert!(delete(&world, next).await.is(404, "release_not_found"));
        let unknown = put(&world, next, &json!("9.0.0")).await;
        assert!(unknown.is(404, "release_not_found"));
        for body in [
            json!(1),
            json!({}),
            json!("1"),
            json!("^1.0.0"),
            Value::Null,
        ] {
            let answer = put(&world, next, &body).await;
            assert!(answer.is(400, "tag_body_invalid"), "{body}: {answer:?}");
        }
        let none = put(
            &world,
            "/-/package/@acme/loyalty/dist-tags/next",
            &json!("1.0.0"),
        )
        .await;
        assert!(none.is(404, "not_published"));
    }
}

#[tokio::test]
async fn a_deprecation_is_shown_in_both_forms_until_it_is_lifted() {
    for place in Place::each().await {
        let world = with_versions(&place, &["1.0.0", "1.1.0"]).await;
        let mut document = read(&world).await;
        document["versions"]["1.0.0"]["deprecated"] = json!("use 1.1");
        // What else differs is not taken.
        document["versions"]["1.1.0"]["dependencies"] = json!({ "evil": "*" });
        document["versions"]["1.0.0"]["dist"]["tarball"] = json!("http://evil.example/x.tgz");
        document["maintainers"] = json!([{ "name": "me" }]);
        assert_eq!(put(&world, "/@acme%2forder", &document).await.status, 201);
        for accept in ["application/json", crate::world::NPM_ACCEPT] {
            let mut request = crate::world::get("/@acme/order", &world.basic());
            request
                .headers_mut()
                .insert("accept", accept.parse().unwrap());
            let shown = world.call(request).await.json();
            assert_eq!(shown["versions"]["1.0.0"]["deprecated"], "use 1.1");
            assert_eq!(shown["versions"]["1.1.0"]["deprecated"], Value::Null);
            assert!(!shown.to_string().contains("evil"), "{shown}");
        }
        let release = world.get("/@acme/order/1.0.0", &world.basic()).await;
        assert_eq!(release.json()["deprecated"], "use 1.1");

        // A document that is sent back as it was changes nothing.
        let same = read(&world).await;
        assert_eq!(put(&world, "/@acme%2forder", &same).await.status, 201);
        assert_eq!(read(&world).await, same);

        let mut lifted = same;
        lifted["versions"]["1.0.0"]["deprecated"] = json!("");
        assert_eq!(put(&world, "/@acme%2forder", &lifted).await.status, 201);
        let shown = read(&world).await;
        assert_eq!(shown["versions"]["1.0.0"].get("deprecated"), None);
    }
}

#[tokio::test]
async fn an_amended_document_must_be_one_that_was_read() {
    let [place, _] = Place::each().await;
    let world = with_versions(&place, &["1.0.0"]).await;
    let good = read(&world).await;
    let with = |change: fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        document
    };
    let cases = [
        (with(|d| d["_rev"] = json!("1-0")), 409, "revision_conflict"),
        (with(|d| d["_rev"] = Value::Null), 400, "revision_missing"),
        (
            with(|d| d["name"] = json!("@acme/x")),
            400,
            "publication_invalid",
        ),
        // Owners and stars.
        (
            json!({ "_id": "@acme/order", "_rev": rev(&good), "users": {} }),
            400,
            "publication_invalid",
        ),
        (
            with(|d| d["versions"]["2.0.0"] = json!({})),
            400,
            "publication_invalid",
        ),
        (
            with(|d| d["versions"]["x"] = json!({})),
            400,
            "publication_invalid",
        ),
        (
            with(|d| d["dist-tags"]["next"] = json!("2.0.0")),
            400,
            "publication_invalid",
        ),
        (
            with(|d| d["dist-tags"]["1.x"] = json!("1.0.0")),
            400,
            "publication_invalid",
        ),
        (
            with(|d| d["versions"]["1.0.0"]["deprecated"] = json!("x".repeat(5000))),
            400,
            "publication_invalid",
        ),
    ];
    for (document, status, code) in cases {
        let answer = put(&world, "/@acme%2forder", &document).await;
        assert!(answer.is(status, code), "{answer:?}");
    }
    let stars = put(&world, "/@acme%2forder", &json!({ "users": {} })).await;
    assert!(
        stars.error().contains("owners and stars"),
        "{}",
        stars.error()
    );
    let none = put(
        &world,
        "/@acme%2floyalty",
        &with(|d| d["name"] = json!("@acme/loyalty")),
    )
    .await;
    assert!(none.is(404, "not_published"), "{none:?}");
    assert_eq!(read(&world).await, good);
}

#[tokio::test]
async fn an_unpublished_version_is_gone_for_good_and_frees_its_bytes() {
    for place in Place::each().await {
        let world = with_versions(&place, &["1.0.0", "1.1.0", "2.0.0-rc.1"]).await;
        let other = place.gate();
        read(&other).await;
        let next = "/-/package/@acme%2forder/dist-tags/old";
        put(&world, next, &json!("1.1.0")).await;
        put(
            &world,
            "/-/package/@acme%2forder/dist-tags/latest",
            &json!("1.1.0"),
        )
        .await;
        assert_eq!(place.files("blobs").len(), 3);

        // As npm does it.
        let mut document = read(&world).await;
        let stale = rev(&document).to_owned();
        document["versions"]
            .as_object_mut()
            .unwrap()
            .remove("1.1.0");
        document["dist-tags"].as_object_mut().unwrap().remove("old");
        document["dist-tags"]["latest"] = json!("2.0.0-rc.1");
        let path = format!("/@acme%2forder/-rev/{stale}");
        assert_eq!(put(&world, &path, &document).await.status, 200);
        assert!(
            put(&world, &path, &document)
                .await
                .is(409, "revision_conflict")
        );
        // The gate's rule: the highest stable version, whatever the client thinks.
        assert_eq!(tags(&world).await, json!({ "latest": "1.0.0" }));
        let file = "/@acme/order/-/order-1.1.0.tgz";
        let path = format!("{file}/-rev/{}", rev(&read(&world).await));
        assert_eq!(delete(&world, &path).await.status, 200);
        assert_eq!(place.files("blobs").len(), 2);

        // The other gate too comes to know, within its two seconds.
        other.clock.advance_seconds(2);
        for world in [&world, &other] {
            let gone = world.get(file, &world.basic()).await;
            assert!(gone.is(404, "release_not_found"), "{gone:?}");
            let gone = world.get("/@acme/order/1.1.0", &world.basic()).await;
            assert!(gone.is(404, "release_not_found"));
            let shown = world.get("/@acme/order", &world.basic()).await.json();
            assert_eq!(shown["versions"].as_object().unwrap().len(), 2);
            assert_eq!(shown["time"].get("1.1.0"), None);
            let again = world.publish("@acme/order", "1.1.0").await;
            assert!(again.is(409, "version_unpublished"), "{again:?}");
            assert_eq!(
                again.error(),
                "@acme/order 1.1.0 was unpublished; a version can never be published again"
            );
        }
        assert_eq!(place.files("blobs").len(), 2);
    }
}

#[tokio::test]
async fn a_tarball_that_another_gate_deleted_is_not_found() {
    for place in Place::each().await {
        let world = with_versions(&place, &["1.0.0", "1.1.0"]).await;
        let other = place.gate();
        other.get("/@acme/order", &other.basic()).await;
        let path = "/@acme/order/-/order-1.0.0.tgz";
        let deletion = format!("{path}/-rev/{}", rev(&read(&world).await));
        assert_eq!(delete(&world, &deletion).await.status, 200);
        // It has not heard of it yet.
        let gone = other.get(path, &other.basic()).await;
        assert!(gone.is(404, "release_not_found"), "{gone:?}");
    }
}

#[tokio::test]
async fn a_tarball_that_was_lost_is_a_fault_and_not_a_missing_release() {
    let place = Place::Dir(tempfile::tempdir().unwrap());
    let world = with_versions(&place, &["1.0.0", "1.1.0"]).await;
    let Place::Dir(dir) = &place else { return };
    std::fs::remove_dir_all(dir.path().join("blobs")).unwrap();
    let path = "/@acme/order/-/order-1.0.0.tgz";
    let lost = world.get(path, &world.basic()).await;
    assert!(lost.is(500, "internal"), "{lost:?}");
}

#[tokio::test]
async fn a_package_of_which_nothing_is_left_begins_anew_with_new_versions() {
    for place in Place::each().await {
        let world = with_versions(&place, &["1.0.0", "1.1.0"]).await;
        let wrong = delete(&world, "/@acme%2forder/-rev/1-0").await;
        assert!(wrong.is(409, "revision_conflict"), "{wrong:?}");
        let path = format!("/@acme%2forder/-rev/{}", rev(&read(&world).await));
        assert_eq!(delete(&world, &path).await.status, 200);
        assert!(place.files("blobs").is_empty());
        for path in [
            "/@acme/order",
            "/@acme/order/1.0.0",
            "/-/package/@acme/order/dist-tags",
        ] {
            let gone = world.get(path, &world.basic()).await;
            assert!(gone.is(404, "not_published"), "{gone:?}");
        }
        for again in [
            delete(&world, &path).await,
            put(
                &world,
                "/-/package/@acme/order/dist-tags/next",
                &json!("1.0.0"),
            )
            .await,
        ] {
            assert!(again.is(404, "not_published"), "{again:?}");
        }
        let again = world.publish("@acme/order", "1.0.0").await;
        assert!(again.is(409, "version_unpublished"));
        assert_eq!(world.publish("@acme/order", "1.0.1").await.status, 201);
        assert_eq!(tags(&world).await, json!({ "latest": "1.0.1" }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_gates_that_publish_one_version_at_once_exactly_one_wins_and_all_serve_its_bytes() {
    for place in Place::each().await {
        let worlds: Vec<World> = (0..6).map(|_| place.gate()).collect();
        let tarballs: Vec<Vec<u8>> = (0..6)
            .map(|number| {
                let json = package_json("@acme/order", "1.0.0").to_string();
                let text = format!("module.exports = {number};");
                tarball(&[
                    ("package/package.json", json.as_bytes()),
                    ("package/index.js", text.as_bytes()),
                ])
            })
            .collect();
        let publishes = worlds.iter().zip(&tarballs).map(|(world, tarball)| {
            let document = document_of("@acme/order", "1.0.0", tarball);
            let request = crate::world::put("@acme/order", &publisher_token(), &document);
            let router = world.gate.router();
            tokio::spawn(async move {
                let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
                Answer::read(response).await
            })
        });
        let publishes: Vec<_> = publishes.collect();
        let mut winners = Vec::new();
        for (publish, tarball) in publishes.into_iter().zip(&tarballs) {
            let answer = publish.await.unwrap();
            if answer.status == 201 {
                winners.push(tarball);
            } else {
                assert!(answer.is(409, "version_exists"), "{answer:?}");
            }
        }
        assert_eq!(winners.len(), 1);
        for world in &worlds {
            world.clock.advance_seconds(2);
            let served = world
                .get("/@acme/order/-/order-1.0.0.tgz", &world.basic())
                .await;
            assert_eq!(&&served.body, &winners[0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_is_lost_among_many_at_once() {
    for place in Place::each().await {
        let world = with_versions(&place, &["1.0.0"]).await;
        let gates: Vec<World> = (0..3).map(|_| place.gate()).collect();
        let mut asked = Vec::new();
        for number in 0..12 {
            let path = format!("/-/package/@acme%2forder/dist-tags/tag-{number}");
            let request = change(Method::PUT, &path, &json!("1.0.0"));
            let router = gates[number % 3].gate.router();
            asked.push(tokio::spawn(async move {
                tower::ServiceExt::oneshot(router, request)
                    .await
                    .unwrap()
                    .status()
            }));
        }
        for answer in asked {
            assert_eq!(answer.await.unwrap(), 201);
        }
        world.clock.advance_seconds(2);
        assert_eq!(tags(&world).await.as_object().unwrap().len(), 13);
        assert_eq!(place.files("packages/@acme/order/changes").len(), 12);
    }
}

#[tokio::test]
async fn a_large_tarball_comes_out_of_a_bucket_as_it_went_in_and_lists_have_pages() {
    let (bucket, address) = Bucket::start().await;
    let place = Place::Bucket(bucket.clone(), address);
    let world = place.gate();
    let noise = (0..50_000_u32).map(|number| Sha512::digest(number.to_be_bytes()));
    let noise: Vec<u8> = noise.flatten().collect();
    let json = package_json("@acme/order", "1.0.0").to_string();
    let large = tarball(&[
        ("package/package.json", json.as_bytes()),
        ("package/noise", &noise),
    ]);
    assert!(large.len() > 1_000_000);
    let answer = world
        .put("@acme/order", &document_of("@acme/order", "1.0.0", &large))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let served = world
        .get("/@acme/order/-/order-1.0.0.tgz", &world.basic())
        .await;
    assert!(served.body == large);
    for number in 1..10 {
        let version = format!("1.0.{number}");
        assert_eq!(world.publish("@acme/order", &version).await.status, 201);
    }
    let fresh = place.gate();
    bucket.content().pages = 0;
    let shown = read(&fresh).await;
    assert_eq!(shown["versions"].as_object().unwrap().len(), 10);
    assert_eq!(bucket.content().pages, 4);
    let small = fresh
        .get("/@acme/order/-/order-1.0.3.tgz", &fresh.basic())
        .await;
    assert_eq!(small.body, sample("@acme/order", "1.0.3"));
}

#[tokio::test]
async fn a_bucket_that_writes_over_what_is_there_is_not_published_to() {
    let (bucket, address) = Bucket::start().await;
    bucket.content().heedless = true;
    let world = World::with(|config| keep_in(config, &address));
    assert!(
        world
            .publish("@acme/order", "1.0.0")
            .await
            .is(500, "internal")
    );
    let paths: Vec<String> = bucket.content().objects.keys().cloned().collect();
    assert_eq!(paths, ["npm/creates-once"]);
}

#[tokio::test]
async fn a_publish_whose_answer_was_lost_is_no_conflict_with_itself() {
    let (bucket, address) = Bucket::start().await;
    let world = World::with(|config| keep_in(config, &address));
    assert_eq!(world.publish("@acme/order", "1.0.0").await.status, 201);
    // The client of the bucket tries again and is told that there is something.
    bucket.content().lost_answers = 2;
    assert_eq!(world.publish("@acme/order", "1.0.1").await.status, 201);
    bucket.content().lost_answers = 1;
    let tag = "/-/package/@acme%2forder/dist-tags/next";
    assert_eq!(put(&world, tag, &json!("1.0.0")).await.status, 201);
    let keys = bucket
        .content()
        .objects
        .keys()
        .filter(|key| key.contains("changes"))
        .count();
    assert_eq!(keys, 1);
}

#[tokio::test]
async fn only_publishers_change_packages_and_nothing_is_read_before_that_is_known() {
    let [place, _] = Place::each().await;
    let world = with_versions(&place, &["1.0.0"]).await;
    let rev = rev(&read(&world).await).to_owned();
    let routes = [
        (Method::PUT, "/@acme%2forder".to_owned()),
        (
            Method::PUT,
            "/-/package/@acme%2forder/dist-tags/next".to_owned(),
        ),
        (
            Method::POST,
            "/-/package/@acme%2forder/dist-tags/next".to_owned(),
        ),
        (
            Method::DELETE,
            "/-/package/@acme%2forder/dist-tags/next".to_owned(),
        ),
        (Method::PUT, format!("/@acme%2forder/-rev/{rev}")),
        (Method::DELETE, format!("/@acme%2forder/-rev/{rev}")),
        (
            Method::DELETE,
            format!("/@acme%2forder/-/order-1.0.0.tgz/-rev/{rev}"),
        ),
    ];
    for (method, path) in routes {
        for (token, status, code) in [
            ("", 401, "token_missing"),
            ("tgp_x", 401, "token_invalid"),
            (&*world.growth(), 403, "publisher_only"),
        ] {
            let request = request(method.clone(), &path, token);
            let answer = world
                .call(request.body(Body::from("no json")).unwrap())
                .await;
            assert!(answer.is(status, code), "{method} {path}: {answer:?}");
        }
        let outside = path.replace("@acme%2f", "@else%2f");
        let answer = world
            .call(change(method, &outside, &document("@else/order", "1.0.0")))
            .await;
        assert!(answer.is(404, "out_of_scope"), "{answer:?}");
    }
    assert_eq!(
        read(&world).await["dist-tags"],
        json!({ "latest": "1.0.0" })
    );
}
