//! Features and limits: which there are, and what the tiers grant from the lowest one up.

use std::collections::HashMap;

use indexmap::{IndexMap, IndexSet};
use toml::Spanned;

use crate::diagnostic::Found;
use crate::document::{Text, TierEntry};
use crate::resolve::collisions;
use crate::suggest::Speller;
use crate::{Limit, invariants};

/// The names there are in their order, each with its first place.
pub(crate) type Universe<'d, 'i> = IndexMap<&'d str, &'d Text<'i>>;

/// The names there are: those declared or, without a declaration, those used (ENT-6 to ENT-9).
pub(crate) fn universe<'d, 'i>(
    what: &str,
    declared: Option<&'d [Text<'i>]>,
    mut used: Vec<&'d Text<'i>>,
    speller: &Speller,
    found: &mut Found,
) -> Universe<'d, 'i> {
    used.sort_by_key(|name| name.span().start);
    let mut first: Universe<'d, 'i> = IndexMap::new();
    match declared {
        Some(declared) => {
            for name in declared {
                match first.entry(name.get_ref()) {
                    indexmap::map::Entry::Occupied(entry) => {
                        found.add(invariants::duplicate(name, entry.get().span()));
                    }
                    indexmap::map::Entry::Vacant(new) => {
                        new.insert(name);
                    }
                }
            }
            for name in used
                .into_iter()
                .filter(|name| !first.contains_key(&**name.get_ref()))
            {
                let near = speller.nearest(name.get_ref(), first.keys().copied());
                found.add(invariants::undeclared(what, name, near));
            }
        }
        None => {
            for name in used {
                first.entry(name.get_ref()).or_insert(name);
            }
        }
    }
    judge(what, first.values().copied(), found);
    first
}

/// Judges names where they are declared: their grammar, and that none differ only in case.
pub(crate) fn judge<'n, 'i: 'n>(
    what: &str,
    names: impl Iterator<Item = &'n Text<'i>>,
    found: &mut Found,
) {
    let names: Vec<&Text<'_>> = names.collect();
    for name in names.iter().filter(|name| !is_key(name.get_ref())) {
        found.add(invariants::not_a_key(what, name));
    }
    collisions(what, &names, found);
}

/// A name of all that is neither package nor tier: 1 to 64 letters, digits, `_`, `-` and `.`, starting with a letter.
pub(crate) fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// What is granted so far, tier by tier upwards.
#[derive(Default)]
pub(crate) struct Grants<'d, 'i> {
    features: HashMap<&'d str, &'d Text<'i>>,
    limits: HashMap<&'d str, &'d Spanned<Limit>>,
}

impl<'d, 'i> Grants<'d, 'i> {
    /// Takes in the next tier; what it takes away is reported.
    pub(crate) fn raise(&mut self, entry: &'d TierEntry<'i>, found: &mut Found) {
        let tier = entry.name.get_ref();
        for (name, on) in &entry.features {
            if *on {
                self.features.entry(name.get_ref()).or_insert(name);
            } else if let Some(granted) = self.features.get(&**name.get_ref()) {
                found.add(invariants::feature_taken(name, tier, granted));
            }
        }
        for (name, limit) in &entry.limits {
            match self.limits.get(&**name.get_ref()) {
                Some(below) if limit.get_ref() < below.get_ref() => {
                    found.add(invariants::limit_lowered(
                        name.get_ref(),
                        tier,
                        limit,
                        below,
                    ));
                }
                _ => {
                    self.limits.insert(name.get_ref(), limit);
                }
            }
        }
    }

    /// Where a feature is granted first.
    pub(crate) fn first(&self, feature: &str) -> Option<&'d Text<'i>> {
        self.features.get(feature).copied()
    }

    /// The features granted so far, in the order of the universe.
    pub(crate) fn features(&self, universe: &Universe<'d, '_>) -> IndexSet<&'d str> {
        universe
            .keys()
            .copied()
            .filter(|name| self.features.contains_key(name))
            .collect()
    }

    /// Every limit there is, in the order of the universe; 0 where nothing is granted.
    pub(crate) fn limits(&self, universe: &Universe<'d, '_>) -> IndexMap<&'d str, Limit> {
        let granted = |name| {
            self.limits
                .get(name)
                .map_or(Limit::Count(0), |limit| *limit.get_ref())
        };
        universe.keys().map(|&name| (name, granted(name))).collect()
    }
}
