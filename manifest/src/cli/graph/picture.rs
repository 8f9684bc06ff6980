//! What a picture shows: tiers as bands with the highest on top, packages in rows, edges downward.

use std::collections::{HashMap, HashSet};

use manifest::{Edge, Package, PackageName, Tier, TierSets};

/// Console packages side by side at most.
const CONSOLES_IN_ROW: usize = 8;

/// Bands, the packages in them, and the edges between these.
#[derive(Debug, Clone)]
pub(crate) struct Picture<'s> {
    /// From top to bottom: the tiers in descending order, then the foundation.
    pub(crate) bands: Vec<String>,
    pub(crate) nodes: Vec<Node<'s>>,
    pub(crate) edges: Vec<(usize, usize, Edge)>,
}

/// A package in the picture.
#[derive(Debug, Clone)]
pub(crate) struct Node<'s> {
    pub(crate) name: &'s PackageName,
    pub(crate) kind: Kind,
    pub(crate) band: usize,
    /// Within the band, from its top.
    pub(crate) row: usize,
}

/// Why a package is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is named on purpose.
    Leaf,
    /// Something requires it.
    Required,
    /// It is a console package.
    Console,
}

impl<'s> Picture<'s> {
    /// All packages that some tier has, or those of one tier.
    pub(crate) fn of(tiers: &'s TierSets, tier: Option<&'s Tier>) -> Self {
        let highest = tier.or_else(|| tiers.tiers().last());
        let shown: Vec<Package<'s>> = tiers
            .packages()
            .filter(|package| {
                highest.is_some_and(|tier| tier.packages().contains(package.name().as_str()))
            })
            .collect();
        let kinds = Kinds::of(tiers);
        let foundation = reached_from_foundation(tiers);
        let count = highest.map_or(0, |tier| tier.rank() + 1);
        let band_of = |package: &Package<'_>| {
            if foundation.contains(package.name()) {
                return count;
            }
            let rank = package.lowest_tier().map_or(0, Tier::rank);
            count.saturating_sub(1 + rank)
        };
        let nodes: Vec<Node<'s>> = shown
            .iter()
            .map(|package| Node {
                name: package.name(),
                kind: kinds.kind(package.name()),
                band: band_of(package),
                row: 0,
            })
            .collect();
        let mut picture = Self {
            bands: band_names(tiers, count),
            edges: edges(&shown),
            nodes,
        };
        picture.assign_rows();
        picture
    }

    /// Engines by their longest way from the top of the band, console packages below them.
    fn assign_rows(&mut self) {
        let mut rows = vec![0; self.nodes.len()];
        let inside: Vec<(usize, usize)> = self
            .edges
            .iter()
            .filter(|(from, to, _)| self.is_engine(*from) && self.is_engine(*to))
            .map(|&(from, to, _)| (from, to))
            .filter(|&(from, to)| self.band(from) == self.band(to))
            .collect();
        // Engines have no cycles, so this settles after as many rounds as there are rows.
        let mut settled = false;
        while !settled {
            settled = true;
            for &(from, to) in &inside {
                let below = rows.get(from).map_or(0, |row| row + 1);
                if let Some(row) = rows.get_mut(to).filter(|row| **row < below) {
                    *row = below;
                    settled = false;
                }
            }
        }
        let mut engine_rows = vec![0; self.bands.len()];
        for (node, &row) in self.nodes.iter().zip(&rows) {
            if let Some(count) = engine_rows.get_mut(node.band)
                && node.kind != Kind::Console
            {
                *count = (*count).max(row + 1);
            }
        }
        let mut consoles = vec![0; self.bands.len()];
        for (node, row) in self.nodes.iter_mut().zip(rows) {
            let seen = consoles.get_mut(node.band);
            node.row = match (node.kind, seen) {
                (Kind::Console, Some(seen)) => {
                    *seen += 1;
                    engine_rows
                        .get(node.band)
                        .map_or(0, |rows| rows + (*seen - 1) / CONSOLES_IN_ROW)
                }
                _ => row,
            };
        }
    }

    /// Without the edges that go without saying: those between engines that a longer way between
    /// them implies, and those into the foundation, which every tier stands on.
    pub(crate) fn simplified(mut self) -> Self {
        let foundation = self.bands.len().checked_sub(1);
        let edges = std::mem::take(&mut self.edges);
        self.edges = edges
            .into_iter()
            .filter(|&(from, to, _)| self.band(to) != foundation || self.band(from) == foundation)
            .collect();
        let mut from_below: Vec<usize> = (0..self.nodes.len()).collect();
        from_below.sort_by_key(|&node| {
            std::cmp::Reverse(self.nodes.get(node).map(|node| (node.band, node.row)))
        });
        let mut targets: HashMap<usize, Vec<usize>> = HashMap::new();
        for &(from, to, _) in &self.edges {
            if self.is_engine(from) && self.is_engine(to) {
                targets.entry(from).or_default().push(to);
            }
        }
        let mut reach: HashMap<usize, HashSet<usize>> = HashMap::new();
        for node in from_below {
            let mut all = HashSet::new();
            for &target in targets.get(&node).into_iter().flatten() {
                all.insert(target);
                all.extend(reach.get(&target).into_iter().flatten());
            }
            reach.insert(node, all);
        }
        self.edges.retain(|(from, to, _)| {
            let others = targets
                .get(from)
                .into_iter()
                .flatten()
                .filter(|other| *other != to);
            let mut reached = others.filter_map(|other| reach.get(other));
            !reached.any(|all| all.contains(to))
        });
        self
    }

    fn band(&self, node: usize) -> Option<usize> {
        self.nodes.get(node).map(|node| node.band)
    }

    fn is_engine(&self, node: usize) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|node| node.kind != Kind::Console)
    }
}

/// Edges down from engines. What a console package requires is told by the engine above it.
fn edges(shown: &[Package<'_>]) -> Vec<(usize, usize, Edge)> {
    let numbers: HashMap<&PackageName, usize> = shown
        .iter()
        .enumerate()
        .map(|(number, package)| (package.name(), number))
        .collect();
    let mut edges = Vec::new();
    for (from, package) in shown.iter().enumerate() {
        let requires = package.requires().map(|to| (to, Edge::Requires));
        let console = package.console().map(|to| (to, Edge::Console));
        for (to, edge) in requires.chain(console) {
            if let Some(&to) = numbers.get(to) {
                edges.push((from, to, edge));
            }
        }
    }
    edges
}

fn band_names(tiers: &TierSets, count: usize) -> Vec<String> {
    let mut names: Vec<String> = tiers
        .tiers()
        .take(count)
        .map(|tier| tier.name().to_string())
        .collect();
    names.reverse();
    names.push("foundation".to_owned());
    names
}

/// What the foundation brings all by itself.
fn reached_from_foundation(tiers: &TierSets) -> HashSet<&PackageName> {
    let mut reached: HashSet<&PackageName> = tiers.foundation().collect();
    let mut open: Vec<&PackageName> = reached.iter().copied().collect();
    while let Some(package) = open.pop().and_then(|name| tiers.package(name.as_str())) {
        open.extend(
            package
                .requires()
                .chain(package.console())
                .filter(|name| reached.insert(name)),
        );
    }
    reached
}

struct Kinds<'s> {
    leaves: HashSet<&'s PackageName>,
    consoles: HashSet<&'s PackageName>,
}

impl<'s> Kinds<'s> {
    fn of(tiers: &'s TierSets) -> Self {
        let leaves = tiers
            .tiers()
            .flat_map(|tier| tiers.leaves(tier))
            .chain(tiers.foundation());
        let consoles = tiers.packages().flat_map(|package| package.console());
        Self {
            leaves: leaves.collect(),
            consoles: consoles.collect(),
        }
    }

    fn kind(&self, name: &PackageName) -> Kind {
        if self.consoles.contains(name) {
            Kind::Console
        } else if self.leaves.contains(name) {
            Kind::Leaf
        } else {
            Kind::Required
        }
    }
}
