//! Builds a catalog, and refuses one that contradicts itself.

use std::sync::Arc;

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use manifest::{FeatureRule, Limit, TierName};

use super::error::{CatalogError, not_a_name, twice};
use super::{AddOn, Catalog, Compiled, Grants, Names, Trial, unknown};
use crate::bits::Bits;
use crate::names::{Kind, is_key};

/// A catalog that is being put together. [`Builder::build`] checks it.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    features: Option<Vec<Arc<str>>>,
    limits: Option<Vec<Arc<str>>>,
    tiers: Vec<TierGrants>,
    default_tier: Option<Arc<str>>,
    rules: Vec<(Arc<str>, FeatureRule)>,
    add_ons: Vec<manifest::AddOn>,
    trial: Option<(Arc<str>, u32)>,
}

/// What a tier grants on top of the tiers below it.
#[derive(Debug, Clone)]
pub struct TierGrants {
    name: Arc<str>,
    features: Vec<Arc<str>>,
    limits: Vec<(Arc<str>, Limit)>,
}

impl TierGrants {
    /// A tier that so far grants what the tier below it grants.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            features: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// Switches a feature on.
    #[must_use]
    pub fn feature(mut self, name: impl Into<Arc<str>>) -> Self {
        self.features.push(name.into());
        self
    }

    /// Grants so much of a limit.
    #[must_use]
    pub fn limit(mut self, name: impl Into<Arc<str>>, limit: Limit) -> Self {
        self.limits.push((name.into(), limit));
        self
    }
}

impl Builder {
    /// Declares the features there are. Without, they are those that are used (ENT-8).
    #[must_use]
    pub fn features<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.features.get_or_insert_default().extend(names);
        self
    }

    /// Declares the limits there are. Without, they are those that are used (ENT-8).
    #[must_use]
    pub fn limits<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.limits.get_or_insert_default().extend(names);
        self
    }

    /// Adds a tier above those that were added before.
    #[must_use]
    pub fn tier(mut self, tier: TierGrants) -> Self {
        self.tiers.push(tier);
        self
    }

    /// Says which tier subjects without an assignment have.
    #[must_use]
    pub fn default_tier(mut self, name: impl Into<Arc<str>>) -> Self {
        self.default_tier = Some(name.into());
        self
    }

    /// Sets a rule about a feature.
    #[must_use]
    pub fn rule(mut self, feature: impl Into<Arc<str>>, rule: FeatureRule) -> Self {
        self.rules.push((feature.into(), rule));
        self
    }

    /// Adds something that is bought on top of a tier.
    #[must_use]
    pub fn add_on(mut self, add_on: manifest::AddOn) -> Self {
        self.add_ons.push(add_on);
        self
    }

    /// Has new subjects try a tier's features for some hours.
    #[must_use]
    pub fn trial(mut self, tier: impl Into<Arc<str>>, hours: u32) -> Self {
        self.trial = Some((tier.into(), hours));
        self
    }

    /// Checks everything and makes the catalog.
    pub fn build(self) -> Result<Catalog, CatalogError> {
        let tier_names = self.tier_names()?;
        let default_tier = self.default_tier_of(&tier_names)?;
        let features = universe(
            Kind::Feature,
            self.features.as_deref(),
            self.used_features(),
        )?;
        let limits = universe(Kind::Limit, self.limits.as_deref(), self.used_limits())?;
        if let Some(both) = features.iter().find(|name| limits.contains(*name)) {
            return Err(CatalogError::Both(Arc::clone(both)));
        }
        let trial = self.trial.as_ref().map(|(tier, hours)| {
            let found = tier_names.get_index_of(tier);
            let tier = found.ok_or_else(|| {
                CatalogError::TrialTier(unknown(Kind::Tier, tier, tier_names.iter()))
            })?;
            Ok(Trial {
                tier,
                hours: *hours,
            })
        });
        let lookup = Lookup {
            features: &features,
            limits: &limits,
        };
        let grants = self.grants(&lookup)?;
        let add_ons = self.compiled_add_ons(&lookup)?;
        let mut premium_only = Bits::none(features.len());
        let mut needs: Vec<Vec<usize>> = vec![Vec::new(); features.len()];
        let mut ruled = Names::default();
        for (name, rule) in &self.rules {
            let place = || format!("the rule of feature `{name}`");
            let feature = lookup.feature(name, place)?;
            if !ruled.insert(Arc::clone(name)) {
                return Err(twice(Kind::Feature, name));
            }
            premium_only.set(feature, rule.premium_only);
            if let Some(list) = needs.get_mut(feature) {
                for name in &rule.requires {
                    list.push(lookup.feature(name, place)?);
                }
            }
        }
        let requires = in_order(&features, needs)?;
        Ok(Catalog(Arc::new(Compiled {
            default_tier,
            grants,
            add_ons,
            trial: trial.transpose()?,
            premium_only,
            requires,
            tier_names,
            features,
            limits,
        })))
    }

    fn tier_names(&self) -> Result<Names, CatalogError> {
        let mut names = Names::default();
        for TierGrants { name, .. } in &self.tiers {
            if TierName::parse(name).is_err() {
                return Err(not_a_name(Kind::Tier, name));
            }
            if !names.insert(Arc::clone(name)) {
                return Err(twice(Kind::Tier, name));
            }
        }
        Ok(names)
    }

    fn default_tier_of(&self, tiers: &Names) -> Result<usize, CatalogError> {
        if tiers.is_empty() {
            return Err(CatalogError::NoTier);
        }
        let Some(name) = &self.default_tier else {
            return Err(CatalogError::NoDefault(tiers.iter().cloned().collect()));
        };
        let place = tiers.get_index_of(name);
        place.ok_or_else(|| CatalogError::DefaultTier(unknown(Kind::Tier, name, tiers.iter())))
    }

    fn used_features(&self) -> impl Iterator<Item = &Arc<str>> {
        let tiers = self.tiers.iter().flat_map(|tier| &tier.features);
        let add_ons = self.add_ons.iter().flat_map(|add_on| &add_on.features);
        tiers.chain(add_ons)
    }

    fn used_limits(&self) -> impl Iterator<Item = &Arc<str>> {
        let tiers = self.tiers.iter().flat_map(|tier| &tier.limits);
        let add_ons = self.add_ons.iter().flat_map(|add_on| add_on.limits.keys());
        tiers.map(|(name, _)| name).chain(add_ons)
    }

    /// What each tier grants, tiers below included.
    fn grants(&self, lookup: &Lookup<'_>) -> Result<Vec<Grants>, CatalogError> {
        let mut features = Bits::none(lookup.features.len());
        let mut limits: Box<[Option<Limit>]> = vec![None; lookup.limits.len()].into();
        let mut grants = Vec::new();
        for tier in &self.tiers {
            let place = || format!("tier `{}`", tier.name);
            for name in &tier.features {
                features.set(lookup.feature(name, place)?, true);
            }
            for (name, to) in &tier.limits {
                let at = lookup.limit(name, place)?;
                let Some(granted) = limits.get_mut(at) else {
                    continue;
                };
                if let Some(from) = granted.filter(|from| from > to) {
                    return Err(CatalogError::Lowered {
                        tier: Arc::clone(&tier.name),
                        limit: Arc::clone(name),
                        from,
                        to: *to,
                    });
                }
                *granted = Some(*to);
            }
            grants.push(Grants {
                features: features.clone(),
                limits: limits.clone(),
            });
        }
        Ok(grants)
    }

    fn compiled_add_ons(
        &self,
        lookup: &Lookup<'_>,
    ) -> Result<IndexMap<Arc<str>, AddOn, RandomState>, CatalogError> {
        let mut compiled = IndexMap::default();
        for add_on in &self.add_ons {
            let name = &add_on.name;
            let place = || format!("add-on `{name}`");
            if !is_key(name) {
                return Err(not_a_name(Kind::AddOn, name));
            }
            let features = add_on.features.iter();
            let features = features.map(|name| lookup.feature(name, place));
            let limits = add_on.limits.iter();
            let limits = limits.map(|(name, limit)| Ok((lookup.limit(name, place)?, *limit)));
            let adds = AddOn {
                features: features.collect::<Result<_, _>>()?,
                limits: limits.collect::<Result<_, CatalogError>>()?,
            };
            if compiled.insert(Arc::clone(name), adds).is_some() {
                return Err(twice(Kind::AddOn, name));
            }
        }
        Ok(compiled)
    }
}

/// The declared names, or else those that are used.
fn universe<'a>(
    kind: Kind,
    declared: Option<&[Arc<str>]>,
    used: impl Iterator<Item = &'a Arc<str>>,
) -> Result<Names, CatalogError> {
    let names = if let Some(declared) = declared {
        let mut names = Names::default();
        for name in declared {
            if !names.insert(Arc::clone(name)) {
                return Err(twice(kind, name));
            }
        }
        names
    } else {
        used.cloned().collect()
    };
    match names.iter().find(|name| !is_key(name)) {
        Some(bad) => Err(not_a_name(kind, bad)),
        None => Ok(names),
    }
}

struct Lookup<'n> {
    features: &'n Names,
    limits: &'n Names,
}

impl Lookup<'_> {
    fn feature(&self, name: &str, place: impl Fn() -> String) -> Result<usize, CatalogError> {
        find(Kind::Feature, self.features, name, place)
    }

    fn limit(&self, name: &str, place: impl Fn() -> String) -> Result<usize, CatalogError> {
        find(Kind::Limit, self.limits, name, place)
    }
}

fn find(
    kind: Kind,
    names: &Names,
    name: &str,
    place: impl Fn() -> String,
) -> Result<usize, CatalogError> {
    let found = names.get_index_of(name);
    found.ok_or_else(|| CatalogError::Undeclared {
        place: place(),
        unknown: unknown(kind, name, names.iter()),
    })
}

/// Features with what they require, each after everything that it requires.
fn in_order(
    features: &Names,
    required: Vec<Vec<usize>>,
) -> Result<Vec<(usize, Vec<usize>)>, CatalogError> {
    let mut settled = Bits::none(features.len());
    let mut open = Vec::new();
    for (feature, requires) in required.into_iter().enumerate() {
        if requires.is_empty() {
            settled.set(feature, true);
        } else {
            open.push((feature, requires));
        }
    }
    let mut ordered = Vec::new();
    while !open.is_empty() {
        let (ready, waiting): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|(_, requires)| requires.iter().all(|&at| settled.has(at)));
        if ready.is_empty() {
            return Err(CatalogError::Cycle(cycle(features, &waiting, &settled)));
        }
        for (feature, _) in &ready {
            settled.set(*feature, true);
        }
        ordered.extend(ready);
        open = waiting;
    }
    Ok(ordered)
}

/// One cycle among features that all wait for others that wait, its first feature again last.
fn cycle(features: &Names, waiting: &[(usize, Vec<usize>)], settled: &Bits) -> Vec<Arc<str>> {
    let mut path: Vec<usize> = Vec::new();
    let mut next = waiting.first().map(|(feature, _)| *feature);
    while let Some(feature) = next {
        let seen = path.iter().position(|&at| at == feature);
        path.push(feature);
        if let Some(start) = seen {
            path.drain(..start);
            break;
        }
        let entry = waiting.iter().find(|(at, _)| *at == feature);
        next =
            entry.and_then(|(_, requires)| requires.iter().copied().find(|&at| !settled.has(at)));
    }
    let names = path.into_iter().filter_map(|at| features.get_index(at));
    names.cloned().collect()
}
