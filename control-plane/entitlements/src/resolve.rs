//! What a subject may do: one fixed order of evaluation, in one pure function.
//!
//! 1. The **tier** grants features and limits.
//! 2. **Add-ons** switch features on, and set limits; a later one wins (KUM-44, KUM-45).
//! 3. The subject's **overrides** widen or narrow that, key by key (ENT-17, ENT-19).
//! 4. A global **switch** takes a feature from everybody, and gives it to nobody (KUM-50).
//! 5. The **premium floor**: a premium-only feature is off for who is not premium.
//! 6. The **cascade**: a feature whose requirement is off is off (KUM-53).
//!
//! A **trial** widens step 1 alone, while it lasts, for the features of its tier and no others
//! (KUM-41 to KUM-43). It is looked at only where the answer would be no.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use manifest::Limit;
use serde::Serialize;

use crate::bits::Bits;
use crate::catalog::{Catalog, Grants};
use crate::names::UnknownName;
use crate::stored::{Stored, Switches};

/// What a subject may do, settled as far as it does not hang on premium and time.
#[derive(Debug, Clone)]
pub struct Effective {
    catalog: Catalog,
    tier: usize,
    features: Answers,
    trial: Option<Trial>,
    limits: Box<[Option<Limit>]>,
    /// The features that tier, add-ons or overrides mention.
    mentioned: Bits,
}

/// The features that are on, for both kinds of users.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answers {
    free: Bits,
    premium: Bits,
}

/// What is on besides from `begins` until just before `ends`.
#[derive(Debug, Clone)]
struct Trial {
    begins: Timestamp,
    ends: Timestamp,
    features: Answers,
}

/// Something that is stored of a subject is no longer in the catalog. Every question about the
/// subject fails, and none falls back to the default tier (ENT-16).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "what is stored of subject `{subject}`: {unknown}; declare it again, or assign another one"
)]
pub struct Dangling {
    /// The subject.
    pub subject: String,
    /// The name that was stored.
    #[source]
    pub unknown: UnknownName,
}

/// What a subject has, for people to read. Only what tier, add-ons or overrides mention (ENT-39).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Its tier.
    pub tier: Arc<str>,
    /// Features, on or off, in their declared order.
    pub features: IndexMap<Arc<str>, bool>,
    /// Limits, in their declared order.
    pub limits: IndexMap<Arc<str>, Limit>,
}

/// Settles what a subject may do. Overrides and switches of features and limits that are gone are
/// not looked at, since nobody can ask for them; a tier or add-on that is gone is an error.
pub fn resolve(
    catalog: &Catalog,
    stored: &Stored,
    switches: &Switches,
) -> Result<Effective, Dangling> {
    let dangling = |unknown| Dangling {
        subject: stored.subject.clone(),
        unknown,
    };
    let tier = match &stored.tier {
        Some(name) => catalog.tier(name).map_err(dangling)?,
        None => catalog.default_tier_at(),
    };
    let granted = catalog.grants(tier);
    let mut limits = granted.limits.clone();
    let mut bought = Bits::none(catalog.features().len());
    for name in &stored.add_ons {
        let add_on = catalog.add_on(name).map_err(dangling)?;
        for &feature in &add_on.features {
            bought.set(feature, true);
        }
        for &(at, limit) in &add_on.limits {
            set(&mut limits, at, limit);
        }
    }
    for (name, limit) in &stored.overrides.limits {
        if let Ok(at) = catalog.limit_at(name) {
            set(&mut limits, at, *limit);
        }
    }
    let from = |grants: &Bits| {
        let mut on = grants.clone();
        on.add(&bought);
        for (name, value) in &stored.overrides.features {
            if let Ok(feature) = catalog.feature(name) {
                on.set(feature, *value);
            }
        }
        for name in switches.off() {
            if let Ok(feature) = catalog.feature(name) {
                on.set(feature, false);
            }
        }
        Answers {
            free: catalog.narrowed(&on, false),
            premium: catalog.narrowed(&on, true),
        }
    };
    let features = from(&granted.features);
    let trial = trial(catalog, stored, granted, &features, from);
    let mut mentioned = granted.features.clone();
    mentioned.add(&bought);
    for name in stored.overrides.features.keys() {
        if let Ok(feature) = catalog.feature(name) {
            mentioned.set(feature, true);
        }
    }
    Ok(Effective {
        catalog: catalog.clone(),
        tier,
        features,
        trial,
        limits,
        mentioned,
    })
}

/// The trial, where it gives the subject anything at any time.
fn trial(
    catalog: &Catalog,
    stored: &Stored,
    granted: &Grants,
    without: &Answers,
    from: impl Fn(&Bits) -> Answers,
) -> Option<Trial> {
    let trial = catalog.trial()?;
    let begins = stored.created_at?;
    let lasts = SignedDuration::from_hours(trial.hours.into());
    let ends = begins.checked_add(lasts).unwrap_or(Timestamp::MAX);
    let tried = &catalog.grants(trial.tier).features;
    let mut widened = granted.features.clone();
    widened.add(tried);
    let mut features = from(&widened);
    features.free.keep(tried);
    features.premium.keep(tried);
    let gives = |with: &Bits, without: &Bits| {
        let mut more = with.clone();
        more.remove(without);
        more != Bits::none(catalog.features().len())
    };
    let useful = gives(&features.free, &without.free) || gives(&features.premium, &without.premium);
    useful.then_some(Trial {
        begins,
        ends,
        features,
    })
}

fn set(limits: &mut [Option<Limit>], at: usize, limit: Limit) {
    if let Some(place) = limits.get_mut(at) {
        *place = Some(limit);
    }
}

impl Answers {
    fn of(&self, premium: bool) -> &Bits {
        if premium { &self.premium } else { &self.free }
    }

    fn differ(&self, feature: usize) -> bool {
        self.free.has(feature) != self.premium.has(feature)
    }
}

impl Effective {
    /// The subject's tier.
    pub fn tier(&self) -> &Arc<str> {
        self.catalog.tier_name(self.tier)
    }

    /// What it was settled by.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether a feature is on (ENT-27), for a user who is premium or not.
    pub fn can(&self, feature: &str, premium: bool, now: Timestamp) -> Result<bool, UnknownName> {
        let feature = self.catalog.feature(feature)?;
        Ok(self.features.of(premium).has(feature)
            || self.trial.as_ref().is_some_and(|trial| {
                trial.features.of(premium).has(feature) && trial.begins <= now && now < trial.ends
            }))
    }

    /// Whether a feature is on without the trial, for a user who is premium or not.
    pub fn has(&self, feature: &str, premium: bool) -> Result<bool, UnknownName> {
        let feature = self.catalog.feature(feature)?;
        Ok(self.features.of(premium).has(feature))
    }

    /// Whether the answer for a feature hangs on the user's being premium. Nobody need be asked
    /// about premium for any other.
    pub fn needs_premium(&self, feature: &str) -> Result<bool, UnknownName> {
        let feature = self.catalog.feature(feature)?;
        let tried = self.trial.as_ref();
        Ok(self.features.differ(feature)
            || tried.is_some_and(|trial| trial.features.differ(feature)))
    }

    /// Whether any answer hangs on the user's being premium.
    pub fn has_premium(&self) -> bool {
        let differ = |answers: &Answers| answers.free != answers.premium;
        let tried = self.trial.as_ref();
        differ(&self.features) || tried.is_some_and(|trial| differ(&trial.features))
    }

    /// How much of a limit there is; 0 of one that nobody grants (ENT-29).
    pub fn limit(&self, limit: &str) -> Result<Limit, UnknownName> {
        let at = self.catalog.limit_at(limit)?;
        let granted = self.limits.get(at).copied().flatten();
        Ok(granted.unwrap_or(Limit::Count(0)))
    }

    /// When the trial ends that gives the subject something, if there is one and it runs.
    pub fn trial_ends(&self, now: Timestamp) -> Option<Timestamp> {
        let runs = self.trial.as_ref();
        let runs = runs.filter(|trial| trial.begins <= now && now < trial.ends);
        runs.map(|trial| trial.ends)
    }

    /// What the subject has, for a user who is premium or not. A trial is not in it (KUM-43).
    pub fn describe(&self, premium: bool) -> Description {
        let on = self.features.of(premium);
        let features = self.catalog.features().enumerate();
        let features = features
            .filter(|(at, _)| self.mentioned.has(*at))
            .map(|(at, name)| (Arc::clone(name), on.has(at)));
        let limits = self.catalog.limits().zip(&self.limits);
        let limits = limits.filter_map(|(name, limit)| Some((Arc::clone(name), (*limit)?)));
        Description {
            tier: Arc::clone(self.tier()),
            features: features.collect(),
            limits: limits.collect(),
        }
    }
}
