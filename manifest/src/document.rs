//! The contents of `tiers.toml`, each name with its place. Only what has the right shape gets here;
//! whether the names mean anything is not asked yet.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{Aggregate, CapProfile, Limit, Period, Removal, shape};

/// A string and where it stands.
pub(crate) type Text<'i> = Spanned<Cow<'i, str>>;

/// A whole file.
#[derive(Debug, Default)]
pub(crate) struct Document<'i> {
    pub(crate) scope: Option<Text<'i>>,
    pub(crate) default_tier: Option<Text<'i>>,
    /// The tiers in ascending order.
    pub(crate) order: Vec<Text<'i>>,
    /// The universe of features, when declared.
    pub(crate) features: Option<Vec<Text<'i>>>,
    /// The universe of limits, when declared.
    pub(crate) limits: Option<Vec<Text<'i>>>,
    pub(crate) foundation: Vec<Text<'i>>,
    pub(crate) tiers: Vec<TierEntry<'i>>,
    pub(crate) trial: Option<TrialEntry<'i>>,
    pub(crate) add_ons: Vec<AddOnEntry<'i>>,
    pub(crate) rules: Vec<RuleEntry<'i>>,
    pub(crate) flags: Vec<FlagEntry<'i>>,
    pub(crate) metrics: Vec<MetricEntry<'i>>,
    pub(crate) packages: Vec<PackageEntry<'i>>,
    pub(crate) removals: Vec<Removal>,
}

#[derive(Debug)]
pub(crate) struct TierEntry<'i> {
    pub(crate) name: Text<'i>,
    pub(crate) leaves: Vec<Text<'i>>,
    pub(crate) features: Vec<(Text<'i>, bool)>,
    pub(crate) limits: Vec<(Text<'i>, Spanned<Limit>)>,
}

#[derive(Debug)]
pub(crate) struct TrialEntry<'i> {
    pub(crate) tier: Text<'i>,
    pub(crate) hours: u32,
}

#[derive(Debug)]
pub(crate) struct AddOnEntry<'i> {
    pub(crate) name: Text<'i>,
    pub(crate) features: Vec<Text<'i>>,
    pub(crate) limits: Vec<(Text<'i>, Spanned<Limit>)>,
}

/// A `[feature.…]` entry.
#[derive(Debug)]
pub(crate) struct RuleEntry<'i> {
    pub(crate) name: Text<'i>,
    pub(crate) requires: Vec<Text<'i>>,
    pub(crate) premium_only: bool,
}

#[derive(Debug)]
pub(crate) struct FlagEntry<'i> {
    pub(crate) name: Text<'i>,
    pub(crate) default: FlagDefault<'i>,
    pub(crate) variants: Vec<Text<'i>>,
    pub(crate) premium_only: bool,
}

#[derive(Debug)]
pub(crate) enum FlagDefault<'i> {
    Switch(Spanned<bool>),
    Variant(Text<'i>),
}

#[derive(Debug)]
pub(crate) struct MetricEntry<'i> {
    pub(crate) name: Text<'i>,
    pub(crate) unit: Text<'i>,
    pub(crate) aggregate: Aggregate,
    pub(crate) period: Period,
    pub(crate) cap: Option<Spanned<CapProfile>>,
}

#[derive(Debug)]
pub(crate) struct PackageEntry<'i> {
    pub(crate) name: Text<'i>,
    pub(crate) requires: Vec<Text<'i>>,
    pub(crate) console: Vec<Text<'i>>,
}

impl<'i> Document<'i> {
    /// Takes what it can; [`shape::check`] has reported the rest.
    pub(crate) fn take(mut file: DeTable<'i>) -> Self {
        let mut manifest = table(&mut file, "manifest");
        let declared =
            |table: &mut DeTable<'i>, key| table.contains_key(key).then(|| texts(table, key));
        let mut order = texts(&mut manifest, "tiers");
        order.truncate(shape::TIERS_MAX);
        Self {
            scope: text(&mut manifest, "scope"),
            default_tier: text(&mut manifest, "default-tier"),
            order,
            features: declared(&mut manifest, "features"),
            limits: declared(&mut manifest, "limits"),
            foundation: texts(&mut table(&mut file, "foundation"), "leaves"),
            tiers: named(&mut file, "tier")
                .map(|(name, table)| tier(name, table))
                .collect(),
            trial: trial(table(&mut file, "trial")),
            add_ons: in_file_order(
                named(&mut file, "add-on").map(|(name, mut table)| AddOnEntry {
                    name,
                    features: texts(&mut table, "features"),
                    limits: limits(&mut table),
                }),
                |entry| &entry.name,
            ),
            rules: in_file_order(
                named(&mut file, "feature").map(|(name, mut table)| RuleEntry {
                    name,
                    requires: texts(&mut table, "requires"),
                    premium_only: switch(&mut table, "premium-only"),
                }),
                |entry| &entry.name,
            ),
            flags: in_file_order(
                named(&mut file, "flag").filter_map(|(name, table)| flag(name, table)),
                |entry| &entry.name,
            ),
            metrics: in_file_order(
                named(&mut file, "metric").filter_map(|(name, table)| metric(name, table)),
                |entry| &entry.name,
            ),
            packages: named(&mut file, "package")
                .map(|(name, mut table)| PackageEntry {
                    name,
                    requires: texts(&mut table, "requires"),
                    console: texts(&mut table, "console"),
                })
                .collect(),
            removals: removals(&mut file),
        }
    }
}

fn tier<'i>(name: Text<'i>, mut entry: DeTable<'i>) -> TierEntry<'i> {
    let leaves = texts(&mut entry, "leaves");
    let features = table(&mut entry, "features")
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.get_ref().as_bool()?)))
        .collect();
    TierEntry {
        name,
        leaves,
        features,
        limits: limits(&mut entry),
    }
}

fn limits<'i>(entry: &mut DeTable<'i>) -> Vec<(Text<'i>, Spanned<Limit>)> {
    table(entry, "limits")
        .into_iter()
        .filter_map(|(name, value)| {
            let limit = shape::limit(value.get_ref())?;
            Some((name, Spanned::new(value.span(), limit)))
        })
        .collect()
}

fn trial(mut entry: DeTable<'_>) -> Option<TrialEntry<'_>> {
    Some(TrialEntry {
        tier: text(&mut entry, "tier")?,
        hours: shape::hours(entry.remove("hours")?.get_ref())?,
    })
}

fn flag<'i>(name: Text<'i>, mut entry: DeTable<'i>) -> Option<FlagEntry<'i>> {
    let default = entry.remove("default")?;
    let default = match default.get_ref().as_bool() {
        Some(on) => FlagDefault::Switch(Spanned::new(default.span(), on)),
        None => FlagDefault::Variant(as_text(default)?),
    };
    Some(FlagEntry {
        name,
        default,
        variants: texts(&mut entry, "variants"),
        premium_only: switch(&mut entry, "premium-only"),
    })
}

fn metric<'i>(name: Text<'i>, mut entry: DeTable<'i>) -> Option<MetricEntry<'i>> {
    let period = text(&mut entry, "period").and_then(|word| Period::parse(word.get_ref()));
    let cap = text(&mut entry, "cap").and_then(|word| {
        let cap = CapProfile::parse(word.get_ref())?;
        Some(Spanned::new(word.span(), cap))
    });
    Some(MetricEntry {
        name,
        unit: text(&mut entry, "unit")?,
        aggregate: Aggregate::parse(text(&mut entry, "aggregate")?.get_ref())?,
        period: period.unwrap_or(Period::Month),
        cap,
    })
}

fn switch(table: &mut DeTable<'_>, key: &str) -> bool {
    let value = table.remove(key);
    value.and_then(|value| value.get_ref().as_bool()) == Some(true)
}

/// The parser's tables are sorted by name; what people read is in the order they wrote.
fn in_file_order<'e, E>(
    entries: impl Iterator<Item = E>,
    name: impl Fn(&E) -> &Text<'e>,
) -> Vec<E> {
    let mut entries: Vec<E> = entries.collect();
    entries.sort_by_key(|entry| name(entry).span().start);
    entries
}

fn removals(file: &mut DeTable<'_>) -> Vec<Removal> {
    let Some(DeValue::Array(items)) = file.remove("removal").map(Spanned::into_inner) else {
        return Vec::new();
    };
    let removal = |item: Spanned<DeValue<'_>>| {
        let span = item.span();
        let DeValue::Table(mut entry) = item.into_inner() else {
            return None;
        };
        let mut field = |key| Some(text(&mut entry, key)?.into_inner().into_owned());
        Some(Removal {
            tier: field("tier")?,
            name: field("name")?,
            reason: field("reason")?,
            date: entry.remove("date")?.get_ref().as_datetime()?.to_string(),
            span,
        })
    };
    items.into_iter().filter_map(removal).collect()
}

fn text<'i>(table: &mut DeTable<'i>, key: &str) -> Option<Text<'i>> {
    table.remove(key).and_then(as_text)
}

fn as_text(value: Spanned<DeValue<'_>>) -> Option<Text<'_>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::String(text) => Some(Spanned::new(span, text)),
        _ => None,
    }
}

fn texts<'i>(table: &mut DeTable<'i>, key: &str) -> Vec<Text<'i>> {
    match table.remove(key).map(Spanned::into_inner) {
        // Collected in place: the memory of the parser's list becomes that of ours.
        Some(DeValue::Array(items)) => items.into_iter().filter_map(as_text).collect(),
        _ => Vec::new(),
    }
}

fn table<'i>(parent: &mut DeTable<'i>, key: &str) -> DeTable<'i> {
    match parent.remove(key).map(Spanned::into_inner) {
        Some(DeValue::Table(table)) => table,
        _ => DeTable::new(),
    }
}

fn named<'i>(parent: &mut DeTable<'i>, key: &str) -> impl Iterator<Item = (Text<'i>, DeTable<'i>)> {
    table(parent, key)
        .into_iter()
        .filter_map(|(name, value)| match value.into_inner() {
            DeValue::Table(table) => Some((name, table)),
            _ => None,
        })
}
