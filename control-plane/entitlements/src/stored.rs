//! What is stored of a subject, and the switches that are stored for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use manifest::Limit;

use crate::catalog::Catalog;
use crate::names::UnknownName;

/// Who gave a subject its tier. A subject without an assignment has the default tier (ENT-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Somebody did by hand.
    Manual,
    /// What was paid.
    Billing,
}

impl Source {
    /// How it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Billing => "billing",
        }
    }

    /// Reads what [`Self::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Manual, Self::Billing]
            .into_iter()
            .find(|source| source.as_str() == text)
    }
}

/// A tier that was given to a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The tier.
    pub tier: Arc<str>,
    /// Who gave it.
    pub source: Source,
    /// The one who did it, by name or id.
    pub actor: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When.
    pub assigned_at: Timestamp,
}

/// What a subject has in place of what its tier and add-ons say, key by key (ENT-17). The same
/// shape is a change of overrides: the keys to be set (ENT-18).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Features, on or off.
    pub features: BTreeMap<Arc<str>, bool>,
    /// Limits.
    pub limits: BTreeMap<Arc<str>, Limit>,
}

/// An override that cannot be stored (ENT-21).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// It names what the catalog does not have.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// A count beyond what a database can hold.
    #[error("limit `{limit}` cannot be {count}: use at most {max}, or make it unlimited", max = i64::MAX)]
    TooLarge {
        /// The limit.
        limit: Arc<str>,
        /// The count.
        count: u64,
    },
}

impl Overrides {
    /// Sets a feature.
    #[must_use]
    pub fn feature(mut self, name: impl Into<Arc<str>>, on: bool) -> Self {
        self.features.insert(name.into(), on);
        self
    }

    /// Sets a limit.
    #[must_use]
    pub fn limit(mut self, name: impl Into<Arc<str>>, limit: Limit) -> Self {
        self.limits.insert(name.into(), limit);
        self
    }

    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty() && self.limits.is_empty()
    }

    /// Gives itself back when all of it may be stored (ENT-21).
    pub fn checked(self, catalog: &Catalog) -> Result<Self, OverrideError> {
        for name in self.features.keys() {
            catalog.check_feature(name)?;
        }
        for (name, limit) in &self.limits {
            catalog.check_limit(name)?;
            if let Limit::Count(count) = *limit
                && i64::try_from(count).is_err()
            {
                let limit = Arc::clone(name);
                return Err(OverrideError::TooLarge { limit, count });
            }
        }
        Ok(self)
    }
}

/// All that decides what a subject may do, but for the catalog, the switches, premium and time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Whose it is. Only said in errors.
    pub subject: String,
    /// The tier it was assigned, if any.
    pub tier: Option<Arc<str>>,
    /// Its add-ons, in the order in which they count (KUM-45).
    pub add_ons: Vec<Arc<str>>,
    /// Its overrides.
    pub overrides: Overrides,
    /// When it came to be: where its trial begins.
    pub created_at: Option<Timestamp>,
}

impl Stored {
    /// A subject of which nothing is stored.
    pub fn nothing_of(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            ..Self::default()
        }
    }
}

/// Features that were switched for all subjects at once. Off takes a feature from everybody; on
/// gives it to nobody (KUM-50).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches(pub BTreeMap<Arc<str>, bool>);

impl Switches {
    /// The features that are off for all.
    pub fn off(&self) -> impl Iterator<Item = &Arc<str>> {
        let off = self.0.iter().filter(|(_, on)| !**on);
        off.map(|(name, _)| name)
    }
}

/// A switch, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The feature.
    pub feature: String,
    /// Whether it may be on at all.
    pub on: bool,
    /// How often it was set.
    pub version: i64,
    /// Who set it.
    pub actor: String,
    /// When.
    pub updated_at: Timestamp,
}

/// What setting a switch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switched {
    /// What it said before; `None` the first time.
    pub before: Option<bool>,
    /// Its new version.
    pub version: i64,
}

/// How to set a switch.
#[derive(Debug, Clone, Copy)]
pub struct SetSwitch<'a> {
    /// The feature, which was checked against the catalog.
    pub feature: &'a str,
    /// Whether it may be on at all.
    pub on: bool,
    /// Who sets it.
    pub actor: &'a str,
    /// The version that it must still have; 0 for one that was never set.
    pub expected: Option<i64>,
}

/// How many are listed unless more or fewer are asked for.
pub const LISTED: u32 = 100;

/// A subject with an assignment, an override or an add-on of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The subject.
    pub subject: String,
    /// Whether it was assigned a tier.
    pub assigned: bool,
    /// Whether it has overrides.
    pub overridden: bool,
    /// Whether it has add-ons.
    pub add_ons: bool,
    /// When any of that was last set.
    pub configured_at: Timestamp,
}

/// The last subject of the page before.
#[derive(Debug, Clone, Copy)]
pub struct After<'a> {
    /// When it was configured.
    pub configured_at: Timestamp,
    /// Its name.
    pub subject: &'a str,
}
