//! Whatever happens to a process, each download is told under one id, and under no other.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn release(nth: u64) -> Release {
    Release {
        license_id: format!("lic_{nth}").into(),
        customer_id: "cus_1".into(),
        package: "@acme/order".parse().unwrap(),
        version: "1.0.0".into(),
    }
}

fn counts(of: &[(u64, u64)]) -> Counts {
    of.iter()
        .map(|&(nth, count)| (release(nth), count))
        .collect()
}

fn day() -> Date {
    "2026-11-21".parse().unwrap()
}

fn open(dir: &TempDir, seed: u8) -> Ledger {
    Ledger::open(dir.path(), [seed; 16]).unwrap()
}

fn files(dir: &TempDir) -> BTreeSet<String> {
    let files = fs::read_dir(dir.path().join("0")).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect()
}

/// A control plane: it takes each id once.
#[derive(Default)]
struct Plane {
    ids: BTreeMap<String, DownloadBatch>,
    sums: BTreeMap<String, u64>,
}

impl Plane {
    fn take(&mut self, batch: DownloadBatch) {
        assert!(batch.records.len() <= RECORDS_MAX);
        if let Some(before) = self.ids.get(&batch.batch_id) {
            assert_eq!(before, &batch, "one id has one content");
            return;
        }
        for record in &batch.records {
            assert!((1..=COUNT_MAX).contains(&record.count));
            *self.sums.entry(record.license_id.clone()).or_default() += record.count;
        }
        self.ids.insert(batch.batch_id.clone(), batch);
    }

    /// Takes all that there is.
    fn take_all(&mut self, ledger: &mut Ledger) {
        while let Some(next) = ledger.next().unwrap().0 {
            next.batches().for_each(|batch| self.take(batch));
            ledger.told(&next).unwrap();
        }
    }
}

#[test]
fn what_waits_is_folded_into_one_and_what_may_have_been_told_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir, 1);
    ledger.write(&counts(&[(1, 1)]), day()).unwrap();
    ledger.write(&counts(&[(1, 2), (2, 1)]), day()).unwrap();
    let first = ledger.next().unwrap().0.unwrap();
    assert_eq!(files(&dir), ["1-2.json".to_owned()].into());
    ledger.write(&counts(&[(1, 4)]), day()).unwrap();
    ledger.write(&counts(&[(1, 8)]), day()).unwrap();
    // Told in vain, also by the next process.
    let again = ledger.next().unwrap().0.unwrap();
    assert_eq!(first.whole, again.whole);
    drop(ledger);
    let mut ledger = open(&dir, 2);
    let again = ledger.next().unwrap().0.unwrap();
    assert_eq!(first.whole, again.whole);
    ledger.told(&again).unwrap();
    let second = ledger.next().unwrap().0.unwrap();
    assert_eq!(files(&dir), ["3-4.json".to_owned()].into());
    assert_eq!(second.whole.records.len(), 1);
    assert_eq!(second.whole.records[0].count, 12);
    assert_ne!(second.whole.batch_id, first.whole.batch_id);
    ledger.told(&second).unwrap();
    assert!(ledger.next().unwrap().0.is_none() && files(&dir).is_empty());
}

#[test]
fn many_files_become_one_while_nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir, 1);
    ledger.write(&counts(&[(1, 1)]), day()).unwrap();
    let _ = ledger.next().unwrap();
    for _ in 0..1000 {
        ledger.write(&counts(&[(1, 1), (2, 1)]), day()).unwrap();
        assert!(files(&dir).len() <= FILES_MAX + 1);
    }
    let mut plane = Plane::default();
    plane.take_all(&mut ledger);
    assert_eq!(
        plane.sums,
        [("lic_1".to_owned(), 1001), ("lic_2".to_owned(), 1000)].into()
    );
    assert_eq!(plane.ids.len(), 2);
}

#[test]
fn without_room_what_has_a_record_counts_on_and_the_rest_is_said_to_be_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir, 1);
    let many: Vec<(u64, u64)> = (0..KEPT_MAX as u64).map(|nth| (nth, 1)).collect();
    ledger.write(&counts(&many), day()).unwrap();
    ledger
        .write(&counts(&[(7, 1), (KEPT_MAX as u64, 3)]), day())
        .unwrap();
    let (next, lost) = ledger.next().unwrap();
    assert_eq!(lost, 3);
    let next = next.unwrap();
    let batches: Vec<_> = next.batches().collect();
    assert_eq!(batches.len(), KEPT_MAX / RECORDS_MAX);
    let ids: BTreeSet<_> = batches.iter().map(|batch| &batch.batch_id).collect();
    assert_eq!(ids.len(), batches.len());
    let mut plane = Plane::default();
    for batch in batches {
        plane.take(batch);
    }
    assert_eq!(plane.sums["lic_7"], 2);
    assert_eq!(plane.sums.len(), KEPT_MAX);
}

#[test]
fn a_count_beyond_what_a_record_may_say_stands_in_several() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir, 1);
    ledger
        .write(&counts(&[(1, 2 * COUNT_MAX + 5)]), day())
        .unwrap();
    ledger.write(&counts(&[(1, COUNT_MAX - 5)]), day()).unwrap();
    let mut plane = Plane::default();
    plane.take_all(&mut ledger);
    assert_eq!(plane.sums["lic_1"], 3 * COUNT_MAX);
}

#[test]
fn a_damaged_file_is_kept_aside_and_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir, 1);
    ledger.write(&counts(&[(1, 1)]), day()).unwrap();
    ledger.write(&counts(&[(2, 1)]), day()).unwrap();
    ledger.write(&counts(&[(3, 1)]), day()).unwrap();
    drop(ledger);
    for damaged in ["1-1", "2-2"] {
        fs::write(dir.path().join(format!("0/{damaged}.json")), "{").unwrap();
    }
    let mut plane = Plane::default();
    plane.take_all(&mut open(&dir, 2));
    assert_eq!(plane.sums, [("lic_3".to_owned(), 1)].into());
    assert_eq!(
        files(&dir),
        ["1-1.damaged".to_owned(), "2-2.damaged".to_owned()].into()
    );
}

#[test]
fn two_gates_share_a_directory_and_not_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = open(&dir, 1);
    let mut other = open(&dir, 2);
    one.write(&counts(&[(1, 1)]), day()).unwrap();
    other.write(&counts(&[(2, 1)]), day()).unwrap();
    assert_eq!(files(&dir), ["1-1.json".to_owned()].into());
    drop(one);
    // Whoever comes next takes up what was left.
    let next = open(&dir, 3).next().unwrap().0.unwrap();
    assert_eq!(&*next.whole.records[0].license_id, "lic_1");
}

/// What may happen to a ledger.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(u64, u64)>),
    /// Tell, and hear only so many of the answers.
    Tell {
        heard: bool,
    },
    /// End, and start anew.
    Restart,
    /// End in the middle of folding: so many of the files that were folded are still there.
    DieFolding {
        left: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..4_u64, 1..9_u64), 1..4).prop_map(Step::Write),
        2 => any::<bool>().prop_map(|heard| Step::Tell { heard }),
        1 => Just(Step::Restart),
        1 => (0..6_usize).prop_map(|left| Step::DieFolding { left }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_download_is_counted_once(steps in prop::collection::vec(step(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut seed, mut plane) = (0, Plane::default());
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        let mut ledger = open(&dir, seed);
        for step in steps {
            match step {
                Step::Write(some) => {
                    let counts = counts(&some);
                    for (release, count) in &counts {
                        *expected.entry(release.license_id.to_string()).or_default() += count;
                    }
                    ledger.write(&counts, day()).unwrap();
                }
                Step::Tell { heard } => {
                    if let Some(next) = ledger.next().unwrap().0 {
                        next.batches().for_each(|batch| plane.take(batch));
                        if heard {
                            ledger.told(&next).unwrap();
                        }
                    }
                }
                Step::Restart => {
                    drop(ledger);
                    seed += 1;
                    ledger = open(&dir, seed);
                }
                Step::DieFolding { left } => {
                    let before: Vec<_> = files(&dir)
                        .into_iter()
                        .map(|name| (fs::read(dir.path().join("0").join(&name)).unwrap(), name))
                        .collect();
                    ledger.fold().unwrap();
                    drop(ledger);
                    for (bytes, name) in before.into_iter().take(left) {
                        fs::write(dir.path().join("0").join(name), bytes).unwrap();
                    }
                    fs::write(dir.path().join("0/.9-9.json"), "{").unwrap();
                    seed += 1;
                    ledger = open(&dir, seed);
                }
            }
        }
        plane.take_all(&mut ledger);
        prop_assert_eq!(plane.sums, expected);
        prop_assert_eq!(files(&dir), BTreeSet::new());
    }
}
