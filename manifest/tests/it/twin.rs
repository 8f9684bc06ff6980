//! The compiler against a slow, obvious twin: generated manifests with cycles, unknown names and
//! shared console packages mean the same to both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use manifest::{Manifest, PackageName};
use proptest::prelude::*;

/// A manifest as numbers: names are `@acme/p0` and so on. Numbers without an entry are unknown.
#[derive(Debug, Clone)]
struct Sample {
    packages: BTreeMap<usize, (Vec<usize>, Vec<usize>)>,
    foundation: Vec<usize>,
    tiers: Vec<Vec<usize>>,
}

fn name(number: usize) -> String {
    format!("@acme/p{number}")
}

fn list(numbers: &[usize]) -> String {
    numbers
        .iter()
        .map(|n| format!("\"{}\"", name(*n)))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Sample {
    fn text(&self) -> String {
        let tiers: Vec<String> = (0..self.tiers.len())
            .map(|tier| format!("\"t{tier}\""))
            .collect();
        let mut text = format!(
            "[manifest]\nscope = \"@acme\"\ndefault-tier = \"t0\"\ntiers = [{}]\n[foundation]\nleaves = [{}]\n",
            tiers.join(", "),
            list(&self.foundation)
        );
        for (tier, leaves) in self.tiers.iter().enumerate() {
            let _ = write!(text, "[tier.t{tier}]\nleaves = [{}]\n", list(leaves));
        }
        for (package, (requires, console)) in &self.packages {
            let _ = write!(
                text,
                "[package.\"{}\"]\nrequires = [{}]\nconsole = [{}]\n",
                name(*package),
                list(requires),
                list(console)
            );
        }
        text
    }

    fn is_declared(&self, package: usize) -> bool {
        self.packages.contains_key(&package)
            || self
                .packages
                .values()
                .any(|(_, console)| console.contains(&package))
    }

    /// Every name is declared, and nothing requires itself, however long the way.
    fn is_good(&self) -> bool {
        let named = self.foundation.iter().chain(self.tiers.iter().flatten());
        let required = self.packages.values().flat_map(|(requires, _)| requires);
        named
            .chain(required)
            .all(|package| self.is_declared(*package))
            && self.packages.keys().all(|&start| {
                let (next, _) = &self.packages[&start];
                !next
                    .iter()
                    .any(|&next| self.requires_way(next, start, &mut BTreeSet::new()))
            })
    }

    fn requires_way(&self, from: usize, to: usize, seen: &mut BTreeSet<usize>) -> bool {
        from == to
            || seen.insert(from)
                && self.packages.get(&from).is_some_and(|(requires, _)| {
                    requires
                        .iter()
                        .any(|&next| self.requires_way(next, to, seen))
                })
    }

    fn bring(&self, package: usize, set: &mut BTreeSet<String>) {
        if set.insert(name(package))
            && let Some((requires, console)) = self.packages.get(&package)
        {
            for &next in requires.iter().chain(console) {
                self.bring(next, set);
            }
        }
    }

    fn set(&self, tier: usize) -> BTreeSet<String> {
        let mut set = BTreeSet::new();
        for &root in self
            .foundation
            .iter()
            .chain(self.tiers[..=tier].iter().flatten())
        {
            self.bring(root, &mut set);
        }
        set
    }
}

fn distinct(numbers: std::ops::Range<usize>, most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::btree_set(numbers, 0..=most).prop_map(|set| set.into_iter().collect())
}

fn samples() -> impl Strategy<Value = Sample> {
    // Mostly edges to higher numbers, so that many samples have no cycle; 12 to 15 are unknown
    // or console packages.
    let entry = |number: usize| {
        prop_oneof![
            12 => (distinct(number + 1..13.max(number + 2), 3), distinct(10..15, 1)),
            1 => (distinct(0..16, 3), distinct(0..15, 2)),
        ]
    };
    let packages = (0..12_usize).map(entry).collect::<Vec<_>>();
    (
        packages,
        distinct(0..12, 2),
        prop::collection::vec(distinct(0..12, 3), 1..4),
    )
        .prop_map(|(entries, foundation, mut tiers)| {
            // A leaf is named once.
            let mut named: BTreeSet<usize> = foundation.iter().copied().collect();
            for leaves in &mut tiers {
                leaves.retain(|leaf| named.insert(*leaf));
            }
            let mut packages: BTreeMap<_, _> = entries.into_iter().enumerate().collect();
            packages.insert(12, (Vec::new(), Vec::new()));
            Sample {
                packages,
                foundation,
                tiers,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_compiler_and_its_twin_agree(sample in samples()) {
        let text = sample.text();
        let loaded = Manifest::load(&text, "tiers.toml");
        prop_assert_eq!(loaded.is_ok(), sample.is_good(), "{}\n{:?}", text, loaded.err());
        if let Ok(loaded) = loaded {
            for (tier, compiled) in loaded.tiers.tiers().enumerate() {
                let set: BTreeSet<String> =
                    compiled.packages().iter().map(PackageName::to_string).collect();
                prop_assert_eq!(&set, &sample.set(tier), "tier {} of {}", tier, text);
            }
        }
    }

    #[test]
    fn pot_4_an_upgrade_never_removes_a_package(sample in samples()) {
        if let Ok(loaded) = Manifest::load(&sample.text(), "tiers.toml") {
            let sets: Vec<_> = loaded.tiers.tiers().map(manifest::Tier::packages).collect();
            for pair in sets.windows(2) {
                prop_assert!(pair[1].is_superset(pair[0]));
            }
        }
    }

    #[test]
    fn the_digest_names_the_meaning_and_not_the_layout(sample in samples()) {
        if let Ok(loaded) = Manifest::load(&sample.text(), "tiers.toml") {
            let tidied = manifest::tidy(&sample.text(), "tiers.toml").unwrap();
            let again = Manifest::load(&tidied, "tiers.toml").unwrap();
            prop_assert_eq!(loaded.tiers.digest(), again.tiers.digest());
        }
    }
}
