//! What a manifest may say about entitlements and probably does not mean: grants that are never
//! on, add-ons and trials that give nothing.

use std::collections::{HashMap, HashSet};

use toml::Spanned;

use super::entitlements::Context;
use crate::diagnostic::Found;
use crate::document::{AddOnEntry, Document, RuleEntry};
use crate::invariants::entitlements as rules;

impl Context<'_, '_, '_> {
    /// Reports all of it, of a document without errors.
    pub(super) fn doubt(&self, document: &Document<'_>, found: &mut Found) {
        let sold = document.add_ons.iter().flat_map(|entry| &entry.features);
        let sold: HashSet<&str> = sold.map(|name| &**name.get_ref()).collect();
        for rule in &document.rules {
            self.doubt_grants(rule, &sold, found);
        }
        let rules = document.rules.iter();
        let rules: HashMap<&str, &RuleEntry<'_>> = rules
            .map(|entry| (&**entry.name.get_ref(), entry))
            .collect();
        for add_on in &document.add_ons {
            self.doubt_sale(add_on, &rules, &sold, found);
            self.doubt_use(add_on, found);
        }
        self.doubt_trial(document, found);
    }

    /// The lowest tier that grants a feature must grant what that requires; tiers above have both
    /// then. What an add-on switches on may be missing on purpose.
    fn doubt_grants(&self, rule: &RuleEntry<'_>, sold: &HashSet<&str>, found: &mut Found) {
        let feature = &**rule.name.get_ref();
        let mut tiers = self.tiers.iter();
        let Some(tier) = tiers.find(|tier| tier.features.contains(feature)) else {
            return;
        };
        for required in &rule.requires {
            let name = &**required.get_ref();
            if !tier.features.contains(name) && !sold.contains(name) {
                let granted = self.grants.first(feature).map_or(0..0, Spanned::span);
                let problem = rules::requirement_not_granted(feature, required, tier.name, granted);
                found.add(problem);
            }
        }
    }

    /// What an add-on switches on may require features of some tier or of another add-on.
    fn doubt_sale(
        &self,
        add_on: &AddOnEntry<'_>,
        rules: &HashMap<&str, &RuleEntry<'_>>,
        sold: &HashSet<&str>,
        found: &mut Found,
    ) {
        for feature in &add_on.features {
            let rule = rules.get(&**feature.get_ref());
            for required in rule.iter().flat_map(|rule| &rule.requires) {
                let name = &**required.get_ref();
                if self.grants.first(name).is_none() && !sold.contains(name) {
                    let add_on = add_on.name.get_ref();
                    found.add(rules::requirement_not_sold(feature, required, add_on));
                }
            }
        }
    }

    fn doubt_use(&self, add_on: &AddOnEntry<'_>, found: &mut Found) {
        let name = &add_on.name;
        if add_on.features.is_empty() && add_on.limits.is_empty() {
            found.add(rules::empty_add_on(name));
        }
        let Some(lowest) = self.tiers.first() else {
            return;
        };
        for feature in &add_on.features {
            if lowest.features.contains(&**feature.get_ref()) {
                found.add(rules::feature_of_every_tier(name, feature, lowest.name));
            }
        }
        for (limit, value) in &add_on.limits {
            let granted = lowest.limits.get(&**limit.get_ref());
            if granted.is_some_and(|granted| value.get_ref() <= granted) {
                let place = value.span();
                found.add(rules::limit_of_every_tier(name, limit, place, lowest.name));
            }
        }
    }

    fn doubt_trial(&self, document: &Document<'_>, found: &mut Found) {
        let Some(name) = document.trial.as_ref().map(|trial| &trial.tier) else {
            return;
        };
        let mut tiers = self.tiers.iter();
        if let Some(tier) = tiers.find(|tier| tier.name == name.get_ref())
            && let Some(default) = self.tiers.get(self.default_tier)
            && tier.features.is_subset(&default.features)
        {
            found.add(rules::trial_of_nothing(name, default.name));
        }
    }
}
