//! From text to tier sets: read, resolve, search, assert. Everything that is wrong is reported at
//! once; a manifest with an error yields no sets at all.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use toml::de::DeTable;

use crate::diagnostic::{Diagnostics, Found};
use crate::document::{Document, PackageEntry, TierEntry};
use crate::graph::{Graph, Node};
use crate::resolve::{Resolved, ResolvedTier, resolve};
use crate::set::NameSet;
use crate::tiers::{Compiled, Tier};
use crate::{PackageName, PackageSet, TierName, TierSets, invariants, shape};

/// The entry to the compiler.
#[derive(Debug, Clone, Copy)]
pub struct Manifest;

/// A manifest that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it compiles to.
    pub tiers: TierSets,
    /// What it probably does not mean.
    pub warnings: Diagnostics,
    /// What it says was taken away on purpose.
    pub removals: Vec<Removal>,
    pub(crate) source: Source,
}

/// The text of a manifest, for diagnostics that come up later.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) origin: Arc<str>,
    pub(crate) text: Arc<str>,
    /// Where each tier is introduced.
    tiers: Vec<(String, Range<usize>)>,
}

impl Source {
    /// Where a tier is introduced; the start of the file for one that is not.
    pub(crate) fn place_of(&self, tier: &str) -> Range<usize> {
        let place = self.tiers.iter().find(|(name, _)| name == tier);
        place.map_or(0..0, |(_, place)| place.clone())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.origin).finish()
    }
}

/// A `[[removal]]` entry: something taken from a tier on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The tier that lost it.
    pub tier: String,
    /// The package, feature or limit.
    pub name: String,
    /// Why.
    pub reason: String,
    /// When, as `2026-01-31`.
    pub date: String,
    pub(crate) span: Range<usize>,
}

impl Manifest {
    /// Compiles the text of a manifest; `origin` is what diagnostics call the file.
    pub fn load(text: &str, origin: &str) -> Result<Loaded, Diagnostics> {
        let mut found = Found::default();
        let compiled = compile(text, &mut found);
        let text: Arc<str> = text.into();
        let warnings = Diagnostics::locate(origin, &text, found);
        match compiled {
            Some(Compilation {
                tiers,
                removals,
                tier_places,
            }) if !warnings.has_errors() => {
                let source = Source {
                    origin: origin.into(),
                    text,
                    tiers: tier_places,
                };
                Ok(Loaded {
                    tiers,
                    warnings,
                    removals,
                    source,
                })
            }
            _ => Err(warnings),
        }
    }
}

/// What [`compile`] makes of a text.
struct Compilation {
    tiers: TierSets,
    removals: Vec<Removal>,
    tier_places: Vec<(String, Range<usize>)>,
}

fn compile(text: &str, found: &mut Found) -> Option<Compilation> {
    let file = parse(text, found)?;
    shape::check(&shape::FILE, &file, found);
    if file
        .get_ref()
        .keys()
        .any(|key| !shape::FILE.has(key.get_ref()))
    {
        // A misspelled section leaves names undeclared that are not: say only the cause.
        return None;
    }
    let document = Document::take(file.into_inner());
    let resolved = resolve(&document, found);
    let graph = Graph::new(resolved.names.len(), &resolved.edges);
    report_cycles(&document, &resolved, &graph, found);
    if found.has_errors() {
        return None;
    }
    let scope = document.scope.as_ref()?.get_ref();
    let lowest = graph.first_reached(&roots(&resolved));
    report_unreachable(&document, &resolved, &lowest, found);
    report_engines_of_console(&document, &resolved, &graph, &lowest, found);
    let tiers = assemble(scope, resolved, graph, lowest)?;
    assert_invariants(&tiers, found);
    report_removals(&document, &tiers, found);
    let place = |entry: &TierEntry<'_>| (entry.name.get_ref().to_string(), entry.name.span());
    let tier_places = document.tiers.iter().map(place).collect();
    Some(Compilation {
        tiers,
        removals: document.removals,
        tier_places,
    })
}

/// All syntax errors at once; what a broken file says beyond them is anybody's guess.
pub(crate) fn parse<'i>(text: &'i str, found: &mut Found) -> Option<toml::Spanned<DeTable<'i>>> {
    let (file, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        found.add(invariants::not_toml(error));
    }
    errors.is_empty().then_some(file)
}

fn report_cycles(
    document: &Document<'_>,
    resolved: &Resolved<'_>,
    graph: &Graph,
    found: &mut Found,
) {
    for cycle in graph.cycles() {
        let names: Vec<&str> = resolved.names_of(&cycle);
        let (Some(first), Some(last)) = (names.first(), names.last()) else {
            continue;
        };
        let closing = entry(document, last)
            .and_then(|entry| entry.requires.iter().find(|name| name.get_ref() == first));
        found.add(invariants::cycle(
            &names,
            closing.map_or(0..0, toml::Spanned::span),
        ));
    }
}

/// Entries are sorted by name, as the parser's tables are.
fn entry<'d, 'i>(document: &'d Document<'i>, name: &str) -> Option<&'d PackageEntry<'i>> {
    let at = document
        .packages
        .binary_search_by(|entry| (**entry.name.get_ref()).cmp(name))
        .ok()?;
    document.packages.get(at)
}

/// What each tier adds by itself; the foundation comes with the lowest one.
fn roots(resolved: &Resolved<'_>) -> Vec<Vec<Node>> {
    let mut roots: Vec<Vec<Node>> = resolved
        .tiers
        .iter()
        .map(|tier| tier.leaves.clone())
        .collect();
    if let Some(lowest) = roots.first_mut() {
        lowest.extend(&resolved.foundation);
    }
    roots
}

fn report_unreachable(
    document: &Document<'_>,
    resolved: &Resolved<'_>,
    lowest: &[Option<usize>],
    found: &mut Found,
) {
    for entry in &document.packages {
        if resolved.rank_of(entry.name.get_ref(), lowest).is_none() {
            found.add(invariants::unreachable(&entry.name));
        }
    }
}

/// Without its edges to console packages the graph must give the engines the same tiers.
fn report_engines_of_console(
    document: &Document<'_>,
    resolved: &Resolved<'_>,
    graph: &Graph,
    lowest: &[Option<usize>],
    found: &mut Found,
) {
    if resolved.has_no_console() {
        return;
    }
    let on_purpose = graph.without_console().first_reached(&roots(resolved));
    for console in document
        .packages
        .iter()
        .filter(|entry| resolved.is_console(&entry.name))
    {
        for engine in console
            .requires
            .iter()
            .filter(|name| !resolved.is_console(name))
        {
            let rank = resolved.rank_of(engine.get_ref(), lowest);
            let meant = resolved.rank_of(engine.get_ref(), &on_purpose);
            if let Some(tier) = rank.and_then(|rank| resolved.tiers.get(rank))
                && meant.is_none_or(|meant| Some(meant) > rank)
            {
                let console = console.name.get_ref();
                found.add(invariants::console_brings_engine(
                    console, engine, tier.name,
                ));
            }
        }
    }
}

/// A package or feature that a tier has again needs no entry that says it is gone.
fn report_removals(document: &Document<'_>, tiers: &TierSets, found: &mut Found) {
    for entry in &document.removals {
        let Some(tier) = tiers.tier(&entry.tier) else {
            continue;
        };
        if tier.packages().contains(&entry.name) || tier.has_feature(&entry.name) {
            found.add(invariants::removed_but_there(entry));
        }
    }
}

fn assemble(
    scope: &str,
    resolved: Resolved<'_>,
    graph: Graph,
    lowest: Vec<Option<usize>>,
) -> Option<TierSets> {
    let mut names = NameSet::with_capacity_and_hasher(resolved.names.len(), RandomState::default());
    names.extend(
        resolved
            .names
            .iter()
            .filter_map(|name| PackageName::parse(name).ok()),
    );
    let mut below: Option<Arc<PackageSet>> = None;
    let mut tiers = IndexMap::new();
    for (rank, tier) in resolved.tiers.into_iter().enumerate() {
        let members: Vec<&PackageName> = names
            .iter()
            .zip(&lowest)
            .filter(|(_, lowest)| lowest.is_some_and(|lowest| lowest <= rank))
            .map(|(name, _)| name)
            .collect();
        let packages = match below {
            // A tier that adds no package shares the set of the tier below.
            Some(below) if members.len() == below.len() => below,
            _ => Arc::new(members.into_iter().cloned().collect()),
        };
        below = Some(Arc::clone(&packages));
        let tier = assemble_tier(tier, rank, packages)?;
        tiers.insert(tier.name.clone(), tier);
    }
    let default_tier = tiers.get_index(resolved.default_tier)?.1.clone();
    Some(TierSets(Arc::new(Compiled {
        scope: scope.to_owned(),
        names,
        graph,
        lowest,
        foundation: resolved.foundation,
        default_tier,
        tiers,
        features: resolved.features.into_iter().map(Arc::from).collect(),
        limits: resolved.limits.into_iter().map(Arc::from).collect(),
        entitlements: resolved.entitlements,
    })))
}

fn assemble_tier(tier: ResolvedTier<'_>, rank: usize, packages: Arc<PackageSet>) -> Option<Tier> {
    Some(Tier {
        name: TierName::parse(tier.name).ok()?,
        rank,
        leaves: tier.leaves,
        packages,
        features: tier.features.into_iter().map(Arc::from).collect(),
        limits: tier
            .limits
            .into_iter()
            .map(|(name, limit)| (Arc::from(name), limit))
            .collect(),
    })
}

/// Asks the finished sets again what their construction should have made true.
fn assert_invariants(tiers: &TierSets, found: &mut Found) {
    let sets: Vec<(&str, &PackageSet)> = tiers
        .tiers()
        .map(|tier| (tier.name().as_str(), &**tier.packages()))
        .collect();
    let foundation = tiers.foundation().map(PackageName::as_str);
    let names: Vec<&str> = tiers.0.names.iter().map(PackageName::as_str).collect();
    let canonical = sets
        .iter()
        .filter_map(|(tier, set)| invariants::canonical(tier, set.iter().map(PackageName::as_str)));
    invariants::foundation_everywhere(foundation, &sets)
        .into_iter()
        .chain(invariants::nested(&sets))
        .chain(invariants::closed(&names, &tiers.0.graph.edges(), &sets))
        .chain(canonical)
        .for_each(|problem| found.add(problem));
}
