//! What an edit of a manifest changes: tier by tier what is gained and lost, and through which edge.

use crate::diagnostic::Found;
use crate::invariants;
use crate::why::Chain;
use crate::{
    Diagnostics, Limit, Loaded, PackageName, PackageSet, Removal, Tier, TierName, TierSets,
};

/// The difference between two manifests.
#[derive(Debug, Clone)]
pub struct Edit<'s> {
    /// Every tier of either, in the new order; those that are gone come last.
    pub tiers: Vec<TierEdit<'s>>,
}

/// The difference between two states of one tier.
#[derive(Debug, Clone)]
pub struct TierEdit<'s> {
    /// The tier.
    pub tier: &'s TierName,
    /// Whether it was there before, and still is.
    pub standing: Standing,
    /// Packages it has now, with what brings them.
    pub gained: Vec<PackageEdit<'s>>,
    /// Packages it has no more, with what brought them.
    pub lost: Vec<PackageEdit<'s>>,
    /// Features it grants now.
    pub features_gained: Vec<&'s str>,
    /// Features it grants no more.
    pub features_lost: Vec<&'s str>,
    /// Limits that changed.
    pub limits: Vec<LimitEdit<'s>>,
}

/// Whether a tier is old or new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was and is.
    Kept,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

/// A package gained or lost.
#[derive(Debug, Clone)]
pub struct PackageEdit<'s> {
    /// The package.
    pub name: &'s PackageName,
    /// What brings it, or brought it.
    pub chain: Chain<'s>,
}

/// A limit that changed.
#[derive(Debug, Clone, Copy)]
pub struct LimitEdit<'s> {
    /// The limit.
    pub name: &'s str,
    /// How much it was; 0 when it did not exist.
    pub from: Limit,
    /// How much it is; 0 when it exists no more.
    pub to: Limit,
}

impl<'s> Edit<'s> {
    /// Compares two manifests.
    pub fn between(old: &'s TierSets, new: &'s TierSets) -> Self {
        let kept_or_added = new.tiers().map(|tier| {
            let before = old.tier(tier.name().as_str());
            compare(old, before, new, Some(tier), tier.name())
        });
        let gone = old
            .tiers()
            .filter(|tier| new.tier(tier.name().as_str()).is_none());
        let removed = gone.map(|tier| compare(old, Some(tier), new, None, tier.name()));
        Self {
            tiers: kept_or_added.chain(removed).collect(),
        }
    }

    /// Whether both manifests mean the same.
    pub fn is_empty(&self) -> bool {
        self.tiers.iter().all(TierEdit::is_empty)
    }
}

impl TierEdit<'_> {
    /// Whether the tier is as it was.
    pub fn is_empty(&self) -> bool {
        self.standing == Standing::Kept
            && self.gained.is_empty()
            && self.lost.is_empty()
            && self.features_gained.is_empty()
            && self.features_lost.is_empty()
            && self.limits.is_empty()
    }
}

fn compare<'s>(
    old: &'s TierSets,
    before: Option<&'s Tier>,
    new: &'s TierSets,
    after: Option<&'s Tier>,
    name: &'s TierName,
) -> TierEdit<'s> {
    TierEdit {
        tier: name,
        standing: match (before, after) {
            (Some(_), None) => Standing::Removed,
            (None, _) => Standing::Added,
            _ => Standing::Kept,
        },
        gained: packages_only_in(new, after, before),
        lost: packages_only_in(old, before, after),
        features_gained: features_only_in(after, before),
        features_lost: features_only_in(before, after),
        limits: limits_changed(before, after),
    }
}

fn packages_only_in<'s>(
    sets: &'s TierSets,
    here: Option<&'s Tier>,
    there: Option<&Tier>,
) -> Vec<PackageEdit<'s>> {
    let Some(here) = here else { return Vec::new() };
    let there: Option<&PackageSet> = there.map(|tier| &**tier.packages());
    let is_there = |name: &PackageName| there.is_some_and(|set| set.contains(name.as_str()));
    let only_here: Vec<&PackageName> = here
        .packages()
        .iter()
        .filter(|name| !is_there(name))
        .collect();
    if only_here.is_empty() {
        return Vec::new();
    }
    let reasons = sets.reasons(here);
    let edit = |name: &'s PackageName| {
        Some(PackageEdit {
            name,
            chain: reasons.why(name.as_str())?,
        })
    };
    only_here.into_iter().filter_map(edit).collect()
}

fn features_only_in<'s>(here: Option<&'s Tier>, there: Option<&Tier>) -> Vec<&'s str> {
    let is_there = |name: &str| there.is_some_and(|tier| tier.has_feature(name));
    here.into_iter()
        .flat_map(Tier::features)
        .filter(|name| !is_there(name))
        .collect()
}

fn limits_changed<'s>(before: Option<&'s Tier>, after: Option<&'s Tier>) -> Vec<LimitEdit<'s>> {
    let of = |tier: Option<&Tier>, name: &str| {
        tier.and_then(|tier| tier.limit(name))
            .unwrap_or(Limit::Count(0))
    };
    let names_of = |tier: Option<&'s Tier>| tier.into_iter().flat_map(Tier::limits);
    let mut names: Vec<&str> = names_of(after).map(|(name, _)| name).collect();
    names.extend(
        names_of(before)
            .map(|(name, _)| name)
            .filter(|name| after.is_none_or(|tier| tier.limit(name).is_none())),
    );
    names
        .into_iter()
        .map(|name| LimitEdit {
            name,
            from: of(before, name),
            to: of(after, name),
        })
        .filter(|edit| edit.from != edit.to)
        .collect()
}

impl Loaded {
    /// What the manifest takes away from a tier of the older one without saying so. Entries that
    /// the older one has too are about earlier losses, and excuse none of these.
    pub fn against(&self, old: &Loaded) -> Diagnostics {
        let mut found = Found::default();
        let is_new = |entry: &&Removal| !old.removals.iter().any(|known| known.says_same(entry));
        let removals: Vec<&Removal> = self.removals.iter().filter(is_new).collect();
        for edit in Edit::between(&old.tiers, &self.tiers).tiers {
            let tier = edit.tier.as_str();
            let said = |name: &str| removals.iter().any(|entry| entry.is_of(tier, name));
            let place = self.source.place_of(tier);
            if edit.standing == Standing::Removed {
                if !said(tier) {
                    found.add(invariants::tier_lost(tier, place));
                }
                continue;
            }
            for lost in edit.lost.iter().filter(|lost| !said(lost.name.as_str())) {
                found.add(invariants::package_lost(tier, lost, place.clone()));
            }
            for name in edit.features_lost.iter().filter(|name| !said(name)) {
                found.add(invariants::feature_lost(tier, name, place.clone()));
            }
            let lowered = edit.limits.iter().filter(|limit| limit.to < limit.from);
            for limit in lowered.filter(|limit| !said(limit.name)) {
                found.add(invariants::limit_lost(tier, limit, place.clone()));
            }
        }
        Diagnostics::locate(&self.source.origin, &self.source.text, found)
    }
}

impl Removal {
    /// Whether both are the same entry, wherever it stands.
    fn says_same(&self, other: &Self) -> bool {
        (&self.tier, &self.name, &self.reason, &self.date)
            == (&other.tier, &other.name, &other.reason, &other.date)
    }

    fn is_of(&self, tier: &str, name: &str) -> bool {
        self.tier == tier && self.name == name
    }
}
