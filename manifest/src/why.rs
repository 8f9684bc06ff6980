//! Why a tier has a package: the shortest chain from something named on purpose.

use std::fmt;

use crate::graph::{Edge, Node, Ways};
use crate::{PackageName, Tier, TierName, TierSets};

/// How a package comes into a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain<'s> {
    /// Where the first package is named on purpose.
    pub root: Root<'s>,
    /// That package: the one asked for, when it is named itself.
    pub first: &'s PackageName,
    /// Then each edge and the package it brings.
    pub links: Vec<(Edge, &'s PackageName)>,
}

/// Where a package is named on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root<'s> {
    /// In the foundation.
    Foundation,
    /// As a leaf of the tier of this name.
    Leaf(&'s TierName),
}

impl fmt::Display for Root<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foundation => f.write_str("in the foundation"),
            Self::Leaf(tier) => write!(f, "a leaf of {tier}"),
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requires => "requires",
            Self::Console => "has the console package",
        })
    }
}

/// Answers why a tier has its packages, one after the other.
#[derive(Debug)]
pub struct Reasons<'s> {
    sets: &'s TierSets,
    ways: Ways,
}

impl TierSets {
    /// The packages a tier adds on purpose.
    pub fn leaves<'s>(&'s self, tier: &'s Tier) -> impl Iterator<Item = &'s PackageName> {
        self.0.named(&tier.leaves)
    }

    /// Why the tier has what it has.
    pub fn reasons(&self, tier: &Tier) -> Reasons<'_> {
        let leaves = self
            .tiers()
            .take(tier.rank + 1)
            .flat_map(|tier| &tier.leaves);
        let roots: Vec<Node> = self.0.foundation.iter().chain(leaves).copied().collect();
        Reasons {
            sets: self,
            ways: self.0.graph.ways(&roots),
        }
    }

    fn root_of(&self, node: Node) -> Option<Root<'_>> {
        if self.0.foundation.contains(&node) {
            return Some(Root::Foundation);
        }
        let tier = self.tiers().find(|tier| tier.leaves.contains(&node))?;
        Some(Root::Leaf(&tier.name))
    }
}

impl<'s> Reasons<'s> {
    /// The shortest chain that brings the package into the tier; `None` when the tier lacks it.
    pub fn why(&self, package: &str) -> Option<Chain<'s>> {
        let all = &self.sets.0;
        let target = all.names.get_index_of(package)?;
        let way = self.ways.to(target)?;
        let first = way.first().map_or(target, |(node, _)| *node);
        let targets = way.iter().skip(1).map(|(node, _)| *node).chain([target]);
        let links = way
            .iter()
            .zip(targets)
            .filter_map(|((_, edge), node)| Some((*edge, all.names.get_index(node)?)));
        Some(Chain {
            root: self.sets.root_of(first)?,
            first: all.names.get_index(first)?,
            links: links.collect(),
        })
    }
}
