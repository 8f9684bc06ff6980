//! What was taken away on purpose: `[[removal]]` entries, and where what they are about stands.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use crate::diagnostic::Found;
use crate::document::{Document, Text};
use crate::{TierSets, invariants};

/// A `[[removal]]` entry: something taken from a tier or an add-on on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// What lost it.
    pub owner: Owner<String>,
    /// The package, feature or limit; or the owner's own name, when it is gone.
    pub name: String,
    /// Why.
    pub reason: String,
    /// When, as `2026-01-31`.
    pub date: String,
    pub(crate) span: Range<usize>,
}

/// What has features and limits: a tier or an add-on, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner<N> {
    /// A tier.
    Tier(N),
    /// An add-on.
    AddOn(N),
}

impl<N: AsRef<str>> Owner<N> {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Tier(name) | Self::AddOn(name) => name.as_ref(),
        }
    }

    /// The word for it, as it stands in a manifest.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tier(_) => "tier",
            Self::AddOn(_) => "add-on",
        }
    }

    /// The same with a borrowed name.
    pub fn as_ref(&self) -> Owner<&str> {
        match self {
            Self::Tier(name) => Owner::Tier(name.as_ref()),
            Self::AddOn(name) => Owner::AddOn(name.as_ref()),
        }
    }
}

impl<N: AsRef<str>> fmt::Display for Owner<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())
    }
}

/// Where things are introduced.
#[derive(Clone, Default)]
pub(crate) struct Places {
    tiers: HashMap<String, Range<usize>>,
    add_ons: HashMap<String, Range<usize>>,
    rules: HashMap<String, Range<usize>>,
}

impl Places {
    /// Where a tier or an add-on is introduced.
    pub(crate) fn owner(&self, owner: Owner<&str>) -> Option<Range<usize>> {
        let places = match owner {
            Owner::Tier(_) => &self.tiers,
            Owner::AddOn(_) => &self.add_ons,
        };
        places.get(owner.name()).cloned()
    }

    /// Where the rule about a feature is introduced.
    pub(crate) fn rule(&self, feature: &str) -> Option<Range<usize>> {
        self.rules.get(feature).cloned()
    }

    pub(crate) fn of(document: &Document<'_>) -> Self {
        fn place(name: &Text<'_>) -> (String, Range<usize>) {
            (name.get_ref().to_string(), name.span())
        }
        let (tiers, add_ons) = (&document.tiers, &document.add_ons);
        Self {
            tiers: tiers.iter().map(|entry| place(&entry.name)).collect(),
            add_ons: add_ons.iter().map(|entry| place(&entry.name)).collect(),
            rules: document
                .rules
                .iter()
                .map(|entry| place(&entry.name))
                .collect(),
        }
    }
}

/// A package or feature that a tier or an add-on has again needs no entry that says it is gone.
pub(crate) fn report_removals(document: &Document<'_>, tiers: &TierSets, found: &mut Found) {
    if document.removals.is_empty() {
        return;
    }
    let mut has: HashSet<(Owner<&str>, &str)> = HashSet::new();
    for tier in tiers.tiers() {
        let owner = Owner::Tier(tier.name().as_str());
        has.extend(
            tiers
                .features_on(tier)
                .into_iter()
                .map(|name| (owner, name)),
        );
    }
    for add_on in tiers.add_ons() {
        let owner = Owner::AddOn(&*add_on.name);
        has.extend(add_on.features.iter().map(|name| (owner, &**name)));
        has.insert((owner, &*add_on.name));
    }
    let is_there = |entry: &&Removal| {
        has.contains(&(entry.owner.as_ref(), &*entry.name))
            || matches!(&entry.owner, Owner::Tier(tier) if tiers.is_package_allowed(tier, &entry.name))
    };
    for entry in document.removals.iter().filter(is_there) {
        found.add(invariants::removed_but_there(entry));
    }
}
