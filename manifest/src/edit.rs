//! What an edit of a manifest changes: tier by tier what is gained and lost, and through which edge;
//! then what is said beyond the tiers.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::diagnostic::Found;
use crate::entitlement::Entry;
use crate::invariants;
use crate::why::Chain;
use crate::{
    AddOn, Diagnostics, Limit, Loaded, Owner, PackageName, PackageSet, Removal, Tier, TierName,
    TierSets,
};

/// The difference between two manifests.
#[derive(Debug, Clone)]
pub struct Edit<'s> {
    /// Every tier of either, in the new order; those that are gone come last.
    pub tiers: Vec<TierEdit<'s>>,
    /// Every other entry that changed: the trial, add-ons, rules of features, flags and metrics.
    pub entries: Vec<EntryEdit>,
}

/// The difference between two states of an entry beyond the tiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryEdit {
    /// `trial`, `add-on`, `feature`, `flag` or `metric`.
    pub what: &'static str,
    /// Its name; of a trial that of the tier.
    pub name: Arc<str>,
    /// What it said, if it was there.
    pub from: Option<String>,
    /// What it says, if it is there.
    pub to: Option<String>,
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
            entries: entries_changed(old, new),
        }
    }

    /// Whether both manifests mean the same.
    pub fn is_empty(&self) -> bool {
        self.tiers.iter().all(TierEdit::is_empty) && self.entries.is_empty()
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

fn entries_changed(old: &TierSets, new: &TierSets) -> Vec<EntryEdit> {
    let key = |entry: &Entry| (entry.what, Arc::clone(&entry.name));
    let entries = |tiers: &TierSets| tiers.0.entitlements.entries();
    let mut before: BTreeMap<_, String> = entries(old)
        .into_iter()
        .map(|entry| (key(&entry), entry.says))
        .collect();
    let mut edits: Vec<EntryEdit> = entries(new)
        .into_iter()
        .map(|entry| EntryEdit {
            from: before.remove(&key(&entry)),
            what: entry.what,
            name: entry.name,
            to: Some(entry.says),
        })
        .filter(|edit| edit.from != edit.to)
        .collect();
    edits.extend(before.into_iter().map(|((what, name), says)| EntryEdit {
        what,
        name,
        from: Some(says),
        to: None,
    }));
    edits
}

impl Loaded {
    /// What the manifest takes away from a tier or an add-on of the older one without saying so.
    /// Entries that the older one has too are about earlier losses, and excuse none of these.
    pub fn against(&self, old: &Loaded) -> Diagnostics {
        let is_new = |entry: &&Removal| !old.removals.iter().any(|known| known.says_same(entry));
        let said = self.removals.iter().filter(is_new);
        let mut losses = Losses {
            old,
            new: self,
            said: said
                .map(|entry| (entry.owner.as_ref(), &*entry.name))
                .collect(),
            found: Found::default(),
        };
        for edit in Edit::between(&old.tiers, &self.tiers).tiers {
            losses.of_tier(&edit);
        }
        for add_on in old.tiers.add_ons() {
            losses.of_add_on(add_on);
        }
        Diagnostics::locate(&self.source.origin, &self.source.text, losses.found)
    }
}

/// What an edit takes away unsaid, as far as it has been looked at.
struct Losses<'l> {
    old: &'l Loaded,
    new: &'l Loaded,
    /// What entries that are new say: who lost what.
    said: HashSet<(Owner<&'l str>, &'l str)>,
    found: Found,
}

impl Losses<'_> {
    fn is_said(&self, owner: Owner<&str>, name: &str) -> bool {
        self.said.contains(&(owner, name))
    }

    fn of_tier(&mut self, edit: &TierEdit<'_>) {
        let tier = edit.tier.as_str();
        let owner = Owner::Tier(tier);
        let place = self.new.source.place_of(owner);
        if edit.standing == Standing::Removed {
            if !self.is_said(owner, tier) {
                self.found.add(invariants::owner_lost(owner, place));
            }
            return;
        }
        for lost in &edit.lost {
            if !self.is_said(owner, lost.name.as_str()) {
                let problem = invariants::package_lost(tier, lost, place.clone());
                self.found.add(problem);
            }
        }
        for name in &edit.features_lost {
            if !self.is_said(owner, name) {
                let problem = invariants::feature_lost(owner, name, place.clone());
                self.found.add(problem);
            }
        }
        self.by_rule(tier);
        for limit in edit.limits.iter().filter(|limit| limit.to < limit.from) {
            if !self.is_said(owner, limit.name) {
                let problem = invariants::limit_lost(owner, limit, place.clone());
                self.found.add(problem);
            }
        }
    }

    /// What the tier grants as before, and a rule keeps off.
    fn by_rule(&mut self, name: &str) {
        let (Some(before), Some(after)) = (self.old.tiers.tier(name), self.new.tiers.tier(name))
        else {
            return;
        };
        let was_on = self.old.tiers.features_on(before);
        let is_on = self.new.tiers.features_on(after);
        for feature in after.features() {
            let lost = was_on.contains(feature) && !is_on.contains(feature);
            if lost && !self.is_said(Owner::Tier(name), feature) {
                let source = &self.new.source;
                let place = source.places.rule(feature);
                let place = place.unwrap_or_else(|| source.place_of(Owner::Tier(name)));
                self.found
                    .add(invariants::feature_off(name, feature, place));
            }
        }
    }

    fn of_add_on(&mut self, before: &AddOn) {
        let name = &*before.name;
        let owner = Owner::AddOn(name);
        let place = self.new.source.place_of(owner);
        let Some(after) = self.new.tiers.add_on(name) else {
            if !self.is_said(owner, name) {
                self.found.add(invariants::owner_lost(owner, place));
            }
            return;
        };
        let kept: HashSet<&str> = after.features.iter().map(AsRef::as_ref).collect();
        for feature in &before.features {
            if !kept.contains(&**feature) && !self.is_said(owner, feature) {
                let problem = invariants::feature_lost(owner, feature, place.clone());
                self.found.add(problem);
            }
        }
        for (limit, &from) in &before.limits {
            if self.is_said(owner, limit) {
                continue;
            }
            let place = place.clone();
            match after.limits.get(limit) {
                Some(&to) if to < from => {
                    let edit = LimitEdit {
                        name: limit,
                        from,
                        to,
                    };
                    self.found.add(invariants::limit_lost(owner, &edit, place));
                }
                Some(_) => {}
                None => self
                    .found
                    .add(invariants::add_on_limit_lost(name, limit, place)),
            }
        }
    }
}

impl Removal {
    /// Whether both are the same entry, wherever it stands.
    fn says_same(&self, other: &Self) -> bool {
        (&self.owner, &self.name, &self.reason, &self.date)
            == (&other.owner, &other.name, &other.reason, &other.date)
    }
}
