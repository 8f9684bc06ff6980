//! The ring against a slow twin that lives through every second, and what gates rely on.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use activation_token::SigningKey;
use proptest::prelude::*;

use super::*;

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let key = |n| SigningKey::from_seed(&[n; 32]).unwrap().public().clone();
    (1..=40).map(key).collect()
});

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn ids(set: &KeySet) -> BTreeSet<String> {
    let ids = set.to_jwks().keys.into_iter();
    ids.map(|key| key.common.key_id.unwrap()).collect()
}

/// What an operator does, and how many seconds after the last time.
#[derive(Debug, Clone)]
enum Act {
    Rotate,
    /// Removes the key that was inserted so many keys ago.
    Remove(usize),
}

#[derive(Debug, Clone)]
struct Story {
    max_stale: i64,
    life: i64,
    leeway: i64,
    policy: KeyPolicy,
    acts: Vec<(i64, Act)>,
}

fn story(removals: u32) -> impl Strategy<Value = Story> {
    let act = prop_oneof![4 => Just(Act::Rotate), removals => (0_usize..4).prop_map(Act::Remove)];
    let acts = prop::collection::vec((0_i64..25, act), 0..12);
    (1_i64..15, 0_i64..4, 1_i64..15, 0_i64..4, acts).prop_map(
        |(max_stale, margin, life, leeway, acts)| Story {
            max_stale,
            life,
            leeway,
            policy: KeyPolicy {
                wait: seconds(max_stale + margin),
                keep: seconds(life + leeway),
            },
            acts,
        },
    )
}

/// The slow twin: a key as it lives through every second.
struct Lived {
    id: String,
    signs_from: i64,
    removed: bool,
    idle_since: Option<i64>,
    retired: bool,
}

/// All that was and came to be, second by second.
struct History {
    /// What the store held at each second.
    records: Vec<Vec<KeyRecord>>,
    /// What the twin says of each key then, in the order of insertion.
    lived: Vec<Vec<KeyState>>,
    /// The keys that had to sign at once, since nobody else could.
    hurried: BTreeSet<String>,
    /// The seconds in which a key was removed.
    removals: BTreeSet<i64>,
    /// When the last act was.
    quiet_from: i64,
}

impl History {
    fn ring(&self, second: i64, policy: KeyPolicy) -> KeyRing {
        let second = usize::try_from(second).unwrap();
        KeyRing::new(self.records[second].clone(), policy)
    }

    fn seconds(&self) -> std::ops::Range<i64> {
        0..i64::try_from(self.records.len()).unwrap()
    }
}

fn live(story: &Story) -> History {
    let mut history = History {
        records: Vec::new(),
        lived: Vec::new(),
        hurried: BTreeSet::new(),
        removals: BTreeSet::new(),
        quiet_from: story.acts.iter().map(|(after, _)| after).sum(),
    };
    let mut records: Vec<KeyRecord> = Vec::new();
    let mut twins: Vec<Lived> = Vec::new();
    let mut acts = story.acts.iter();
    let mut next = acts.next().map(|(after, act)| (*after, act));
    let keep = story.life + story.leeway;
    let end = history.quiet_from + story.max_stale + 2 * keep + 10;
    for now in 0..=end {
        let add = |records: &mut Vec<KeyRecord>, twins: &mut Vec<Lived>| {
            let ring = KeyRing::new(records.clone(), story.policy);
            if let Ok(record) = ring.add(KEYS[records.len()].clone(), at(now)) {
                twins.push(Lived {
                    id: record.id().to_owned(),
                    signs_from: record.signs_from.as_second(),
                    removed: false,
                    idle_since: None,
                    retired: false,
                });
                records.push(record);
            }
        };
        if now == 0 {
            add(&mut records, &mut twins);
            history.hurried.insert(records[0].id().to_owned());
        }
        while let Some((when, act)) = next
            && when == now
        {
            match act {
                Act::Rotate => add(&mut records, &mut twins),
                Act::Remove(ago) => {
                    let which = records.len().saturating_sub(1 + ago);
                    let ring = KeyRing::new(records.clone(), story.policy);
                    if let Some(removal) = ring.remove(records[which].id(), at(now)) {
                        history.removals.insert(now);
                        records[which].removed_at = Some(at(now));
                        twins[which].removed = true;
                        match removal {
                            Removal::SignerRemains => {}
                            Removal::PendingSigns(id) => {
                                let which = twins.iter().position(|k| k.id == id).unwrap();
                                records[which].signs_from = at(now);
                                twins[which].signs_from = now;
                                history.hurried.insert(id);
                            }
                            Removal::NewKeyNeeded => {
                                add(&mut records, &mut twins);
                                let new = records.last().unwrap();
                                history.hurried.insert(new.id().to_owned());
                            }
                        }
                    }
                }
            }
            next = acts.next().map(|(after, act)| (when + after, act));
        }
        let states = twin_second(&mut twins, now, keep);
        history.records.push(records.clone());
        history.lived.push(states);
    }
    history
}

/// One second in the life of all keys.
fn twin_second(twins: &mut [Lived], now: i64, keep: i64) -> Vec<KeyState> {
    let in_use: Vec<i64> = twins
        .iter()
        .filter(|k| k.signs_from <= now && !k.removed)
        .map(|k| k.signs_from)
        .collect();
    twins
        .iter_mut()
        .map(|key| {
            if key.removed {
                return KeyState::Removed;
            }
            if now < key.signs_from {
                return KeyState::Pending;
            }
            if !in_use.iter().any(|other| *other > key.signs_from) {
                if !key.retired {
                    key.idle_since = None;
                    return KeyState::Signing;
                }
            } else if now - *key.idle_since.get_or_insert(now) >= keep {
                key.retired = true;
            }
            if key.retired {
                KeyState::Retired
            } else {
                KeyState::Retiring
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn the_ring_agrees_with_a_twin_that_lives_every_second(story in story(2)) {
        let history = live(&story);
        for now in history.seconds() {
            let ring = history.ring(now, story.policy);
            let index = usize::try_from(now).unwrap();
            for (record, lived) in history.records[index].iter().zip(&history.lived[index]) {
                let status = ring.statuses(at(now)).find(|s| s.record.id() == record.id()).unwrap();
                prop_assert_eq!(status.state, *lived, "at {} of {:?}", now, history.records[index]);
            }
        }
    }

    #[test]
    fn exactly_one_key_signs_and_it_is_published(story in story(2)) {
        let history = live(&story);
        for now in history.seconds() {
            let ring = history.ring(now, story.policy);
            let signing = ring.statuses(at(now)).filter(|s| s.state == KeyState::Signing);
            let signing: Vec<&str> = signing.map(|s| s.record.id()).collect();
            prop_assert_eq!(signing.len(), 1);
            prop_assert_eq!(ring.signer(at(now)).unwrap().id(), signing[0]);
            prop_assert!(ids(&ring.published(at(now))).contains(signing[0]));
        }
    }

    /// The one step back is that of a retiring key whose newer one was removed just now.
    #[test]
    fn states_only_move_forward_and_a_removed_key_is_never_published_again(story in story(2)) {
        let history = live(&story);
        for now in history.seconds().skip(1) {
            let (before, after) = (history.ring(now - 1, story.policy), history.ring(now, story.policy));
            let published = ids(&after.published(at(now)));
            for old in before.statuses(at(now - 1)) {
                let new = after.statuses(at(now)).find(|s| s.record.id() == old.record.id()).unwrap();
                let steps_in = (old.state, new.state) == (KeyState::Retiring, KeyState::Signing)
                    && history.removals.contains(&now);
                prop_assert!(old.state as u8 <= new.state as u8 || steps_in, "{:?} {:?}", old, new);
                if old.state == KeyState::Removed {
                    prop_assert!(!published.contains(old.record.id()));
                }
            }
        }
    }

    /// A gate works from a view that is at most `max_stale` old. A token is accepted by every
    /// such gate until it is over, unless its key was removed. A key that had to sign at once is
    /// known to those gates whose view is not older than the key.
    #[test]
    fn a_good_token_is_accepted_by_every_open_gate_until_its_end(story in story(1)) {
        let history = live(&story);
        let published: Vec<BTreeSet<String>> = history
            .seconds()
            .map(|now| ids(&history.ring(now, story.policy).published(at(now))))
            .collect();
        let last = history.records.last().unwrap();
        for signed in history.seconds() {
            let ring = history.ring(signed, story.policy);
            let signer = ring.signer(at(signed)).unwrap();
            let record = last.iter().find(|r| r.id() == signer.id()).unwrap();
            let created = record.created_at.as_second();
            let hurried = history.hurried.contains(record.id());
            for used in signed..signed + story.life + story.leeway {
                if used >= history.seconds().end || record.is_removed(at(used)) {
                    break;
                }
                for view in (used - story.max_stale).max(0)..=used {
                    if hurried && view < created {
                        continue;
                    }
                    prop_assert!(
                        published[usize::try_from(view).unwrap()].contains(record.id()),
                        "signed at {}, used at {}, view of {}: {:?}", signed, used, view, record
                    );
                }
            }
        }
    }

    #[test]
    fn the_time_of_the_next_change_is_when_the_state_changes(story in story(2)) {
        let history = live(&story);
        let ring = history.ring(history.quiet_from, story.policy);
        let state = |id: &str, now: i64| {
            ring.statuses(at(now)).find(|s| s.record.id() == id).unwrap().state
        };
        let end = history.seconds().end;
        for now in history.quiet_from..end {
            for status in ring.statuses(at(now)) {
                let changes = status.changes_at.map_or(end, Timestamp::as_second);
                prop_assert!(changes > now);
                for then in now..changes.min(end) {
                    prop_assert_eq!(state(status.record.id(), then), status.state);
                }
                if changes < end {
                    prop_assert_ne!(state(status.record.id(), changes), status.state);
                }
            }
            let first = ring.statuses(at(now)).filter_map(|s| s.changes_at).min();
            prop_assert_eq!(ring.next_change(at(now)), first);
        }
    }
}

fn record(key: usize, created: i64, signs_from: i64) -> KeyRecord {
    KeyRecord {
        key: KEYS[key].clone(),
        created_at: at(created),
        signs_from: at(signs_from),
        removed_at: None,
    }
}

fn policy() -> KeyPolicy {
    KeyPolicy::new(seconds(900), seconds(86_400))
}

fn ring(records: &[KeyRecord]) -> KeyRing {
    KeyRing::new(records.to_vec(), policy())
}

#[test]
fn the_wait_outlasts_the_gates_and_the_caches_and_what_was_signed_stays_known() {
    assert_eq!(policy().wait(), seconds(960));
    assert_eq!(policy().keep(), seconds(86_460));
    let brisk = KeyPolicy::new(seconds(60), seconds(3600));
    assert_eq!(brisk.wait(), seconds(360));
}

#[test]
fn the_first_key_signs_at_once_and_the_next_one_waits() {
    let first = ring(&[]).add(KEYS[0].clone(), at(5)).unwrap();
    assert_eq!(first.signs_from, at(5));
    let one = ring(std::slice::from_ref(&first));
    let second = one.add(KEYS[1].clone(), at(10)).unwrap();
    assert_eq!(second.signs_from, at(970));
    let both = ring(&[second, first]);
    assert_eq!(both.signer(at(969)).unwrap().id(), KEYS[0].id());
    assert_eq!(both.signer(at(970)).unwrap().id(), KEYS[1].id());
    assert_eq!(ids(&both.published(at(10))).len(), 2);
    assert_eq!(ids(&both.published(at(970 + 86_459))).len(), 2);
    assert_eq!(ids(&both.published(at(970 + 86_460))).len(), 1);
}

#[test]
fn a_key_is_used_once_and_one_rotation_is_under_way_at_a_time() {
    let mut records = vec![record(0, 0, 0), record(1, 10, 970)];
    let refused = |records: &[KeyRecord], key: usize, now| {
        ring(records).add(KEYS[key].clone(), at(now)).unwrap_err()
    };
    let signs_from = at(970);
    assert_eq!(
        refused(&records, 2, 20),
        RotationRefused::Pending { signs_from }
    );
    assert_eq!(refused(&records, 0, 1000), RotationRefused::Known);
    records[0].removed_at = Some(at(900));
    assert_eq!(refused(&records, 0, 1000), RotationRefused::Known);
    let many: Vec<KeyRecord> = (0..20).map(|n| record(n, 0, 0)).collect();
    assert_eq!(refused(&many, 20, 100), RotationRefused::TooMany);
}

#[test]
fn a_forced_removal_leaves_somebody_to_sign() {
    let remove =
        |records: &[KeyRecord], key: usize, now| ring(records).remove(KEYS[key].id(), at(now));
    let alone = [record(0, 0, 0)];
    assert_eq!(remove(&alone, 0, 10), Some(Removal::NewKeyNeeded));
    assert_eq!(remove(&alone, 1, 10), None);
    let rotating = [record(0, 0, 0), record(1, 10, 970)];
    let pending = Removal::PendingSigns(KEYS[1].id().to_owned());
    assert_eq!(remove(&rotating, 0, 20), Some(pending));
    assert_eq!(remove(&rotating, 1, 20), Some(Removal::SignerRemains));
    // The retiring key is known to every gate and steps in; a retired one cannot.
    assert_eq!(remove(&rotating, 1, 1000), Some(Removal::SignerRemains));
    assert_eq!(
        remove(&rotating, 1, 970 + 86_460),
        Some(Removal::SignerRemains)
    );
    assert_eq!(
        remove(&rotating, 1, 970 + 86_461),
        Some(Removal::NewKeyNeeded)
    );
    let mut removed = rotating.to_vec();
    removed[1].removed_at = Some(at(20));
    assert_eq!(remove(&removed, 1, 30), None);
    assert_eq!(remove(&removed, 0, 30), Some(Removal::NewKeyNeeded));
    removed[0].removed_at = Some(at(30));
    assert!(ring(&removed).signer(at(30)).is_none());
    assert_eq!(ids(&ring(&removed).published(at(30))), BTreeSet::new());
    let new = ring(&removed).add(KEYS[2].clone(), at(30)).unwrap();
    assert_eq!(new.signs_from, at(30));
}

#[test]
fn rotation_is_due_by_the_newest_key_and_never_while_one_is_pending() {
    let every = seconds(1000);
    let next = |records: &[KeyRecord], now| ring(records).next_rotation(every, at(now));
    assert_eq!(next(&[], 0), None);
    let mut records = vec![record(0, 0, 0)];
    assert_eq!(next(&records, 5000), Some(at(1000)));
    records.push(record(1, 1100, 2060));
    assert_eq!(next(&records, 2059), None);
    assert_eq!(next(&records, 2060), Some(at(2100)));
    // Without it, the old key is as old as it is.
    records[1].removed_at = Some(at(2070));
    assert_eq!(next(&records, 2070), Some(at(1000)));
}
