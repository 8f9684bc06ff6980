//! How a subject stands: what it may do, and what decided each of it.

use std::sync::Arc;

use entitlements::{Effective, Stored, Switches, UnknownName};
use jiff::Timestamp;
use manifest::{Limit, TierSets};
use serde::Serialize;

use super::{CustomerTier, Denial};

/// A customer, a user, or whoever else is a subject has an id of at most so many bytes.
pub const SUBJECT_BYTES_MAX: usize = 200;

/// All that is known of what a subject may do.
#[derive(Debug, Clone)]
pub struct SubjectStanding {
    /// What is stored of it.
    pub stored: Stored,
    /// Its tier's assignment, or none when the manifest's default holds.
    pub assigned: Option<CustomerTier>,
    /// What is switched for all.
    pub switches: Switches,
    /// Whether it is premium.
    pub premium: bool,
    /// What that amounts to.
    pub effective: Effective,
}

/// What decided about a feature or limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = EntitlementSource)]
pub enum DecidedBy {
    /// The tier grants it, or nobody does.
    Tier,
    /// An add-on.
    AddOn,
    /// The subject's override.
    Override,
    /// It is switched off for all.
    Switch,
    /// It is for premium users, and this is none.
    Premium,
    /// A feature that it requires is off.
    Requirement,
    /// The trial, while it lasts.
    Trial,
}

/// A feature of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: Arc<str>,
    /// Whether the subject may use it now.
    pub on: bool,
    /// What decided.
    pub by: DecidedBy,
}

impl SubjectStanding {
    /// Whether it may use a feature now.
    pub fn can(&self, feature: &str, now: Timestamp) -> Result<bool, UnknownName> {
        self.effective.can(feature, self.premium, now)
    }

    /// A feature, and what decided about it.
    pub fn feature(
        &self,
        tiers: &TierSets,
        name: &str,
        now: Timestamp,
    ) -> Result<Feature, UnknownName> {
        let catalog = self.effective.catalog();
        let on = self.can(name, now)?;
        let granted = catalog.can(self.effective.tier(), name)?;
        let bought = || {
            let mut add_ons = tiers.add_ons();
            add_ons.any(|add_on| {
                self.stored.add_ons.contains(&add_on.name)
                    && add_on.features.iter().any(|feature| **feature == *name)
            })
        };
        let (meant, by) = match self.stored.overrides.features.get(name) {
            Some(on) => (*on, DecidedBy::Override),
            None if granted => (true, DecidedBy::Tier),
            None if bought() => (true, DecidedBy::AddOn),
            None => (false, DecidedBy::Tier),
        };
        let lasts = self.effective.has(name, self.premium)?;
        let by = if on && !lasts {
            DecidedBy::Trial
        } else if on == meant {
            by
        } else if self.switches.0.get(name) == Some(&false) {
            DecidedBy::Switch
        } else if !self.premium && is_premium_only(tiers, name) {
            DecidedBy::Premium
        } else {
            DecidedBy::Requirement
        };
        let name = name.into();
        Ok(Feature { name, on, by })
    }

    /// A limit, and what decided about it.
    pub fn limit(&self, tiers: &TierSets, name: &str) -> Result<(Limit, DecidedBy), UnknownName> {
        let limit = self.effective.limit(name)?;
        let bought = || {
            let mut add_ons = tiers.add_ons();
            add_ons.any(|add_on| {
                self.stored.add_ons.contains(&add_on.name) && add_on.limits.contains_key(name)
            })
        };
        let by = if self.stored.overrides.limits.contains_key(name) {
            DecidedBy::Override
        } else if bought() {
            DecidedBy::AddOn
        } else {
            DecidedBy::Tier
        };
        Ok((limit, by))
    }
}

impl Feature {
    /// Why the subject may not use it, if it may not.
    pub fn check(self) -> Result<(), Denial> {
        let Self { name, on, by } = self;
        match by {
            _ if on => Ok(()),
            DecidedBy::Switch => Err(Denial::FeatureSwitchedOff(name)),
            DecidedBy::Premium => Err(Denial::PremiumRequired(name)),
            DecidedBy::Requirement => Err(Denial::RequirementOff(name)),
            _ => Err(Denial::FeatureNotEntitled(name)),
        }
    }
}

fn is_premium_only(tiers: &TierSets, feature: &str) -> bool {
    tiers
        .feature_rules()
        .any(|(name, rule)| name == feature && rule.premium_only)
}
