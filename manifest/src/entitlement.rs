//! What a manifest says about entitlements beyond each tier's features and limits: rules of
//! features, add-ons, the trial, flags and metrics.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::{Limit, TierName};

/// What the manifest says about entitlements beyond the tiers.
#[derive(Debug, Default)]
pub(crate) struct Entitlements {
    pub(crate) features: IndexMap<Arc<str>, FeatureRule>,
    pub(crate) add_ons: IndexMap<Arc<str>, AddOn>,
    pub(crate) trial: Option<Trial>,
    pub(crate) flags: IndexMap<Arc<str>, Flag>,
    pub(crate) metrics: IndexMap<Arc<str>, Metric>,
}

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

            /// Their words.
            pub const WORDS: &[&str] = &[$($word),*];

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

/// One entry of a manifest beyond the tiers, in one spelling: whatever means the same is written
/// the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `trial`, `add-on`, `feature`, `flag` or `metric`.
    pub(crate) what: &'static str,
    pub(crate) name: Arc<str>,
    /// What it says.
    pub(crate) says: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.what, self.name, self.says)
    }
}

impl Entitlements {
    /// All entries, those of a kind by name. A rule that says nothing is none.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let trial = self.trial.iter().map(|trial| Entry {
            what: "trial",
            name: trial.tier.as_str().into(),
            says: format!("{} hours", trial.hours),
        });
        let add_ons = by_name("add-on", &self.add_ons, AddOn::says);
        let features = by_name("feature", &self.features, FeatureRule::says);
        let flags = by_name("flag", &self.flags, Flag::says);
        let metrics = by_name("metric", &self.metrics, Metric::says);
        let mut entries: Vec<Entry> = trial.chain(add_ons).collect();
        entries.extend(features.into_iter().filter(|rule| !rule.says.is_empty()));
        entries.extend(flags.into_iter().chain(metrics));
        entries
    }
}

fn by_name<E>(
    what: &'static str,
    entries: &IndexMap<Arc<str>, E>,
    says: impl Fn(&E) -> String,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = entries
        .iter()
        .map(|(name, entry)| Entry {
            what,
            name: Arc::clone(name),
            says: says(entry),
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// Names in ascending order: their order in the file has no meaning.
fn sorted(names: &[Arc<str>]) -> String {
    let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    names.join(", ")
}

impl FeatureRule {
    fn says(&self) -> String {
        let requires =
            (!self.requires.is_empty()).then(|| format!("requires {}", sorted(&self.requires)));
        let premium = self.premium_only.then(|| "premium-only".to_owned());
        requires
            .into_iter()
            .chain(premium)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl AddOn {
    fn says(&self) -> String {
        let limit = |(name, limit): (&Arc<str>, &Limit)| format!("{name} {limit}");
        let mut limits: Vec<String> = self.limits.iter().map(limit).collect();
        limits.sort_unstable();
        let features = Some(sorted(&self.features)).filter(|features| !features.is_empty());
        features
            .into_iter()
            .chain(limits)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Flag {
    fn says(&self) -> String {
        let premium = if self.premium_only {
            "; premium-only"
        } else {
            ""
        };
        match &self.default {
            FlagValue::Switch(on) => format!("{on}{premium}"),
            FlagValue::Variant(name) => format!("{name} of {}{premium}", sorted(&self.variants)),
        }
    }
}

impl Metric {
    /// The unit comes last: it may hold anything that fits on a line.
    fn says(&self) -> String {
        let (aggregate, period) = (self.aggregate.as_str(), self.period.as_str());
        let cap = self.cap.as_str();
        format!("{aggregate} per {period}, cap {cap}, unit {}", self.unit)
    }
}
