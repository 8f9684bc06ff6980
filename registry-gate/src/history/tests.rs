//! The log against a slow twin that does each thing at once, as it happens.

use proptest::prelude::*;

use super::*;

/// The state as one who sees everything at once would keep it.
#[derive(Clone, Default)]
struct Twin {
    live: Vec<Version>,
    gone: Vec<Version>,
    tags: Vec<(Tag, Version)>,
    deprecated: Vec<(Version, String)>,
}

impl Twin {
    fn set(&mut self, tag: &Tag, version: &Version) {
        self.tags.retain(|(known, _)| known != tag);
        self.tags.push((tag.clone(), version.clone()));
    }

    fn keep_latest(&mut self) {
        if self.tags.iter().any(|(tag, _)| tag.as_str() == "latest") || self.live.is_empty() {
            return;
        }
        let mut by_rank = self.live.clone();
        by_rank.sort_by_key(|version| (version.pre.is_empty(), version.clone()));
        let highest = by_rank.pop().unwrap();
        self.set(&Tag::latest(), &highest);
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Publish(version, tags) => {
                self.live.push(version.clone());
                for tag in tags {
                    self.set(tag, version);
                }
            }
            Step::Change(deeds) => {
                for deed in deeds {
                    match deed {
                        Deed::MoveTag { tag, version } => self.set(tag, version),
                        Deed::RemoveTag { tag } => self.tags.retain(|(known, _)| known != tag),
                        Deed::Deprecate { version, text } => {
                            self.deprecated.retain(|(known, _)| known != version);
                            self.deprecated.push((version.clone(), text.clone()));
                        }
                        Deed::Unpublish { version } => {
                            self.live.retain(|known| known != version);
                            self.gone.push(version.clone());
                            self.tags.retain(|(_, to)| to != version);
                            self.deprecated.retain(|(known, _)| known != version);
                        }
                    }
                }
            }
        }
        self.keep_latest();
    }

    fn is(&self, state: &State) -> bool {
        self.live.iter().cloned().collect::<BTreeSet<_>>() == state.live
            && self.gone.iter().cloned().collect::<BTreeSet<_>>() == state.gone
            && self.tags.iter().cloned().collect::<BTreeMap<_, _>>() == state.tags
            && self.deprecated.iter().cloned().collect::<BTreeMap<_, _>>() == state.deprecated
    }
}

#[derive(Debug, Clone)]
enum Step {
    Publish(Version, Vec<Tag>),
    Change(Vec<Deed>),
}

/// What lies in the store.
#[derive(Clone, Default)]
struct Files {
    releases: Vec<(Version, Timestamp, Vec<Tag>)>,
    changes: Vec<Change>,
}

impl Files {
    /// What a gate makes of them that found the releases in some order.
    fn state(&self, turn: usize) -> State {
        let mut releases: Vec<_> = self
            .releases
            .iter()
            .map(|(version, at, tags)| Publish {
                version,
                at: *at,
                tags,
            })
            .collect();
        let len = releases.len().max(1);
        releases.rotate_left(turn % len);
        State::of(releases, &self.changes)
    }

    /// Writes what a gate decided that had seen a state and has this clock.
    fn write(&mut self, step: &Step, seen: &State, clock: Timestamp) {
        let at = next_time(clock, seen.modified);
        match step {
            Step::Publish(version, tags) => {
                self.releases.push((version.clone(), at, tags.clone()));
            }
            Step::Change(deeds) => self.changes.push(Change {
                at,
                by: "ci".to_owned(),
                attempt: String::new(),
                deeds: deeds.clone(),
            }),
        }
    }
}

/// What a gate could decide that sees this state; `None` if it would refuse.
fn decide(state: &State, what: u8, which: usize, tag: usize) -> Option<Step> {
    let tag = Tag::parse(["latest", "next", "old"][tag % 3]).unwrap();
    let live: Vec<_> = state.live.iter().cloned().collect();
    let one = || live.get(which % live.len().max(1)).cloned();
    match what {
        0 | 1 => {
            let text = ["1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0", "3.0.0-a", "0.1.0"];
            let version: Version = text[which % text.len()].parse().unwrap();
            let is_new = !state.live.contains(&version) && !state.gone.contains(&version);
            is_new.then(|| Step::Publish(version, if what == 0 { vec![tag] } else { vec![] }))
        }
        2 => Some(Step::Change(vec![Deed::MoveTag {
            tag,
            version: one()?,
        }])),
        3 => (tag.as_str() != "latest").then(|| Step::Change(vec![Deed::RemoveTag { tag }])),
        4 => Some(Step::Change(vec![Deed::Deprecate {
            version: one()?,
            text: "x".repeat(which % 2),
        }])),
        5 => Some(Step::Change(vec![Deed::Unpublish { version: one()? }])),
        _ => {
            let versions = live.iter().skip(which % 2).cloned();
            let deeds: Vec<_> = versions
                .map(|version| Deed::Unpublish { version })
                .collect();
            (!deeds.is_empty()).then_some(Step::Change(deeds))
        }
    }
}

/// What is decided, about which version and tag, at which gate, and after how many microseconds.
type Choice = (u8, usize, usize, usize, i64);

fn choices(len: usize) -> impl Strategy<Value = Vec<Choice>> {
    proptest::collection::vec(
        (0_u8..7, 0_usize..6, 0_usize..3, 0_usize..3, 0_i64..3),
        0..len,
    )
}

/// The clocks of three gates at a moment, wrong by so much.
fn clock(skews: [i64; 3], gate: usize, micros: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_micros(micros + skews[gate])
}

fn skews() -> impl Strategy<Value = [i64; 3]> {
    let skew = || prop_oneof![Just(0), -5_i64..5, -10_000_000_000_i64..10_000_000_000];
    [skew(), skew(), skew()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn whatever_the_clocks_say_each_thing_counts_after_what_was_there(
        skews in skews(),
        choices in choices(40),
    ) {
        let (mut files, mut twin, mut micros) = (Files::default(), Twin::default(), 0);
        for (what, which, tag, gate, pause) in choices {
            micros += pause;
            let seen = files.state(which);
            let Some(step) = decide(&seen, what, which, tag) else { continue };
            files.write(&step, &seen, clock(skews, gate, micros));
            twin.run(&step);
            let state = files.state(tag);
            prop_assert!(twin.is(&state), "{step:?} gave {state:?}");
            prop_assert!(state.modified > seen.modified);
        }
    }

    #[test]
    fn two_at_once_count_one_after_the_other(
        skews in skews(),
        before in choices(12),
        first in (0_u8..2, 0_usize..6, 0_usize..3),
        second in (0_u8..7, 0_usize..6, 0_usize..3),
    ) {
        let (mut files, mut twin) = (Files::default(), Twin::default());
        for (what, which, tag, gate, _) in before {
            let seen = files.state(0);
            let Some(step) = decide(&seen, what, which, tag) else { continue };
            files.write(&step, &seen, clock(skews, gate, 0));
            twin.run(&step);
        }
        // Both decide on what they see, then both write. Two changes would want one number, and
        // two publishes of one version one name, so there the second would decide again.
        let seen = files.state(0);
        let decided = (
            decide(&seen, first.0, first.1, first.2),
            decide(&seen, second.0, second.1, second.2),
        );
        let (Some(first), Some(second)) = decided else { return Ok(()) };
        if let (Step::Publish(one, _), Step::Publish(other, _)) = (&first, &second)
            && one == other
        {
            return Ok(());
        }
        files.write(&first, &seen, clock(skews, 0, 0));
        files.write(&second, &seen, clock(skews, 1, 0));
        let either = [[&first, &second], [&second, &first]].iter().any(|order| {
            let mut twin = twin.clone();
            for step in order {
                twin.run(step);
            }
            (0..3).all(|turn| twin.is(&files.state(turn)))
        });
        prop_assert!(either, "{first:?} and {second:?}");
    }
}

#[test]
fn a_change_is_written_as_it_is_read() {
    let change = Change {
        at: "2026-11-21T12:00:00Z".parse().unwrap(),
        by: "cred_1".to_owned(),
        attempt: "1-2".to_owned(),
        deeds: vec![
            Deed::MoveTag {
                tag: Tag::latest(),
                version: Version::new(1, 0, 0),
            },
            Deed::Unpublish {
                version: Version::new(1, 1, 0),
            },
        ],
    };
    let json = r#"{"at":"2026-11-21T12:00:00Z","by":"cred_1","attempt":"1-2","deeds":[{"deed":"moveTag","tag":"latest","version":"1.0.0"},{"deed":"unpublish","version":"1.1.0"}]}"#;
    assert_eq!(serde_json::to_string(&change).unwrap(), json);
    assert_eq!(serde_json::from_str::<Change>(json).unwrap(), change);
}

fn changed(at: Timestamp, deed: Deed) -> Change {
    let (by, attempt) = ("ci".to_owned(), String::new());
    let deeds = vec![deed];
    Change {
        at,
        by,
        attempt,
        deeds,
    }
}

#[test]
fn of_one_time_the_release_comes_first() {
    let at = clock([0; 3], 0, 0);
    let [old, new]: [Version; 2] = ["1.0.0", "2.0.0"].map(|text| text.parse().unwrap());
    let tags = [Tag::latest()];
    let publish = |version, at| Publish {
        version,
        at,
        tags: &tags,
    };
    let back = Deed::MoveTag {
        tag: Tag::latest(),
        version: old.clone(),
    };
    let before = at - SignedDuration::from_secs(1);
    let releases = vec![publish(&old, before), publish(&new, at)];
    let state = State::of(releases, &[changed(at, back)]);
    assert_eq!(state.tags[&Tag::latest()], old);
}

/// Nobody writes a release of a version that is gone. Should one turn up, it does not count.
#[test]
fn what_is_gone_stays_gone_whatever_time_a_release_tells() {
    let at = clock([0; 3], 0, 0);
    let version: Version = "1.0.0".parse().unwrap();
    let gone = Deed::Unpublish {
        version: version.clone(),
    };
    let late = Publish {
        version: &version,
        at: at + SignedDuration::from_secs(1),
        tags: &[],
    };
    let state = State::of(vec![late], &[changed(at, gone)]);
    assert!(state.live.is_empty() && state.tags.is_empty());
}
