//! Rules of features, add-ons, the trial, flags and metrics: their names looked up among the
//! features, limits and tiers, and what they say judged.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use toml::Spanned;

use super::ResolvedTier;
use crate::diagnostic::Found;
use crate::document::{
    AddOnEntry, Document, FlagDefault, FlagEntry, MetricEntry, RuleEntry, Text, TrialEntry,
};
use crate::entitlement::Entitlements;
use crate::grants::{Grants, Universe, is_key, judge};
use crate::graph::{Edge, Graph, Node};
use crate::invariants::{self, entitlements as rules};
use crate::suggest::Speller;
use crate::{AddOn, CapProfile, FeatureRule, Flag, FlagValue, Metric, TierName, Trial};

/// Longest unit of a metric, in characters.
const UNIT_MAX: usize = 64;

/// What the rest of the manifest has been resolved to.
pub(super) struct Context<'c, 'd, 'i> {
    pub(super) features: &'c Universe<'d, 'i>,
    pub(super) limits: &'c Universe<'d, 'i>,
    /// The tiers in ascending order.
    pub(super) tiers: &'c [ResolvedTier<'d>],
    pub(super) default_tier: usize,
    /// What the highest tier grants, and where.
    pub(super) grants: &'c Grants<'d, 'i>,
    pub(super) speller: &'c Speller,
}

impl<'i> Context<'_, '_, 'i> {
    /// Resolves all that the document says about entitlements, and reports what has no meaning.
    pub(super) fn resolve(&self, document: &Document<'i>, found: &mut Found) -> Entitlements {
        self.judge_names(document, found);
        let features = document
            .rules
            .iter()
            .filter_map(|entry| self.rule(entry, found));
        let features = features.collect();
        self.report_cycles(&document.rules, found);
        let add_ons = document
            .add_ons
            .iter()
            .map(|entry| self.add_on(entry, found));
        let add_ons = add_ons
            .map(|add_on| (Arc::clone(&add_on.name), add_on))
            .collect();
        let trial = document.trial.as_ref();
        let trial = trial.and_then(|entry| self.trial(entry, &document.order, found));
        let flags = document.flags.iter().map(|entry| self.flag(entry, found));
        let flags = flags.map(|flag| (Arc::clone(&flag.name), flag)).collect();
        let metrics = document
            .metrics
            .iter()
            .map(|entry| self.metric(entry, found));
        let metrics = metrics
            .map(|metric| (Arc::clone(&metric.name), metric))
            .collect();
        if !found.has_errors() {
            self.doubt(document, found);
        }
        Entitlements {
            features,
            add_ons,
            trial,
            flags,
            metrics,
        }
    }

    /// The names that are declared here; and that no two kinds share one (T-4).
    fn judge_names(&self, document: &Document<'i>, found: &mut Found) {
        let flags = || document.flags.iter().map(|entry| &entry.name);
        let metrics = || document.metrics.iter().map(|entry| &entry.name);
        judge(
            "add-on",
            document.add_ons.iter().map(|entry| &entry.name),
            found,
        );
        judge("flag", flags(), found);
        judge("metric", metrics(), found);

        let mut taken: HashMap<String, (&str, &Text<'_>)> = HashMap::new();
        for (_, name) in self.features {
            taken.insert(name.get_ref().to_lowercase(), ("feature", name));
        }
        let limits = self.limits.values().map(|name| ("limit", *name));
        let flags = flags().map(|name| ("flag", name));
        let metrics = metrics().map(|name| ("metric", name));
        for (what, name) in limits.chain(flags).chain(metrics) {
            match taken.get(&name.get_ref().to_lowercase()) {
                // Two of one kind have been compared.
                Some((other, _)) if *other == what => {}
                Some(("limit", limit)) if what == "metric" && limit.get_ref() == name.get_ref() => {
                }
                Some((other, first)) => {
                    found.add(rules::two_meanings(what, name, other, first));
                }
                None => {
                    taken.insert(name.get_ref().to_lowercase(), (what, name));
                }
            }
        }
    }

    /// A list of features, without those that are unknown or named twice.
    fn look_up(&self, list: &[Text<'_>], found: &mut Found) -> Vec<Arc<str>> {
        let mut first: IndexMap<&str, &Text<'_>> = IndexMap::new();
        for name in list {
            if !self.is_feature(name, found) {
                continue;
            }
            match first.entry(name.get_ref()) {
                indexmap::map::Entry::Occupied(entry) => {
                    found.add(invariants::duplicate(name, entry.get().span()));
                }
                indexmap::map::Entry::Vacant(new) => {
                    new.insert(name);
                }
            }
        }
        first.into_keys().map(Arc::from).collect()
    }

    fn is_feature(&self, name: &Text<'_>, found: &mut Found) -> bool {
        let known = self.features.contains_key(&**name.get_ref());
        if !known {
            let near = self
                .speller
                .nearest(name.get_ref(), self.features.keys().copied());
            found.add(invariants::undeclared("feature", name, near));
        }
        known
    }

    fn rule(&self, entry: &RuleEntry<'_>, found: &mut Found) -> Option<(Arc<str>, FeatureRule)> {
        let known = self.is_feature(&entry.name, found);
        let rule = FeatureRule {
            requires: self.look_up(&entry.requires, found),
            premium_only: entry.premium_only,
        };
        known.then(|| (Arc::from(&**entry.name.get_ref()), rule))
    }

    fn report_cycles(&self, entries: &[RuleEntry<'_>], found: &mut Found) {
        let node = |name: &Text<'_>| self.features.get_index_of(&**name.get_ref());
        let edges: Vec<(Node, Node, Edge)> = entries
            .iter()
            .filter_map(|entry| Some((node(&entry.name)?, entry)))
            .flat_map(|(from, entry)| {
                let to = entry.requires.iter().filter_map(node);
                to.map(move |to| (from, to, Edge::Requires))
            })
            .collect();
        for cycle in Graph::new(self.features.len(), &edges).cycles() {
            let name = |node: &Node| self.features.get_index(*node).map(|(name, _)| *name);
            let names: Vec<&str> = cycle.iter().filter_map(name).collect();
            let (Some(first), Some(last)) = (names.first(), names.last()) else {
                continue;
            };
            let closing = entries
                .iter()
                .find(|entry| entry.name.get_ref() == last)
                .and_then(|entry| entry.requires.iter().find(|name| name.get_ref() == first));
            let place = closing.map_or(0..0, Spanned::span);
            found.add(rules::requirement_cycle(&names, place));
        }
    }

    fn add_on(&self, entry: &AddOnEntry<'_>, found: &mut Found) -> AddOn {
        let mut limits = IndexMap::new();
        for (name, value) in &entry.limits {
            if self.limits.contains_key(&**name.get_ref()) {
                limits.insert(Arc::from(&**name.get_ref()), *value.get_ref());
            } else {
                let near = self
                    .speller
                    .nearest(name.get_ref(), self.limits.keys().copied());
                found.add(invariants::undeclared("limit", name, near));
            }
        }
        AddOn {
            name: Arc::from(&**entry.name.get_ref()),
            features: self.look_up(&entry.features, found),
            limits,
        }
    }

    fn trial(
        &self,
        entry: &TrialEntry<'_>,
        order: &[Text<'_>],
        found: &mut Found,
    ) -> Option<Trial> {
        let name = &entry.tier;
        let mut names = order.iter().map(|tier| &**tier.get_ref());
        if !names.clone().any(|tier| tier == name.get_ref()) {
            let near = self.speller.nearest(name.get_ref(), &mut names);
            found.add(rules::no_such_trial_tier(name, near, order));
        }
        Some(Trial {
            tier: TierName::parse(name.get_ref()).ok()?,
            hours: entry.hours,
        })
    }

    fn flag(&self, entry: &FlagEntry<'_>, found: &mut Found) -> Flag {
        let variants = &entry.variants;
        let mut first: IndexMap<&str, &Text<'_>> = IndexMap::new();
        for variant in variants {
            if !is_key(variant.get_ref()) {
                found.add(invariants::not_a_key("variant", variant));
            }
            match first.entry(variant.get_ref()) {
                indexmap::map::Entry::Occupied(entry) => {
                    found.add(invariants::duplicate(variant, entry.get().span()));
                }
                indexmap::map::Entry::Vacant(new) => {
                    new.insert(variant);
                }
            }
        }
        let default = match &entry.default {
            FlagDefault::Switch(on) => {
                if !variants.is_empty() {
                    found.add(rules::switch_of_variants(&entry.name, on.span(), variants));
                }
                FlagValue::Switch(*on.get_ref())
            }
            FlagDefault::Variant(name) => {
                if variants.is_empty() {
                    let near = self.speller.nearest(name.get_ref(), ["true", "false"]);
                    found.add(rules::default_without_variants(&entry.name, name, near));
                } else if !first.contains_key(&**name.get_ref()) {
                    let near = self.speller.nearest(name.get_ref(), first.keys().copied());
                    found.add(rules::no_such_variant(&entry.name, name, near, variants));
                }
                FlagValue::Variant(Arc::from(&**name.get_ref()))
            }
        };
        Flag {
            name: Arc::from(&**entry.name.get_ref()),
            default,
            variants: first.into_keys().map(Arc::from).collect(),
            premium_only: entry.premium_only,
        }
    }

    fn metric(&self, entry: &MetricEntry<'_>, found: &mut Found) -> Metric {
        let name = entry.name.get_ref();
        let unit = entry.unit.get_ref();
        if !(1..=UNIT_MAX).contains(&unit.chars().count())
            || unit.trim() != unit
            || unit.contains(char::is_control)
        {
            found.add(rules::not_a_unit(&entry.name, &entry.unit));
        }
        let cap = entry.cap.as_ref();
        let tolerant = cap.filter(|cap| *cap.get_ref() != CapProfile::Hard);
        if let Some(cap) = tolerant
            && !self.limits.contains_key(&**name)
        {
            let near = self.speller.nearest(name, self.limits.keys().copied());
            found.add(rules::cap_without_limit(&entry.name, cap.span(), near));
        }
        Metric {
            name: Arc::from(&**name),
            unit: Arc::from(&**unit),
            aggregate: entry.aggregate,
            period: entry.period,
            cap: cap.map_or(CapProfile::Hard, |cap| *cap.get_ref()),
        }
    }
}
