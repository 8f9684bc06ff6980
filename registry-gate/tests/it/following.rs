//! Following a control plane: what is trusted, what is kept, and how fast a change arrives.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use activation_token::SigningKey;
use activation_token::snapshot::{LicenseRevocation, RevokedBecause, Snapshot};
use jiff::SignedDuration;
use registry_gate::{FollowerConfig, FollowerError};
use tempfile::TempDir;

use crate::plane::{ALWAYS, NEVER, Plane, answered};
use crate::world::World;

const WHO: &str = "/-/whoami";

/// A gate that has heard nothing, a control plane that has something to say, and a place to
/// keep it.
async fn set_up() -> (World, Plane, TempDir) {
    let world = World::without_snapshot(|_| {});
    let plane = Plane::with(&world.snapshot()).await;
    (world, plane, tempfile::tempdir().unwrap())
}

/// The state after so many changes, of which the last revoked the world's license.
fn revoked(world: &World, sequence: u64) -> Snapshot {
    let mut snapshot = world.snapshot();
    snapshot.sequence = sequence;
    snapshot.revocations.licenses = vec![LicenseRevocation {
        id: "lic_1".to_owned(),
        issued_until: world.now(),
        why: RevokedBecause::Revoked,
    }];
    snapshot
}

fn at(world: &World, sequence: u64) -> Snapshot {
    let mut snapshot = world.snapshot();
    snapshot.sequence = sequence;
    snapshot
}

/// The same machine after a restart: the same time, nothing in memory.
fn restarted(world: &World) -> World {
    let again = World::without_snapshot(|_| {});
    let seconds = world.now().duration_since(again.now()).as_secs();
    again.clock.advance_seconds(seconds);
    again
}

async fn whoami(world: &World) -> (u16, String) {
    let answer = world.get(WHO, &world.basic()).await;
    let status = answer.status.as_u16();
    (
        status,
        if status == 200 {
            String::new()
        } else {
            answer.code()
        },
    )
}

/// What is logged while it lives, on this thread.
fn log() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Lines(Arc::clone(&lines)))
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn count(log: &Mutex<Vec<u8>>, sentence: &str) -> usize {
    String::from_utf8(log.lock().unwrap().clone())
        .unwrap()
        .matches(sentence)
        .count()
}

#[tokio::test]
async fn a_snapshot_is_fetched_once_and_renewed_in_time() {
    let (world, plane, dir) = set_up().await;
    plane.follow(&world, dir.path(), ALWAYS);
    // One whole answer, then "not modified" while it is young.
    plane.until(|counts| counts.snapshots >= 5).await;
    assert_eq!(plane.counts().full, 1);
    assert_eq!(world.get("/readyz", "").await.status, 200);
    // Half its life later it is fetched whole again, though nothing changed.
    world.clock.advance_seconds(450);
    plane.serve(&world.snapshot());
    plane.until(|counts| counts.full >= 2).await;
    plane.dealt_with().await;
    world.clock.advance_seconds(899);
    assert_eq!(world.get("/readyz", "").await.status, 200);
}

#[tokio::test]
async fn a_change_arrives_by_the_stream_without_the_timer() {
    let (world, plane, dir) = set_up().await;
    plane.follow(&world, dir.path(), NEVER);
    let token = world.basic();
    answered(&world, WHO, &token, 200).await;
    plane.until(|counts| counts.streams == 1).await;
    plane.serve(&revoked(&world, 8));
    plane.announce(8);
    answered(&world, WHO, &token, 403).await;
    // Nothing newer, nothing to fetch.
    let full = plane.counts().full;
    plane.announce(8);
    plane.announce(3);
    plane.serve(&at(&world, 9));
    plane.announce(9);
    answered(&world, WHO, &token, 200).await;
    assert_eq!(plane.counts().full, full + 1);
}

#[tokio::test]
async fn a_change_that_came_while_the_stream_was_cut_is_told_when_it_is_back() {
    let (world, plane, dir) = set_up().await;
    plane.follow(&world, dir.path(), NEVER);
    let token = world.basic();
    answered(&world, WHO, &token, 200).await;
    plane.until(|counts| counts.streams == 1).await;
    plane.streaming(false);
    plane.until(|counts| counts.streams >= 3).await;
    plane.serve(&revoked(&world, 8));
    plane.streaming(true);
    answered(&world, WHO, &token, 403).await;
}

#[tokio::test]
async fn without_a_stream_the_timer_goes_on() {
    let (world, plane, dir) = set_up().await;
    plane.streaming(false);
    plane.follow(&world, dir.path(), ALWAYS);
    let token = world.basic();
    answered(&world, WHO, &token, 200).await;
    plane.serve(&revoked(&world, 8));
    answered(&world, WHO, &token, 403).await;
}

#[tokio::test]
async fn a_silent_stream_is_a_broken_one() {
    let (world, plane, dir) = set_up().await;
    let follower = plane.follower(&world, dir.path(), |config| {
        config.every = NEVER;
        config.silence = Duration::from_millis(50);
    });
    tokio::spawn(follower.run());
    plane.until(|counts| counts.streams >= 3).await;
}

#[tokio::test]
async fn a_change_that_is_named_before_it_is_served_is_asked_for_again() {
    let (world, plane, dir) = set_up().await;
    plane.follow(&world, dir.path(), NEVER);
    let token = world.basic();
    answered(&world, WHO, &token, 200).await;
    plane.until(|counts| counts.streams == 1).await;
    let before = plane.counts().snapshots;
    plane.announce(8);
    plane.until(|counts| counts.snapshots >= before + 2).await;
    plane.serve(&revoked(&world, 8));
    answered(&world, WHO, &token, 403).await;
}

#[tokio::test]
async fn only_the_root_key_opens_the_gate() {
    let (log, _guard) = log();
    let (world, plane, dir) = set_up().await;
    plane.follow(&world, dir.path(), ALWAYS);
    answered(&world, WHO, &world.basic(), 200).await;

    let next = revoked(&world, 8);
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    let good = plane.root.sign_snapshot(&next).unwrap();
    let bad = other.sign_snapshot(&next).unwrap();
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = bad.rsplit_once('.').unwrap();
    for (text, sentence) in [
        (bad.clone(), "signed with another root key"),
        (
            format!("{signed}.{signature}"),
            "the signature does not fit",
        ),
        // The key of tokens signs no snapshots, and a token is none.
        (
            world.key.sign_snapshot(&next).unwrap(),
            "signed with another root key",
        ),
        (
            plane.root.sign(&world.claims()).unwrap(),
            "signed, but as something else",
        ),
        (
            serde_json::to_string(&next).unwrap(),
            "this is not a signed text",
        ),
    ] {
        plane.serve_text(8, text);
        plane.dealt_with().await;
        assert_eq!(whoami(&world).await.0, 200, "{sentence}");
        // Said when it began, and not at every attempt.
        assert!(count(&log, sentence) >= 1, "{sentence}");
        assert!(count(&log, "no snapshot from the control plane") <= 5);
    }
    // A snapshot is no token either.
    assert!(world.get(WHO, &good).await.is(401, "token_invalid"));
    plane.serve_text(8, good);
    answered(&world, WHO, &world.basic(), 403).await;
    plane.dealt_with().await;
    assert_eq!(count(&log, "it is over: no snapshot"), 1);
}

#[tokio::test]
async fn the_first_root_key_is_kept_and_no_other_counts_afterwards() {
    let (world, plane, dir) = set_up().await;
    let running = plane.follow(&world, dir.path(), ALWAYS);
    answered(&world, WHO, &world.basic(), 200).await;
    running.abort();

    // Somebody else answers after the restart, with a key and a snapshot that fit each other.
    let again = restarted(&world);
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    plane.name_root_key(&other);
    plane.serve_text(8, other.sign_snapshot(&revoked(&again, 8)).unwrap());
    let running = plane.follow(&again, dir.path(), ALWAYS);
    plane.dealt_with().await;
    assert_eq!(whoami(&again).await.0, 200);
    assert_eq!(plane.counts().root_keys, 1);
    running.abort();

    // Unless the operator says so.
    let follower = plane.follower(&again, dir.path(), |config| {
        config.root_key = Some(other.public().clone());
    });
    tokio::spawn(follower.run());
    answered(&again, WHO, &again.basic(), 403).await;
    assert_eq!(plane.counts().root_keys, 1);
}

#[tokio::test]
async fn a_given_root_key_is_the_only_one_that_counts() {
    let (world, plane, dir) = set_up().await;
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    let follower = plane.follower(&world, dir.path(), |config| {
        config.root_key = Some(other.public().clone());
    });
    tokio::spawn(follower.run());
    plane.dealt_with().await;
    assert_eq!(whoami(&world).await, (503, "snapshot_missing".to_owned()));
    assert_eq!(plane.counts().root_keys, 0);
    plane.serve_text(7, other.sign_snapshot(&world.snapshot()).unwrap());
    answered(&world, WHO, &world.basic(), 200).await;
}

#[tokio::test]
async fn at_the_first_start_without_a_control_plane_everything_is_refused() {
    let (world, plane, dir) = set_up().await;
    plane.down(true);
    plane.follow(&world, dir.path(), ALWAYS);
    plane.until(|counts| counts.root_keys >= 3).await;
    for path in ["/@acme/order", WHO, "/readyz"] {
        let answer = world.get(path, &world.basic()).await;
        assert!(answer.is(503, "snapshot_missing"), "{path}");
    }
    plane.down(false);
    answered(&world, "/readyz", "", 200).await;
}

#[tokio::test]
async fn the_kept_snapshot_opens_the_gate_while_it_is_fresh() {
    let (world, plane, dir) = set_up().await;
    let running = plane.follow(&world, dir.path(), ALWAYS);
    answered(&world, WHO, &world.basic(), 200).await;
    plane.dealt_with().await;
    running.abort();
    plane.down(true);

    world.clock.advance_seconds(899);
    let again = restarted(&world);
    plane.follower(&again, dir.path(), |_| {});
    assert_eq!(whoami(&again).await.0, 200);
    assert_eq!(again.get("/readyz", "").await.status, 200);

    world.clock.advance_seconds(1);
    let again = restarted(&world);
    plane.follow(&again, dir.path(), ALWAYS);
    assert_eq!(whoami(&again).await, (503, "snapshot_stale".to_owned()));
    assert!(again.get("/readyz", "").await.is(503, "snapshot_stale"));
    plane.serve(&again.snapshot());
    plane.down(false);
    answered(&again, WHO, &again.basic(), 200).await;
}

#[tokio::test]
async fn an_older_snapshot_is_not_taken_even_after_a_restart() {
    let (world, plane, dir) = set_up().await;
    let replayed = world.snapshot();
    plane.serve(&revoked(&world, 9));
    let running = plane.follow(&world, dir.path(), ALWAYS);
    answered(&world, WHO, &world.basic(), 403).await;
    plane.dealt_with().await;
    running.abort();

    let again = restarted(&world);
    plane.serve(&replayed);
    let running = plane.follow(&again, dir.path(), ALWAYS);
    plane.dealt_with().await;
    assert_eq!(whoami(&again).await.1, "license_revoked");
    running.abort();

    // Nor when the kept one is stale, nor with a new date.
    world.clock.advance_seconds(1000);
    let again = restarted(&world);
    plane.serve(&at(&again, 8));
    plane.follow(&again, dir.path(), ALWAYS);
    plane.dealt_with().await;
    assert_eq!(whoami(&again).await.1, "snapshot_stale");
    let mut earlier = at(&again, 9);
    earlier.issued_at = replayed.issued_at - SignedDuration::from_secs(1);
    plane.serve(&earlier);
    plane.dealt_with().await;
    assert_eq!(whoami(&again).await.1, "snapshot_stale");
    plane.serve(&at(&again, 9));
    answered(&again, WHO, &again.basic(), 200).await;
}

#[tokio::test]
async fn a_kept_snapshot_of_a_day_that_is_not_here_yet_is_a_floor_all_the_same() {
    let (world, plane, dir) = set_up().await;
    let running = plane.follow(&world, dir.path(), ALWAYS);
    answered(&world, WHO, &world.basic(), 200).await;
    plane.dealt_with().await;
    running.abort();

    // The machine's clock starts far behind.
    let again = restarted(&world);
    again.clock.advance_seconds(-1000);
    plane.serve(&at(&again, 6));
    plane.follow(&again, dir.path(), ALWAYS);
    plane.dealt_with().await;
    assert_eq!(whoami(&again).await.1, "snapshot_missing");
    plane.serve(&at(&again, 8));
    answered(&again, WHO, &again.basic(), 200).await;
}

#[tokio::test]
async fn a_kept_snapshot_that_was_changed_does_not_count() {
    let (world, plane, dir) = set_up().await;
    let running = plane.follow(&world, dir.path(), ALWAYS);
    answered(&world, WHO, &world.basic(), 200).await;
    plane.dealt_with().await;
    running.abort();
    plane.down(true);
    let file = kept_snapshot(dir.path());
    let text = std::fs::read_to_string(&file).unwrap();
    for changed in [
        String::new(),
        text[..text.len() / 2].to_owned(),
        text.replacen("ey", "fy", 1),
        SigningKey::from_seed(&[8; 32])
            .unwrap()
            .sign_snapshot(&world.snapshot())
            .unwrap(),
    ] {
        std::fs::write(&file, changed).unwrap();
        let again = restarted(&world);
        plane.follower(&again, dir.path(), |_| {});
        assert_eq!(whoami(&again).await.1, "snapshot_missing");
    }
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    let again = restarted(&world);
    plane.follow(&again, dir.path(), ALWAYS);
    plane.down(false);
    answered(&again, WHO, &again.basic(), 200).await;
}

fn kept_snapshot(dir: &Path) -> std::path::PathBuf {
    dir.join("snapshot.jws")
}

#[tokio::test]
async fn half_its_life_without_renewal_is_told_once() {
    const SENTENCE: &str = "the snapshot has passed half its life";
    let (log, _guard) = log();
    let (world, plane, dir) = set_up().await;
    plane.follow(&world, dir.path(), ALWAYS);
    answered(&world, WHO, &world.basic(), 200).await;
    plane.down(true);
    world.clock.advance_seconds(449);
    plane.dealt_with().await;
    assert_eq!(count(&log, SENTENCE), 0);
    world.clock.advance_seconds(1);
    plane.dealt_with().await;
    plane.dealt_with().await;
    assert_eq!(count(&log, SENTENCE), 1);
    // Renewed, and half-way again.
    plane.serve(&at(&world, 8));
    plane.down(false);
    plane.dealt_with().await;
    plane.down(true);
    world.clock.advance_seconds(450);
    plane.dealt_with().await;
    assert_eq!(count(&log, SENTENCE), 2);
}

#[tokio::test]
async fn a_follower_says_what_it_cannot_work_with() {
    let (world, _, dir) = set_up().await;
    let open = |url: &str, token: &str| {
        let config = FollowerConfig::new(url.parse().unwrap(), token.into(), dir.path());
        let opened =
            registry_gate::Follower::open(config, world.clock.clone(), world.sender.clone());
        opened.err().unwrap()
    };
    assert!(matches!(open("ftp://x", "t"), FollowerError::Url));
    assert!(matches!(open("http://x?y", "t"), FollowerError::Url));
    assert!(matches!(open("http://x", "\n"), FollowerError::Token));
    std::fs::write(dir.path().join("root-key.json"), "{}").unwrap();
    assert!(matches!(open("http://x", "t"), FollowerError::Kept(_)));
}
