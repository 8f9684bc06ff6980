//! What is kept of the registry behind the gate: one request for all who wait, old states while it
//! is asked, and all of it over a restart.

use std::path::PathBuf;
use std::sync::Arc;

use registry_gate::UpstreamConfig;
use serde_json::json;
use tower::ServiceExt;

use crate::raw::{Raw, Reply, answer, ok};
use crate::upstream::{integrity, until};
use crate::world::{Answer, World, get};

const DOCUMENT: &str = "/@acme%2Forder";
const TARBALL: &str = "/@acme/order/-/order-1.0.0.tgz";
/// Too large for the memory of small tarballs.
const LARGE: usize = 700_000;

struct Fixture {
    raw: Arc<Raw>,
    url: String,
    dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let (raw, address) = Raw::start().await;
        let fixture = Self {
            raw,
            url: format!("http://{address}"),
            dir: tempfile::tempdir().unwrap(),
        };
        fixture.tell("one");
        fixture.raw.set(TARBALL, Reply::Bytes(ok(&tarball())));
        fixture
    }

    /// The registry's document, with a text to know it by.
    fn tell(&self, text: &str) {
        self.tell_of(text, &tarball());
    }

    /// The same, of other bytes.
    fn tell_of(&self, text: &str, tarball: &[u8]) {
        let release = json!({
            "name": "@acme/order",
            "version": "1.0.0",
            "dist": { "integrity": integrity(tarball) },
        });
        let document = json!({
            "name": "@acme/order",
            "readme": text,
            "dist-tags": { "latest": "1.0.0" },
            "versions": { "1.0.0": release },
        });
        let reply = answer("200 OK", &["etag: \"u1\""], document.to_string().as_bytes());
        self.raw.set(DOCUMENT, Reply::Bytes(reply));
    }

    /// A gate over the cache; another one after it is as after a restart.
    fn open(&self) -> World {
        self.open_with_room(1 << 30)
    }

    fn open_with_room(&self, cache_bytes_max: u64) -> World {
        World::with(|config| {
            config.upstream = Some(UpstreamConfig::new(self.url.parse().unwrap()));
            config.cache_dir = self.dir.path().join("cache");
            config.cache_bytes_max = cache_bytes_max;
        })
    }

    fn files(&self, start: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.dir.path().join("cache")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let named = |path: &PathBuf| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(start)
        };
        paths.filter(named).collect()
    }
}

fn tarball() -> Vec<u8> {
    (0..LARGE).map(|n| n.to_le_bytes()[1]).collect()
}

async fn readme(world: &World) -> String {
    let answer = world.get("/@acme/order", &world.basic()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["readme"].as_str().unwrap().to_owned()
}

async fn fetch(world: &World) -> Answer {
    world.get(TARBALL, &world.basic()).await
}

fn ask(world: &World) -> tokio::task::JoinHandle<Answer> {
    let (router, request) = (world.gate.router(), get(TARBALL, &world.basic()));
    tokio::spawn(async move { Answer::read(router.oneshot(request).await.unwrap()).await })
}

#[tokio::test]
async fn one_download_serves_all_who_wait_and_outlives_the_one_who_began_it() {
    let fixture = Fixture::new().await;
    let world = fixture.open();
    fixture.raw.set(TARBALL, Reply::Held(ok(&tarball())));
    let first = ask(&world);
    until(async || fixture.raw.count(TARBALL) == 1).await;
    let others: Vec<_> = (0..50).map(|_| ask(&world)).collect();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    fixture.raw.release();
    for other in others {
        let answer = other.await.unwrap();
        assert_eq!(answer.header("content-length"), LARGE.to_string());
        assert!(answer.body == tarball());
    }
    assert!(fetch(&world).await.body == tarball());
    assert_eq!(fixture.raw.count(TARBALL), 1);
    assert!(fixture.files("incoming").is_empty());
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_not_kept() {
    let fixture = Fixture::new().await;
    let world = fixture.open();
    readme(&world).await;
    fixture.raw.set(TARBALL, Reply::Held(ok(b"other bytes")));
    let asked: Vec<_> = (0..50).map(|_| ask(&world)).collect();
    until(async || fixture.raw.count(TARBALL) == 1).await;
    // Who comes too late to wait for the first asks again.
    for _ in 0..50 {
        fixture.raw.release();
    }
    for ask in asked {
        assert!(ask.await.unwrap().is(502, "upstream_integrity"));
    }
    fixture.raw.set(TARBALL, Reply::Bytes(ok(&tarball())));
    assert!(fetch(&world).await.body == tarball());
}

#[tokio::test]
async fn what_was_fetched_is_served_after_a_restart_with_the_registry_gone() {
    let fixture = Fixture::new().await;
    let world = fixture.open();
    assert_eq!(readme(&world).await, "one");
    assert!(fetch(&world).await.body == tarball());
    let before = world.get("/@acme/order", &world.basic()).await;
    drop(world);
    fixture.raw.stop().await;

    let world = fixture.open();
    let after = world.get("/@acme/order", &world.basic()).await;
    assert_eq!((after.status.as_u16(), after.body), (200, before.body));
    assert!(fetch(&world).await.body == tarball());
    let other = world.get("/@acme/product", &world.basic()).await;
    assert!(other.is(502, "upstream_failed"));
}

#[tokio::test]
async fn after_a_restart_the_registry_is_asked_by_the_etag_that_it_gave() {
    let fixture = Fixture::new().await;
    assert_eq!(readme(&fixture.open()).await, "one");
    let same = answer("304 Not Modified", &[], b"");
    fixture.raw.set(DOCUMENT, Reply::Bytes(same));
    assert_eq!(readme(&fixture.open()).await, "one");
    assert!(fixture.raw.asked()[1].contains("if-none-match: \"u1\"\r\n"));
}

#[tokio::test]
async fn a_release_whose_bytes_change_there_stays_as_it_was_seen_first() {
    let fixture = Fixture::new().await;
    assert_eq!(readme(&fixture.open()).await, "one");
    fixture.tell_of("two", b"other bytes");
    fixture.raw.set(TARBALL, Reply::Bytes(ok(b"other bytes")));
    for _ in 0..2 {
        // Each time as after a restart.
        let world = fixture.open();
        assert_eq!(readme(&world).await, "two");
        let document = world.get("/@acme/order", &world.basic()).await.json();
        let told = &document["versions"]["1.0.0"]["dist"]["integrity"];
        assert_eq!(*told, integrity(&tarball()));
        assert!(fetch(&world).await.is(502, "upstream_integrity"));
    }
    fixture.raw.set(TARBALL, Reply::Bytes(ok(&tarball())));
    assert!(fetch(&fixture.open()).await.body == tarball());
}

#[tokio::test]
async fn a_damaged_file_is_fetched_again() {
    let cut = &tarball()[..LARGE / 2];
    let other = vec![0; LARGE];
    // While a gate runs, it looks at lengths; after a restart at the bytes as well.
    let cases: [(bool, Option<&[u8]>); 5] = [
        (false, None),
        (false, Some(cut)),
        (true, None),
        (true, Some(cut)),
        (true, Some(&other)),
    ];
    for (restart, damage) in cases {
        let fixture = Fixture::new().await;
        let mut world = fixture.open();
        assert!(fetch(&world).await.body == tarball());
        let (file, document) = (&fixture.files("tarball")[0], &fixture.files("document")[0]);
        let length = std::fs::read(document).unwrap().len();
        std::fs::write(document, vec![b'x'; length]).unwrap();
        match damage {
            None => std::fs::remove_file(file).unwrap(),
            Some(bytes) => std::fs::write(file, bytes).unwrap(),
        }
        if restart {
            drop(world);
            world = fixture.open();
        }
        assert!(fetch(&world).await.body == tarball());
        assert_eq!(fixture.raw.count(TARBALL), 2);
    }
}

#[tokio::test]
async fn without_room_or_without_a_disk_nothing_wrong_is_served() {
    let fixture = Fixture::new().await;
    let world = fixture.open_with_room(0);
    for asked in 1..=2 {
        assert!(fetch(&world).await.body == tarball());
        assert_eq!(fixture.raw.count(TARBALL), asked);
    }
    assert!(fixture.files("tarball").is_empty() && fixture.files("incoming").is_empty());
    std::fs::remove_dir_all(fixture.dir.path().join("cache")).unwrap();
    let answer = fetch(&world).await;
    assert!(answer.is(500, "internal"), "{answer:?}");
    // Documents need no disk.
    world.clock.advance_seconds(600);
    fixture.tell("two");
    assert_eq!(readme(&world).await, "two");
}

#[tokio::test]
async fn an_old_state_is_served_while_it_is_asked_for_and_a_very_old_one_is_not() {
    let fixture = Fixture::new().await;
    let world = fixture.open();
    assert_eq!(readme(&world).await, "one");
    fixture.tell("two");
    world.clock.advance_seconds(59);
    assert_eq!(readme(&world).await, "one");
    assert_eq!(fixture.raw.count(DOCUMENT), 1);
    world.clock.advance_seconds(1);
    assert_eq!(readme(&world).await, "one");
    until(async || readme(&world).await == "two").await;
    assert_eq!(fixture.raw.count(DOCUMENT), 2);
    fixture.tell("three");
    world.clock.advance_seconds(300);
    assert_eq!(readme(&world).await, "three");
}

#[tokio::test]
async fn a_registry_that_failed_is_left_alone_for_a_while_and_nobody_waits_for_it() {
    let fixture = Fixture::new().await;
    let world = fixture.open();
    assert_eq!(readme(&world).await, "one");
    let failure = answer("500 No", &[], b"");
    fixture.raw.set(DOCUMENT, Reply::Bytes(failure));
    world.clock.advance_seconds(300);
    for _ in 0..10 {
        assert_eq!(readme(&world).await, "one");
    }
    assert_eq!(fixture.raw.count(DOCUMENT), 2);
    // It does not answer at all by now, and is asked beside.
    fixture.raw.set(DOCUMENT, Reply::Stall(Vec::new()));
    world.clock.advance_seconds(5);
    for _ in 0..10 {
        assert_eq!(readme(&world).await, "one");
    }
    until(async || fixture.raw.count(DOCUMENT) == 3).await;
}

#[tokio::test]
async fn that_there_is_no_package_is_remembered_for_seconds() {
    let fixture = Fixture::new().await;
    let world = fixture.open();
    let none = answer("404 No", &[], b"");
    fixture.raw.set(DOCUMENT, Reply::Bytes(none));
    let missing = async || {
        let answer = world.get("/@acme/order", &world.basic()).await;
        assert!(answer.is(404, "not_published"), "{answer:?}");
    };
    missing().await;
    fixture.tell("one");
    world.clock.advance_seconds(9);
    missing().await;
    world.clock.advance_seconds(1);
    assert_eq!(readme(&world).await, "one");
}
