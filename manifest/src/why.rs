//! Why a tier has a package: the shortest chain from something named on purpose.

use crate::graph::{Edge, Node};
use crate::{PackageName, Tier, TierSets};

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
    Leaf(&'s crate::TierName),
}

impl TierSets {
    /// The packages a tier adds on purpose.
    pub fn leaves<'s>(&'s self, tier: &'s Tier) -> impl Iterator<Item = &'s PackageName> {
        self.0.named(&tier.leaves)
    }

    /// The shortest chain that brings the package into the tier; `None` when the tier lacks it.
    /// Of several, the one that starts lowest, in the foundation first.
    pub fn why(&self, tier: &Tier, package: &str) -> Option<Chain<'_>> {
        let target = self.0.names.get_index_of(package)?;
        let leaves = self
            .tiers()
            .take(tier.rank + 1)
            .flat_map(|tier| &tier.leaves);
        let roots: Vec<Node> = self.0.foundation.iter().chain(leaves).copied().collect();
        let steps = self.0.graph.chain(&roots, target)?;
        let first = steps.first().map_or(target, |(node, _)| *node);
        let targets = steps.iter().skip(1).map(|(node, _)| *node).chain([target]);
        let links = steps
            .iter()
            .zip(targets)
            .filter_map(|((_, edge), node)| Some((*edge, self.0.names.get_index(node)?)));
        Some(Chain {
            root: self.root_of(first)?,
            first: self.0.names.get_index(first)?,
            links: links.collect(),
        })
    }

    fn root_of(&self, node: Node) -> Option<Root<'_>> {
        if self.0.foundation.contains(&node) {
            return Some(Root::Foundation);
        }
        let tier = self.tiers().find(|tier| tier.leaves.contains(&node))?;
        Some(Root::Leaf(&tier.name))
    }
}
