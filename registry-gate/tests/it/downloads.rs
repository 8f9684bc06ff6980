//! Downloads: which answers count, and that they are told whatever happens.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use activation_token::downloads::{DownloadBatch, DownloadRecord};
use axum::body::Body;
use http::Method;
use registry_gate::{DownloadKeeper, DownloadSink, Downloads, GateConfig, NotTaken};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::world::{World, get, publisher_token, request};

const TARBALL: &str = "/@acme/order/-/order-1.0.0.tgz";

/// What a control plane says to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Taken,
    /// Taken, but nobody hears of it.
    TakenUnheard,
    Never,
}

/// A control plane that remembers all that it was sent.
#[derive(Clone)]
struct Plane {
    says: Arc<Mutex<Says>>,
    batches: watch::Sender<Vec<DownloadBatch>>,
}

impl Plane {
    fn that(says: Says) -> Self {
        let says = Arc::new(Mutex::new(says));
        let batches = watch::Sender::new(Vec::new());
        Self { says, batches }
    }

    fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// Waits until so many batches came.
    async fn until(&self, enough: usize) -> Vec<DownloadBatch> {
        let mut batches = self.batches.subscribe();
        let waited = batches.wait_for(|batches| batches.len() >= enough);
        let waited = tokio::time::timeout(Duration::from_secs(20), waited).await;
        waited.unwrap().unwrap().clone()
    }

    /// Each batch once, as it is counted.
    fn counted(&self) -> Vec<DownloadRecord> {
        let mut batches = self.batches.borrow().clone();
        batches.sort_by(|one, other| one.batch_id.cmp(&other.batch_id));
        batches.dedup();
        let ids = batches.iter().map(|batch| &batch.batch_id);
        let ids: std::collections::BTreeSet<_> = ids.collect();
        assert_eq!(ids.len(), batches.len(), "one id, one content");
        batches
            .into_iter()
            .flat_map(|batch| batch.records)
            .collect()
    }
}

impl DownloadSink for Plane {
    async fn take(&self, batch: &DownloadBatch) -> Result<(), NotTaken> {
        let says = *self.says.lock().unwrap();
        self.batches
            .send_modify(|batches| batches.push(batch.clone()));
        match says {
            Says::Taken => Ok(()),
            Says::TakenUnheard => Err(NotTaken::Later("cut off".into())),
            Says::Never => Err(NotTaken::Never("not good".into())),
        }
    }
}

fn open(dir: &Path, seed: u8) -> (Downloads, DownloadKeeper) {
    let clock = activation_token::clock::SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap());
    Downloads::open(dir, [seed; 16], Arc::new(clock)).unwrap()
}

/// A gate with one release, whose downloads go to `dir`.
async fn set_up(dir: &Path, seed: u8) -> (World, DownloadKeeper) {
    let (downloads, keeper) = open(dir, seed);
    let world = World::with(|config: &mut GateConfig| config.downloads = Some(downloads));
    assert_eq!(world.publish("@acme/order", "1.0.0").await.status, 201);
    (world, keeper)
}

/// Keeps until the sender is dropped or used.
fn keep(keeper: DownloadKeeper, plane: &Plane) -> (JoinHandle<()>, oneshot::Sender<()>) {
    let (end, ended) = oneshot::channel();
    let ending = async {
        let _ = ended.await;
    };
    (tokio::spawn(keeper.keep(plane.clone(), ending)), end)
}

fn files(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir.join("0")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| name != "lock" && !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn pot_42_what_a_box_downloads_counts_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (world, keeper) = set_up(dir.path(), 1).await;
    let basic = world.basic();
    for _ in 0..3 {
        assert_eq!(world.get(TARBALL, &basic).await.status, 200);
    }
    let other = world.token(|claims| {
        claims.license_id = "lic_2".to_owned();
        claims.customer_id = "cus_2".to_owned();
    });
    let answer = world.get(TARBALL, &other).await;
    assert_eq!(answer.status, 200);
    // None of these is a download.
    let head = request(Method::HEAD, TARBALL, &basic).body(Body::empty());
    assert_eq!(world.call(head.unwrap()).await.status, 200);
    let mut known = get(TARBALL, &basic);
    let etag = answer.header("etag").parse().unwrap();
    known.headers_mut().insert("if-none-match", etag);
    assert_eq!(world.call(known).await.status, 304);
    assert_eq!(world.get(TARBALL, &publisher_token()).await.status, 200);
    assert_eq!(world.get(TARBALL, "").await.status, 401);
    let missing = "/@acme/order/-/order-2.0.0.tgz";
    assert_eq!(world.get(missing, &basic).await.status, 404);
    assert_eq!(world.get("/@acme%2forder", &basic).await.status, 200);

    let plane = Plane::that(Says::Taken);
    let (keeping, end) = keep(keeper, &plane);
    drop(end);
    keeping.await.unwrap();
    let record = |license: &str, customer: &str, count| DownloadRecord {
        license_id: license.to_owned(),
        customer_id: customer.to_owned(),
        package: "@acme/order".parse().unwrap(),
        version: "1.0.0".to_owned(),
        day: "2026-11-21".parse().unwrap(),
        count,
    };
    let expected = [record("lic_1", "cus_1", 3), record("lic_2", "cus_2", 1)];
    assert_eq!(plane.counted(), expected);
    assert!(files(dir.path()).is_empty());
}

#[tokio::test]
async fn what_was_not_heard_is_told_again_as_it_was_also_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let (world, keeper) = set_up(dir.path(), 1).await;
    let plane = Plane::that(Says::TakenUnheard);
    let (keeping, _end) = keep(keeper, &plane);
    assert_eq!(world.get(TARBALL, &world.basic()).await.status, 200);
    plane.until(2).await;
    // More comes while that one is under way.
    assert_eq!(world.get(TARBALL, &world.basic()).await.status, 200);
    let waited = async {
        while files(dir.path()).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited)
        .await
        .unwrap();
    // As a kill does.
    keeping.abort();
    let _ = keeping.await;
    let lock = std::fs::File::open(dir.path().join("0/lock")).unwrap();
    // What was being written is written to its end.
    lock.lock().unwrap();
    drop(lock);

    let (_, keeper) = open(dir.path(), 2);
    plane.says(Says::Taken);
    let (keeping, end) = keep(keeper, &plane);
    let seen = plane.batches.borrow().len();
    plane.until(seen + 2).await;
    drop(end);
    keeping.await.unwrap();
    let counted: u64 = plane.counted().iter().map(|record| record.count).sum();
    assert_eq!(counted, 2);
    assert!(files(dir.path()).is_empty());
}

#[tokio::test]
async fn what_is_refused_for_good_is_set_aside_and_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (world, keeper) = set_up(dir.path(), 1).await;
    let plane = Plane::that(Says::Never);
    let (keeping, end) = keep(keeper, &plane);
    assert_eq!(world.get(TARBALL, &world.basic()).await.status, 200);
    let first = plane.until(1).await;
    plane.says(Says::Taken);
    assert_eq!(world.get(TARBALL, &world.basic()).await.status, 200);
    let both = plane.until(2).await;
    assert_ne!(both[0].batch_id, both[1].batch_id);
    drop(end);
    keeping.await.unwrap();
    assert_eq!(files(dir.path()), ["refused.json"]);
    let aside = std::fs::read(dir.path().join("0/refused.json")).unwrap();
    let aside: DownloadBatch = serde_json::from_slice(&aside).unwrap();
    assert_eq!(aside, first[0]);
}

/// Of two gates that shared a directory, one alone is started again.
#[tokio::test]
async fn what_a_gate_left_behind_is_told_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let (_, first) = open(dir.path(), 1);
    let (world, second) = set_up(dir.path(), 2).await;
    let plane = Plane::that(Says::TakenUnheard);
    let (keeping, _end) = keep(second, &plane);
    assert_eq!(world.get(TARBALL, &world.basic()).await.status, 200);
    plane.until(1).await;
    keeping.abort();
    let _ = keeping.await;
    drop(first);
    let lock = std::fs::File::open(dir.path().join("1/lock")).unwrap();
    lock.lock().unwrap();
    drop(lock);

    let (_, third) = open(dir.path(), 3);
    plane.says(Says::Taken);
    let (keeping, end) = keep(third, &plane);
    let seen = plane.batches.borrow().len();
    plane.until(seen + 1).await;
    drop(end);
    keeping.await.unwrap();
    assert_eq!(plane.counted().len(), 1);
    assert!(!dir.path().join("1/1-1.json").exists());
}
