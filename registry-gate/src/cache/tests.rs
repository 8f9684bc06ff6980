//! What is kept comes back as it was, or not at all, and never takes more room than it was given.

use activation_token::clock::SettableClock;
use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

struct Fixture {
    dir: TempDir,
    clock: Arc<SettableClock>,
}

impl Fixture {
    fn new() -> Self {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(SettableClock::at(now)),
        }
    }

    fn open(&self, bytes_max: u64) -> DiskCache {
        DiskCache::open(&self.root(), bytes_max, self.clock.clone()).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The files but the lock, with what they hold.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = fs::read_dir(self.root()).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let paths = paths.filter(|path| !path.ends_with(LOCK));
        paths
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }
}

const ROOM: u64 = 1 << 20;

fn key(bytes: &[u8]) -> Key {
    Key::Tarball(Registry::Upstream, Integrity::of(bytes).0)
}

fn keep(cache: &DiskCache, bytes: &[u8]) -> Held {
    let mut spool = cache.spool().unwrap();
    spool.write(bytes).unwrap();
    cache.keep(key(bytes), spool)
}

fn read(cache: &DiskCache, bytes: &[u8]) -> Option<Vec<u8>> {
    cache.get(&key(bytes)).map(|held| held.read().unwrap())
}

#[test]
fn what_is_kept_comes_back_after_a_restart() {
    let fixture = Fixture::new();
    let cache = fixture.open(ROOM);
    assert_eq!(read(&cache, b"one"), None);
    assert_eq!(keep(&cache, b"one").read().unwrap(), b"one");
    cache.store(Key::Document([1; 32]), &[b"a", b"b"]);
    cache.store(Key::Document([1; 32]), &[b"longer"]);
    let mut first = Some(cache);
    for restart in [false, true] {
        let cache = if restart {
            fixture.open(ROOM)
        } else {
            first.take().unwrap()
        };
        assert_eq!(read(&cache, b"one").unwrap(), b"one");
        let document = cache.get(&Key::Document([1; 32])).unwrap();
        assert_eq!(document.read().unwrap(), b"longer");
        assert_eq!(fixture.files().len(), 2);
    }
}

#[test]
fn a_file_that_was_cut_or_changed_is_dropped() {
    let fixture = Fixture::new();
    let cut = || fs::write(&fixture.files()[0].0, b"on").unwrap();
    let changed = || fs::write(&fixture.files()[0].0, b"onf").unwrap();
    let removed = || fs::remove_file(&fixture.files()[0].0).unwrap();
    // While the cache is open, lengths are looked at; what was changed while it was not is found
    // at its first use.
    let damages: [(&dyn Fn(), bool); 5] = [
        (&cut, true),
        (&removed, true),
        (&cut, false),
        (&changed, false),
        (&removed, false),
    ];
    for (damage, open) in damages {
        let cache = fixture.open(ROOM);
        keep(&cache, b"one");
        let cache = if open {
            damage();
            cache
        } else {
            drop(cache);
            damage();
            fixture.open(ROOM)
        };
        assert_eq!(read(&cache, b"one"), None);
        assert!(fixture.files().is_empty());
        assert_eq!(cache.index().bytes, 0);
        keep(&cache, b"one");
        assert_eq!(read(&cache, b"one").unwrap(), b"one");
    }
}

#[test]
fn the_least_recently_used_goes_first_over_a_restart_as_well() {
    let fixture = Fixture::new();
    let cache = fixture.open(3 * 4096);
    for name in [b"a", b"b", b"c"] {
        fixture.clock.advance_seconds(1);
        keep(&cache, name);
    }
    fixture.clock.advance_seconds(1);
    read(&cache, b"a").unwrap();
    keep(&cache, b"d");
    assert_eq!(read(&cache, b"b"), None);
    fixture.clock.advance_seconds(1);
    read(&cache, b"c").unwrap();
    drop(cache);
    // Used in this order: d, a, c, though d came last.
    fixture.clock.advance_seconds(1);
    let cache = fixture.open(3 * 4096);
    read(&cache, b"a").unwrap();
    drop(cache);
    let cache = fixture.open(2 * 4096);
    assert_eq!(fixture.files().len(), 2);
    assert_eq!(read(&cache, b"d"), None);
    assert!(read(&cache, b"a").is_some() && read(&cache, b"c").is_some());
}

#[test]
fn what_a_crash_left_goes_and_what_is_not_ours_stays() {
    let fixture = Fixture::new();
    drop(fixture.open(ROOM));
    fs::write(fixture.root().join("incoming-7"), b"half").unwrap();
    fs::write(fixture.root().join("notes.txt"), b"mine").unwrap();
    let cut = key(b"one").file_name(3);
    fs::write(fixture.root().join(cut), b"on").unwrap();
    let cache = fixture.open(ROOM);
    assert_eq!(fixture.files().len(), 1);
    drop(cache.spool().unwrap());
    assert_eq!(fixture.files()[0].1, b"mine");
}

#[test]
fn what_cannot_be_kept_can_still_be_read() {
    let fixture = Fixture::new();
    let cache = fixture.open(ROOM);
    // A file cannot take the place of a directory.
    fs::create_dir(fixture.root().join(key(b"one").file_name(3))).unwrap();
    assert_eq!(keep(&cache, b"one").read().unwrap(), b"one");
    assert_eq!(read(&cache, b"one"), None);
    for room in [0, 4095] {
        let fixture = Fixture::new();
        let cache = fixture.open(room);
        assert_eq!(keep(&cache, b"one").read().unwrap(), b"one");
        assert!(fixture.files().is_empty());
    }
}

#[test]
fn a_full_disk_costs_half_of_what_is_kept() {
    let fixture = Fixture::new();
    let cache = fixture.open(ROOM);
    for n in 0..10_u8 {
        keep(&cache, &[n]);
    }
    cache.make_room(&io::ErrorKind::PermissionDenied.into());
    assert_eq!(fixture.files().len(), 10);
    cache.make_room(&io::ErrorKind::StorageFull.into());
    assert_eq!(fixture.files().len(), 5);
    assert!(read(&cache, &[9]).is_some());
}

#[test]
fn gates_work_beside_each_other_and_never_in_one_directory() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.open(ROOM), fixture.open(ROOM));
    assert_ne!(first.dir, second.dir);
    keep(&first, b"one");
    assert_eq!(read(&second, b"one"), None);
    drop(first);
    assert!(read(&fixture.open(ROOM), b"one").is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is kept, used and dropped in whatever order: the sum is that of the files, within
    /// the room, and each file is what its name says.
    #[test]
    fn the_room_is_never_exceeded(
        steps in prop::collection::vec((0..3_u8, 0..12_u8, 0..3_usize), 1..60),
        blocks in 1..8_u64,
    ) {
        let fixture = Fixture::new();
        let mut cache = fixture.open(blocks * 4096);
        for (step, byte, length) in steps {
            let content = vec![byte; length * 4000 + 1];
            match step {
                0 => prop_assert!(keep(&cache, &content).read().unwrap() == content),
                1 => prop_assert!(read(&cache, &content).is_none_or(|read| read == content)),
                _ => {
                    drop(cache);
                    cache = fixture.open(blocks * 4096);
                }
            }
            let files = fixture.files();
            let sum: u64 = files.iter().map(|(_, content)| size(content.len() as u64)).sum();
            prop_assert_eq!(sum, cache.index().bytes);
            prop_assert!(sum <= blocks * 4096);
            for (path, content) in files {
                let name = key(&content).file_name(content.len() as u64);
                prop_assert_eq!(path.file_name().unwrap().to_str().unwrap(), name);
            }
        }
    }
}
