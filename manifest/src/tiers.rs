//! What a manifest compiles to: the tiers with their package sets, features and limits.

use std::fmt;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::entitlement::Entitlements;
use crate::graph::{Edge, Graph, Node};
use crate::set::NameSet;
use crate::{
    AddOn, FeatureRule, Flag, Limit, Metric, PackageName, PackageSet, SetDigest, TierName, Trial,
};

/// All tiers of a manifest that passed every invariant. Immutable, and cheap to clone.
#[derive(Clone)]
pub struct TierSets(pub(crate) Arc<Compiled>);

pub(crate) struct Compiled {
    pub(crate) scope: String,
    /// All packages in ascending order; a package's position is its node.
    pub(crate) names: NameSet,
    pub(crate) graph: Graph,
    /// For each package the rank of the lowest tier that has it.
    pub(crate) lowest: Vec<Option<usize>>,
    pub(crate) foundation: Vec<Node>,
    pub(crate) tiers: IndexMap<TierName, Tier>,
    pub(crate) default_tier: Tier,
    pub(crate) features: IndexSet<Arc<str>>,
    pub(crate) limits: IndexSet<Arc<str>>,
    pub(crate) entitlements: Entitlements,
}

/// A level of the product.
#[derive(Clone)]
pub struct Tier {
    pub(crate) name: TierName,
    pub(crate) rank: usize,
    pub(crate) leaves: Vec<Node>,
    pub(crate) packages: Arc<PackageSet>,
    pub(crate) features: IndexSet<Arc<str>>,
    pub(crate) limits: IndexMap<Arc<str>, Limit>,
}

/// A declared package.
#[derive(Clone, Copy)]
pub struct Package<'s> {
    compiled: &'s Compiled,
    name: &'s PackageName,
    node: Node,
}

/// Names that the manifest does not declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPackages(pub Vec<PackageName>);

impl fmt::Display for UnknownPackages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| format!("`{name}`")).collect();
        write!(f, "the manifest does not declare {}", names.join(", "))
    }
}

impl std::error::Error for UnknownPackages {}

impl TierSets {
    /// The npm scope of all packages, with its `@`.
    pub fn scope(&self) -> &str {
        &self.0.scope
    }

    /// The tier of subjects without an assignment.
    pub fn default_tier(&self) -> &Tier {
        &self.0.default_tier
    }

    /// The tiers in ascending order.
    pub fn tiers(&self) -> impl ExactSizeIterator<Item = &Tier> + DoubleEndedIterator {
        self.0.tiers.values()
    }

    /// The tier of that name.
    pub fn tier(&self, name: &str) -> Option<&Tier> {
        self.0.tiers.get(name)
    }

    /// What the tier may install: closure, console packages and foundation.
    pub fn packages_for_tier(&self, tier: &str) -> Option<&Arc<PackageSet>> {
        self.tier(tier).map(Tier::packages)
    }

    /// Whether the tier may install the package. Two hash lookups.
    pub fn is_package_allowed(&self, tier: &str, package: &str) -> bool {
        self.tier(tier)
            .is_some_and(|tier| tier.packages.contains(package))
    }

    /// The lowest tier that has the package, which is what to buy.
    pub fn lowest_tier_with(&self, package: &str) -> Option<&Tier> {
        self.package(package)?.lowest_tier()
    }

    /// The declared package of that name.
    pub fn package(&self, name: &str) -> Option<Package<'_>> {
        let (node, name) = self.0.names.get_full(name)?;
        Some(Package {
            compiled: &self.0,
            name,
            node,
        })
    }

    /// All declared packages in ascending order, those of no tier too.
    pub fn packages(&self) -> impl ExactSizeIterator<Item = Package<'_>> {
        let packages = self.0.names.iter().enumerate();
        packages.map(|(node, name)| Package {
            compiled: &self.0,
            name,
            node,
        })
    }

    /// The packages present in every tier on purpose.
    pub fn foundation(&self) -> impl Iterator<Item = &PackageName> {
        self.0.named(&self.0.foundation)
    }

    /// What a tier may install together with packages bought on top. An add-on is a leaf like any
    /// other: what it requires and its console packages come along.
    pub fn with_add_ons(
        &self,
        tier: &Tier,
        add_ons: &[PackageName],
    ) -> Result<Arc<PackageSet>, UnknownPackages> {
        let (known, unknown): (Vec<&PackageName>, Vec<&PackageName>) = add_ons
            .iter()
            .partition(|name| self.0.names.contains(*name));
        if !unknown.is_empty() {
            return Err(UnknownPackages(unknown.into_iter().cloned().collect()));
        }
        if known
            .iter()
            .all(|name| tier.packages.contains(name.as_str()))
        {
            return Ok(Arc::clone(&tier.packages));
        }
        let roots = known
            .into_iter()
            .filter_map(|name| self.0.names.get_index_of(name))
            .collect();
        let reached = self.0.graph.first_reached(&[roots]);
        let brought = self
            .0
            .names
            .iter()
            .zip(&reached)
            .filter(|(_, group)| group.is_some());
        let names = tier
            .packages
            .iter()
            .chain(brought.map(|(name, _)| name))
            .cloned();
        Ok(Arc::new(names.collect()))
    }

    /// The features there are, in their declared order. A tier need not grant them.
    pub fn features(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.features.iter().map(AsRef::as_ref)
    }

    /// The limits there are, in their declared order.
    pub fn limits(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.limits.iter().map(AsRef::as_ref)
    }

    /// The rules of features that have any.
    pub fn feature_rules(&self) -> impl ExactSizeIterator<Item = (&str, &FeatureRule)> {
        let rules = self.0.entitlements.features.iter();
        rules.map(|(name, rule)| (name.as_ref(), rule))
    }

    /// What can be bought on top of a tier, in its declared order.
    pub fn add_ons(&self) -> impl ExactSizeIterator<Item = &AddOn> {
        self.0.entitlements.add_ons.values()
    }

    /// What new customers may try.
    pub fn trial(&self) -> Option<&Trial> {
        self.0.entitlements.trial.as_ref()
    }

    /// The flags, in their declared order.
    pub fn flags(&self) -> impl ExactSizeIterator<Item = &Flag> {
        self.0.entitlements.flags.values()
    }

    /// The metrics, in their declared order.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = &Metric> {
        self.0.entitlements.metrics.values()
    }

    /// What the whole compiled manifest is known by: the SHA-256 of these lines, joined by a
    /// newline. Comments, order and layout of the file do not change it.
    ///
    /// ```text
    /// scope @acme
    /// default-tier basic
    /// feature sso                       each feature there is, in order
    /// limit seats                       each limit there is, in order
    /// tier basic sha256:…               each tier in ascending order, then
    /// grants sso                          its features and
    /// grants seats 5                      its limits
    /// requires @acme/order @acme/cart   each edge, by source and target
    /// console @acme/order @acme/pages-orders
    /// trial growth: 336 hours           then, each kind by name, what is said beyond the tiers;
    /// add-on more_seats: sso, seats 50    a manifest that says nothing has no such lines
    /// feature ai_assist: requires export_csv, export_pdf; premium-only
    /// flag new_checkout: false; premium-only
    /// flag theme: classic of classic, modern
    /// metric api_calls: sum per month, cap hard, unit call
    /// ```
    pub fn digest(&self) -> SetDigest {
        let all = &*self.0;
        let head = [
            format!("scope {}", all.scope),
            format!("default-tier {}", all.default_tier.name),
        ];
        let features = all.features.iter().map(|name| format!("feature {name}"));
        let limits = all.limits.iter().map(|name| format!("limit {name}"));
        let tiers = self.tiers().flat_map(|tier| {
            let set = format!("tier {} {}", tier.name, tier.packages.digest());
            let features = tier.features().map(|name| format!("grants {name}"));
            let limits = tier
                .limits()
                .map(|(name, limit)| format!("grants {name} {limit}"));
            std::iter::once(set)
                .chain(features)
                .chain(limits)
                .collect::<Vec<_>>()
        });
        let edges = self.packages().flat_map(|package| {
            let from = package.name();
            let requires = package
                .requires()
                .map(move |to| format!("requires {from} {to}"));
            let console = package
                .console()
                .map(move |to| format!("console {from} {to}"));
            requires.chain(console)
        });
        let entries = all.entitlements.entries();
        let entries = entries.iter().map(ToString::to_string);
        SetDigest::of_lines(
            head.into_iter()
                .chain(features)
                .chain(limits)
                .chain(tiers)
                .chain(edges)
                .chain(entries),
        )
    }
}

impl fmt::Debug for TierSets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tiers = self
            .tiers()
            .map(|tier| (tier.name.as_str(), tier.packages.len()));
        f.debug_struct("TierSets")
            .field("scope", &self.0.scope)
            .field("tiers", &tiers.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Compiled {
    /// The names of nodes.
    pub(crate) fn named<'s>(&'s self, nodes: &'s [Node]) -> impl Iterator<Item = &'s PackageName> {
        nodes.iter().filter_map(|&node| self.names.get_index(node))
    }
}

impl Tier {
    /// Its name.
    pub fn name(&self) -> &TierName {
        &self.name
    }

    /// Its place among the tiers, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// What it may install, tiers below included.
    pub fn packages(&self) -> &Arc<PackageSet> {
        &self.packages
    }

    /// The features it grants, those of tiers below included.
    pub fn features(&self) -> impl ExactSizeIterator<Item = &str> {
        self.features.iter().map(AsRef::as_ref)
    }

    /// Whether it grants the feature.
    pub fn has_feature(&self, name: &str) -> bool {
        self.features.contains(name)
    }

    /// How much of a limit it grants: 0 for one that no tier up to this one grants, `None` for
    /// one that the manifest does not know.
    pub fn limit(&self, name: &str) -> Option<Limit> {
        self.limits.get(name).copied()
    }

    /// Every limit there is, and how much of it the tier grants.
    pub fn limits(&self) -> impl ExactSizeIterator<Item = (&str, Limit)> {
        self.limits.iter().map(|(name, limit)| (&**name, *limit))
    }
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier")
            .field("name", &self.name)
            .field("rank", &self.rank)
            .field("packages", &self.packages.len())
            .field("features", &self.features)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<'s> Package<'s> {
    /// Its name.
    pub fn name(&self) -> &'s PackageName {
        self.name
    }

    /// What it does not work without, in ascending order.
    pub fn requires(&self) -> impl ExactSizeIterator<Item = &'s PackageName> + use<'s> {
        self.brings(Edge::Requires)
    }

    /// Its console packages, in ascending order.
    pub fn console(&self) -> impl ExactSizeIterator<Item = &'s PackageName> + use<'s> {
        self.brings(Edge::Console)
    }

    /// The lowest tier that has it.
    pub fn lowest_tier(&self) -> Option<&'s Tier> {
        let rank = self.compiled.lowest.get(self.node).copied().flatten()?;
        self.compiled.tiers.get_index(rank).map(|(_, tier)| tier)
    }

    fn brings(&self, kind: Edge) -> impl ExactSizeIterator<Item = &'s PackageName> + use<'s> {
        let compiled = self.compiled;
        let nodes = compiled.graph.brings(self.node, kind).into_iter();
        nodes
            .filter_map(|node| compiled.names.get_index(node))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl fmt::Debug for Package<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Package")
            .field("name", self.name)
            .field("requires", &self.requires().collect::<Vec<_>>())
            .field("console", &self.console().collect::<Vec<_>>())
            .finish()
    }
}
