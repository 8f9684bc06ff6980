//! From names in a text to numbered packages and tiers. Every name is judged where it is declared,
//! and looked up everywhere else.

mod doubts;
mod entitlements;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use indexmap::{IndexMap, IndexSet};
use toml::Spanned;

use crate::diagnostic::Found;
use crate::document::{Document, Text, TierEntry};
use crate::entitlement::Entitlements;
use crate::grants::{Grants, universe};
use crate::graph::{Edge, Node};
use crate::suggest::Speller;
use crate::{Limit, PackageName, TierName, invariants};

/// A node for each name. A manifest looks up a million of them, and nobody attacks their own.
type Nodes<'d> = HashMap<&'d str, Node, foldhash::fast::RandomState>;

/// What a document says, with names resolved.
pub(crate) struct Resolved<'d> {
    /// All packages, sorted; a package's position is its node.
    pub(crate) names: Vec<&'d str>,
    /// Whether a package is some other package's console package.
    is_console: Vec<bool>,
    nodes: Nodes<'d>,
    /// All edges, grouped by source.
    pub(crate) edges: Vec<(Node, Node, Edge)>,
    pub(crate) foundation: Vec<Node>,
    /// The tiers in ascending order.
    pub(crate) tiers: Vec<ResolvedTier<'d>>,
    pub(crate) default_tier: usize,
    pub(crate) features: IndexSet<&'d str>,
    pub(crate) limits: IndexSet<&'d str>,
    pub(crate) entitlements: Entitlements,
}

impl Resolved<'_> {
    fn node(&self, name: &str) -> Option<Node> {
        self.nodes.get(name).copied()
    }

    /// A property of a package, by its name.
    pub(crate) fn rank_of(&self, name: &str, ranks: &[Option<usize>]) -> Option<usize> {
        ranks.get(self.node(name)?).copied().flatten()
    }

    /// Whether the package is some other package's console package.
    pub(crate) fn is_console(&self, name: &Text<'_>) -> bool {
        self.node(name.get_ref())
            .and_then(|node| self.is_console.get(node))
            == Some(&true)
    }

    pub(crate) fn has_no_console(&self) -> bool {
        !self.is_console.contains(&true)
    }

    pub(crate) fn names_of(&self, nodes: &[Node]) -> Vec<&str> {
        nodes
            .iter()
            .filter_map(|&node| self.names.get(node).copied())
            .collect()
    }
}

pub(crate) struct ResolvedTier<'d> {
    pub(crate) name: &'d str,
    pub(crate) leaves: Vec<Node>,
    /// What the tier and those below it grant, in the order of the universe.
    pub(crate) features: IndexSet<&'d str>,
    /// Every limit there is, in the order of the universe; 0 where nothing is granted.
    pub(crate) limits: IndexMap<&'d str, Limit>,
}

/// Resolves all names of the document and reports those that have no meaning.
pub(crate) fn resolve<'d>(document: &'d Document<'_>, found: &mut Found) -> Resolved<'d> {
    let speller = Speller::new();
    let scope = check_scope(document.scope.as_ref(), found);
    let mut names = Names::declare(document, scope, found);

    let count = document
        .packages
        .iter()
        .map(|entry| entry.requires.len() + entry.console.len());
    let mut edges = Vec::with_capacity(count.sum());
    let mut is_console = vec![false; names.sorted.len()];
    for entry in &document.packages {
        let Some(from) = names.node(entry.name.get_ref()) else {
            continue;
        };
        let requires = names.look_up(&entry.requires, &speller, found);
        let console = names.look_up(&entry.console, &speller, found);
        for &to in &console {
            if let Some(slot) = is_console.get_mut(to) {
                *slot = true;
            }
        }
        edges.extend(requires.into_iter().map(|to| (from, to, Edge::Requires)));
        edges.extend(console.into_iter().map(|to| (from, to, Edge::Console)));
    }

    let entries = tiers_in_order(document, &speller, found);
    let mut leaf_owners = Owners::default();
    let foundation = names.look_up(&document.foundation, &speller, found);
    leaf_owners.add("the foundation", &document.foundation, found);
    let leaves: Vec<Vec<Node>> = entries
        .iter()
        .map(|entry| {
            leaf_owners.add(
                &format!("tier `{}`", entry.name.get_ref()),
                &entry.leaves,
                found,
            );
            names.look_up(&entry.leaves, &speller, found)
        })
        .collect();

    let used = |entry: &&'d TierEntry<'_>| entry.features.iter().map(|(name, _)| name);
    let features = universe(
        "feature",
        document.features.as_deref(),
        entries.iter().flat_map(used).collect(),
        &speller,
        found,
    );
    let used = |entry: &&'d TierEntry<'_>| entry.limits.iter().map(|(name, _)| name);
    let limits = universe(
        "limit",
        document.limits.as_deref(),
        entries.iter().flat_map(used).collect(),
        &speller,
        found,
    );
    let mut grants = Grants::default();
    let tiers: Vec<ResolvedTier<'_>> = entries
        .into_iter()
        .zip(leaves)
        .map(|(entry, leaves)| {
            grants.raise(entry, found);
            ResolvedTier {
                name: entry.name.get_ref(),
                leaves,
                features: grants.features(&features),
                limits: grants.limits(&limits),
            }
        })
        .collect();
    let default_tier = default_tier(document, &speller, found);
    let entitlements = entitlements::Context {
        features: &features,
        limits: &limits,
        tiers: &tiers,
        default_tier,
        grants: &grants,
        speller: &speller,
    }
    .resolve(document, found);
    Resolved {
        names: names.sorted,
        nodes: names.nodes,
        is_console,
        edges,
        foundation,
        tiers,
        default_tier,
        features: features.into_keys().collect(),
        limits: limits.into_keys().collect(),
        entitlements,
    }
}

/// The scope, when it is one.
fn check_scope<'d, 'i>(scope: Option<&'d Text<'i>>, found: &mut Found) -> Option<&'d Text<'i>> {
    let scope = scope?;
    let text = scope.get_ref();
    if text.starts_with('@') && PackageName::parse(&format!("{text}/x")).is_ok() {
        return Some(scope);
    }
    found.add(invariants::not_a_scope(scope));
    None
}

/// The declared packages.
struct Names<'d, 'i> {
    scope: Option<&'d Text<'i>>,
    sorted: Vec<&'d str>,
    nodes: Nodes<'d>,
    /// For each package the list that named it last; finds duplicates without a set per list.
    named_in: Vec<usize>,
    lists: usize,
}

impl<'d, 'i> Names<'d, 'i> {
    /// A package is declared by a `[package]` entry of its own or by being somebody's console
    /// package; the first place counts.
    fn declare(document: &'d Document<'i>, scope: Option<&'d Text<'i>>, found: &mut Found) -> Self {
        let entries = document.packages.iter().map(|entry| &entry.name);
        let consoles = document.packages.iter().flat_map(|entry| &entry.console);
        let mut declared: Vec<&'d Text<'i>> = entries.chain(consoles).collect();
        declared.sort_by_key(|name| name.get_ref());
        declared.dedup_by_key(|name| name.get_ref());
        let sorted: Vec<&str> = declared.iter().map(|name| &**name.get_ref()).collect();
        let nodes = sorted
            .iter()
            .enumerate()
            .map(|(node, name)| (*name, node))
            .collect();
        let names = Self {
            scope,
            nodes,
            named_in: vec![0; sorted.len()],
            lists: 0,
            sorted,
        };

        let collided = collisions("package", &declared, found);
        for name in declared {
            match PackageName::parse(name.get_ref()) {
                Err(_) if collided.contains(&name.span().start) => {}
                Err(error) => found.add(invariants::not_a_package_name(name, error)),
                Ok(_) => names.check_scope_of(name, found),
            }
        }
        names
    }

    fn node(&self, name: &str) -> Option<Node> {
        self.nodes.get(name).copied()
    }

    /// The nodes of a list of names, without those that are unknown or named twice.
    fn look_up(&mut self, list: &[Text<'_>], speller: &Speller, found: &mut Found) -> Vec<Node> {
        self.lists += 1;
        let mut nodes = Vec::with_capacity(list.len());
        for name in list {
            let Some(node) = self.node(name.get_ref()) else {
                self.report_unknown(name, speller, found);
                continue;
            };
            let Some(named_in) = self.named_in.get_mut(node) else {
                continue;
            };
            if *named_in == self.lists {
                let first = list.iter().find(|first| first.get_ref() == name.get_ref());
                found.add(invariants::duplicate(
                    name,
                    first.map_or(0..0, Spanned::span),
                ));
                continue;
            }
            *named_in = self.lists;
            nodes.push(node);
        }
        nodes
    }

    fn report_unknown(&self, name: &Text<'_>, speller: &Speller, found: &mut Found) {
        if let Some(scope) = self
            .scope
            .filter(|scope| !is_in(scope.get_ref(), name.get_ref()))
        {
            found.add(invariants::out_of_scope(name, scope));
            return;
        }
        let near = speller.nearest(name.get_ref(), self.sorted.iter().copied());
        found.add(invariants::undeclared("package", name, near));
    }

    fn check_scope_of(&self, name: &Text<'_>, found: &mut Found) {
        if let Some(scope) = self
            .scope
            .filter(|scope| !is_in(scope.get_ref(), name.get_ref()))
        {
            found.add(invariants::out_of_scope(name, scope));
        }
    }
}

fn is_in(scope: &str, name: &str) -> bool {
    name.strip_prefix(scope)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Reports names that differ only in case, and returns where they start.
pub(crate) fn collisions(what: &str, names: &[&Text<'_>], found: &mut Found) -> HashSet<usize> {
    let mut collided = HashSet::new();
    if names.iter().all(|name| !has_upper_case(name.get_ref())) {
        return collided;
    }
    let mut folded: HashMap<String, &Text<'_>> = HashMap::new();
    // Lower case first, so that it is the odd spelling that gets reported.
    let (odd, plain): (Vec<&Text<'_>>, Vec<&Text<'_>>) = names
        .iter()
        .partition(|name| has_upper_case(name.get_ref()));
    for name in plain.into_iter().chain(odd) {
        match folded.entry(name.get_ref().to_lowercase()) {
            Entry::Occupied(other) => {
                collided.insert(name.span().start);
                found.add(invariants::case_collision(what, name, other.get()));
            }
            Entry::Vacant(new) => {
                new.insert(name);
            }
        }
    }
    collided
}

fn has_upper_case(name: &str) -> bool {
    name.chars().any(char::is_uppercase)
}

/// Who named a leaf first: tiers are cumulative, so that naming it again says nothing.
#[derive(Default)]
struct Owners<'d>(HashMap<&'d str, (String, Range<usize>)>);

impl<'d> Owners<'d> {
    fn add(&mut self, owner: &str, leaves: &'d [Text<'_>], found: &mut Found) {
        for leaf in leaves {
            match self.0.entry(leaf.get_ref()) {
                Entry::Vacant(new) => {
                    new.insert((owner.to_owned(), leaf.span()));
                }
                // Twice in one list is reported by the list.
                Entry::Occupied(first) if first.get().0 == owner => {}
                Entry::Occupied(first) => {
                    let (owner, span) = first.get();
                    found.add(invariants::leaf_again(leaf, owner, span.clone()));
                }
            }
        }
    }
}

/// The entries of the tiers in the declared order.
fn tiers_in_order<'d, 'i>(
    document: &'d Document<'i>,
    speller: &Speller,
    found: &mut Found,
) -> Vec<&'d TierEntry<'i>> {
    let order: IndexSet<&str> = document
        .order
        .iter()
        .map(|name| &**name.get_ref())
        .collect();
    for entry in &document.tiers {
        // Without an order, the order is what is wrong.
        if !order.is_empty() && !order.contains(&**entry.name.get_ref()) {
            let near = speller.nearest(entry.name.get_ref(), order.iter().copied());
            found.add(invariants::undeclared("tier", &entry.name, near));
        }
    }
    let entries: HashMap<&str, &TierEntry<'i>> = document
        .tiers
        .iter()
        .map(|entry| (&**entry.name.get_ref(), entry))
        .collect();
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    let mut tiers = Vec::new();
    for name in &document.order {
        if let Some(first) = seen.insert(name.get_ref(), name.span()) {
            found.add(invariants::duplicate(name, first));
            continue;
        }
        if TierName::parse(name.get_ref()).is_err() {
            found.add(invariants::not_a_tier_name(name));
        }
        match entries.get(&**name.get_ref()) {
            Some(entry) => tiers.push(*entry),
            None => found.add(invariants::tier_without_entry(name)),
        }
    }
    tiers
}

fn default_tier(document: &Document<'_>, speller: &Speller, found: &mut Found) -> usize {
    let Some(name) = &document.default_tier else {
        return 0;
    };
    let mut order = document.order.iter().map(|tier| &**tier.get_ref());
    order
        .clone()
        .position(|tier| tier == name.get_ref())
        .unwrap_or_else(|| {
            let near = speller.nearest(name.get_ref(), &mut order);
            found.add(invariants::no_such_default(name, near, &document.order));
            0
        })
}
