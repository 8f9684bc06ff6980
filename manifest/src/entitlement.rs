//! What a manifest says about entitlements beyond each tier's features and limits: rules of
//! features, add-ons, the trial, flags and metrics.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::{Limit, TierName};

/// A rule about a feature: `[feature.…]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureRule {
    /// Features without which it is off.
    pub requires: Vec<Arc<str>>,
    /// Whether it is off for everyone but premium users.
    pub premium_only: bool,
}

/// Something that is bought on top of a tier: `[add-on.…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddOn {
    /// Its name.
    pub name: Arc<str>,
    /// Features it switches on.
    pub features: Vec<Arc<str>>,
    /// Limits it sets, whatever the tier says.
    pub limits: IndexMap<Arc<str>, Limit>,
}

/// What new customers may try: `[trial]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The tier whose features may be tried.
    pub tier: TierName,
    /// For how many hours from the customer's creation on.
    pub hours: u32,
}

/// A switch that belongs to no tier: `[flag.…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Its name.
    pub name: Arc<str>,
    /// Its value where nothing overrides it.
    pub default: FlagValue,
    /// The values of a flag of variants; empty for one that is on or off.
    pub variants: Vec<Arc<str>>,
    /// Whether it is off for everyone but premium users.
    pub premium_only: bool,
}

/// A flag's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagValue {
    /// On or off.
    Switch(bool),
    /// One of several.
    Variant(Arc<str>),
}

/// Something that is counted: `[metric.…]`. Where a limit has the same name, it counts for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: Arc<str>,
    /// What one of it is called.
    pub unit: Arc<str>,
    /// What events amount to.
    pub aggregate: Aggregate,
    /// How long the limit of the same name is counted for.
    pub period: Period,
    /// How far the limit of the same name may be passed.
    pub cap: CapProfile,
}

/// A closed list of words, as they stand in a manifest.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$about])* $variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Reads what [`Self::as_str`] gives.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }
        }
    };
}

words! {
    /// What the events of a metric amount to (MET-1, MET-4).
    Aggregate {
        /// The total.
        Sum = "sum",
        /// The highest.
        Max = "max",
        /// The one with the latest time.
        Last = "last",
        /// How many different ones.
        Unique = "unique",
    }
}

words! {
    /// A stretch of the calendar in UTC (MET-2, MET-9).
    Period {
        /// A minute.
        Minute = "minute",
        /// An hour.
        Hour = "hour",
        /// A day.
        Day = "day",
        /// An ISO week, which starts on Monday.
        Week = "week",
        /// A month.
        Month = "month",
        /// A year.
        Year = "year",
    }
}

words! {
    /// How far a limit may be passed (KUM-55). Each has a soft and a hard multiple of the limit.
    CapProfile {
        /// Not at all: 1.0 and 1.0.
        Hard = "hard",
        /// 1.1 and 1.2.
        Burstable = "burstable",
        /// 1.0 and 1.05.
        Storage = "storage",
        /// 1.1 and 1.3.
        Egress = "egress",
    }
}
