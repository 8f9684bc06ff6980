//! What can be sold: tiers in ascending order, the features and limits there are, add-ons, the
//! trial, and rules of features. Code or a manifest, never data (ENT-49).

mod build;
mod error;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use manifest::{Limit, TierSets};

use crate::bits::Bits;
use crate::names::{Kind, UnknownName};

pub use build::{Builder, TierGrants};
pub use error::CatalogError;

pub(crate) type Names = IndexSet<Arc<str>, foldhash::quality::RandomState>;

/// What can be sold. Immutable, and cheap to clone.
#[derive(Clone)]
pub struct Catalog(Arc<Compiled>);

/// Features and limits by their place in the universe.
pub(crate) struct Compiled {
    /// In ascending order; a tier's place is its rank.
    tier_names: Names,
    grants: Vec<Grants>,
    default_tier: usize,
    features: Names,
    limits: Names,
    add_ons: IndexMap<Arc<str>, AddOn, foldhash::quality::RandomState>,
    trial: Option<Trial>,
    /// The features that are off for everyone but premium users.
    premium_only: Bits,
    /// What each feature requires, those without which others are off first. Features that
    /// require nothing are left out.
    requires: Vec<(usize, Vec<usize>)>,
}

/// What a tier grants, tiers below included.
pub(crate) struct Grants {
    pub(crate) features: Bits,
    /// `None` for a limit that it does not grant.
    pub(crate) limits: Box<[Option<Limit>]>,
}

pub(crate) struct AddOn {
    pub(crate) features: Vec<usize>,
    pub(crate) limits: Vec<(usize, Limit)>,
}

pub(crate) struct Trial {
    pub(crate) tier: usize,
    pub(crate) hours: u32,
}

impl Catalog {
    /// What a manifest sells. Its names were checked before, except that no name may be both a
    /// feature and a limit.
    pub fn from_manifest(tiers: &TierSets) -> Result<Self, CatalogError> {
        let mut builder = Self::builder()
            .features(tiers.features())
            .limits(tiers.limits())
            .default_tier(tiers.default_tier().name().as_str());
        for tier in tiers.tiers() {
            let mut grants = TierGrants::new(tier.name().as_str());
            for feature in tier.features() {
                grants = grants.feature(feature);
            }
            // A compiled tier says 0 of every limit that it does not grant.
            for (name, limit) in tier.limits() {
                if limit > Limit::Count(0) {
                    grants = grants.limit(name, limit);
                }
            }
            builder = builder.tier(grants);
        }
        for (name, rule) in tiers.feature_rules() {
            builder = builder.rule(name, rule.clone());
        }
        for add_on in tiers.add_ons() {
            builder = builder.add_on(add_on.clone());
        }
        if let Some(trial) = tiers.trial() {
            builder = builder.trial(trial.tier.as_str(), trial.hours);
        }
        builder.build()
    }

    /// Begins a catalog that is built in code.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The tier of subjects without an assignment (ENT-10).
    pub fn default_tier(&self) -> &Arc<str> {
        self.tier_name(self.0.default_tier)
    }

    /// The tiers in ascending order.
    pub fn tiers(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.0.tier_names.iter()
    }

    /// The features there are, in their declared order. None need be granted (ENT-9).
    pub fn features(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.0.features.iter()
    }

    /// The limits there are, in their declared order.
    pub fn limits(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.0.limits.iter()
    }

    /// What can be bought on top of a tier, in its declared order.
    pub fn add_ons(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.0.add_ons.keys()
    }

    /// Whether the tier alone grants the feature (ENT-27): no override, switch, premium or
    /// requirement is looked at.
    pub fn can(&self, tier: &str, feature: &str) -> Result<bool, UnknownName> {
        let feature = self.feature(feature)?;
        Ok(self.grants(self.tier(tier)?).features.has(feature))
    }

    /// How much of a limit the tier alone grants (ENT-29).
    pub fn limit(&self, tier: &str, limit: &str) -> Result<Limit, UnknownName> {
        let limit = self.limit_at(limit)?;
        let grants = self.grants(self.tier(tier)?);
        let granted = grants.limits.get(limit).copied().flatten();
        Ok(granted.unwrap_or(Limit::Count(0)))
    }

    /// Whether anybody but a premium user ever has it, its requirements looked at.
    pub fn is_premium_only(&self, feature: &str) -> Result<bool, UnknownName> {
        let feature = self.feature(feature)?;
        let mut premium = self.0.premium_only.clone();
        for (dependent, required) in &self.0.requires {
            if required.iter().any(|&at| premium.has(at)) {
                premium.set(*dependent, true);
            }
        }
        Ok(premium.has(feature))
    }

    /// Refuses a name that is no tier.
    pub fn check_tier(&self, tier: &str) -> Result<(), UnknownName> {
        self.tier(tier).map(drop)
    }

    /// Refuses a name that is no feature.
    pub fn check_feature(&self, feature: &str) -> Result<(), UnknownName> {
        self.feature(feature).map(drop)
    }

    /// Refuses a name that is no limit.
    pub fn check_limit(&self, limit: &str) -> Result<(), UnknownName> {
        self.limit_at(limit).map(drop)
    }

    /// Refuses a name that is no add-on.
    pub fn check_add_on(&self, add_on: &str) -> Result<(), UnknownName> {
        self.add_on(add_on).map(drop)
    }

    /// Whether the name is a feature or a limit, if it is one of them.
    pub fn kind(&self, key: &str) -> Option<Kind> {
        if self.0.features.contains(key) {
            Some(Kind::Feature)
        } else {
            self.0.limits.contains(key).then_some(Kind::Limit)
        }
    }

    pub(crate) fn tier(&self, name: &str) -> Result<usize, UnknownName> {
        let place = self.0.tier_names.get_index_of(name);
        place.ok_or_else(|| unknown(Kind::Tier, name, self.tiers()))
    }

    pub(crate) fn feature(&self, name: &str) -> Result<usize, UnknownName> {
        let place = self.0.features.get_index_of(name);
        place.ok_or_else(|| unknown(Kind::Feature, name, self.features()))
    }

    pub(crate) fn limit_at(&self, name: &str) -> Result<usize, UnknownName> {
        let place = self.0.limits.get_index_of(name);
        place.ok_or_else(|| unknown(Kind::Limit, name, self.limits()))
    }

    pub(crate) fn add_on(&self, name: &str) -> Result<&AddOn, UnknownName> {
        let add_on = self.0.add_ons.get(name);
        add_on.ok_or_else(|| unknown(Kind::AddOn, name, self.add_ons()))
    }

    pub(crate) fn default_tier_at(&self) -> usize {
        self.0.default_tier
    }

    /// The name of a tier of this catalog.
    #[expect(
        clippy::indexing_slicing,
        reason = "places come from this catalog alone"
    )]
    pub(crate) fn tier_name(&self, tier: usize) -> &Arc<str> {
        &self.0.tier_names[tier]
    }

    /// What a tier of this catalog grants.
    #[expect(
        clippy::indexing_slicing,
        reason = "places come from this catalog alone"
    )]
    pub(crate) fn grants(&self, tier: usize) -> &Grants {
        &self.0.grants[tier]
    }

    pub(crate) fn trial(&self) -> Option<&Trial> {
        self.0.trial.as_ref()
    }

    /// What is left of a set of features for somebody who is premium, or is not: without the
    /// premium-only ones, and then without those whose requirements are off (KUM-53).
    pub(crate) fn narrowed(&self, features: &Bits, premium: bool) -> Bits {
        let mut left = features.clone();
        if !premium {
            left.remove(&self.0.premium_only);
        }
        for (dependent, required) in &self.0.requires {
            if !required.iter().all(|&at| left.has(at)) {
                left.set(*dependent, false);
            }
        }
        left
    }
}

fn unknown<'a>(kind: Kind, name: &str, known: impl Iterator<Item = &'a Arc<str>>) -> UnknownName {
    UnknownName {
        kind,
        name: name.to_owned(),
        known: known.cloned().collect(),
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("tiers", &self.0.tier_names)
            .field("default_tier", self.default_tier())
            .field("features", &self.0.features)
            .field("limits", &self.0.limits)
            .field("add_ons", &self.0.add_ons.keys())
            .finish_non_exhaustive()
    }
}
