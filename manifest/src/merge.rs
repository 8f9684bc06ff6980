//! Real packages into the text of a manifest: entries are added and completed, and everything else
//! stays as it was written.

use std::collections::{BTreeMap, BTreeSet};

use toml_edit::{Array, Item, Key, Table, Value};

use crate::list::List;
use crate::tidy::editable;
use crate::{Diagnostics, PackageName};

/// A package as it was found, with what it requires in the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPackage {
    /// Its name.
    pub name: PackageName,
    /// What it does not work without.
    pub requires: BTreeSet<PackageName>,
}

/// A manifest with what was found.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The new text.
    pub text: String,
    /// Entries that are new.
    pub added: Vec<PackageName>,
    /// Entries that require more than before, or less.
    pub changed: Vec<PackageName>,
    /// Required but not found; declared all the same, so that the manifest can be checked.
    pub not_found: Vec<PackageName>,
    /// Edges that the manifest has and the real packages have not; kept unless pruned.
    pub only_in_manifest: Vec<(PackageName, String)>,
}

/// Merges what was found into a manifest of the right shape. Edges are added; with `prune`, those that were not found are removed.
///
/// Packages that were not looked at are never touched: an edge may be known to people only.
pub fn merge(
    text: &str,
    origin: &str,
    found: &[FoundPackage],
    prune: bool,
) -> Result<Merged, Diagnostics> {
    let mut document = editable(text, origin)?;
    let mut all: BTreeMap<&PackageName, Option<&FoundPackage>> = BTreeMap::new();
    for package in found {
        all.insert(&package.name, Some(package));
        for required in &package.requires {
            all.entry(required).or_insert(None);
        }
    }
    let mut merged = Merged {
        text: String::new(),
        added: Vec::new(),
        changed: Vec::new(),
        not_found: Vec::new(),
        only_in_manifest: Vec::new(),
    };
    let packages = document.entry("package").or_insert_with(implicit_table);
    let Some(packages) = packages.as_table_like_mut() else {
        return Ok(merged); // Its shape was checked: it is a table.
    };
    for (name, package) in all {
        let is_new = !packages.contains_key(name.as_str());
        if is_new {
            packages
                .entry_format(&Key::new(name.as_str()))
                .or_insert_with(|| Item::Table(Table::new()));
            if package.is_some() {
                merged.added.push(name.clone());
            } else {
                merged.not_found.push(name.clone());
            }
        }
        let entry = packages
            .get_mut(name.as_str())
            .and_then(Item::as_table_like_mut);
        if let (Some(package), Some(entry)) = (package, entry) {
            let mut requires = Requires::of(entry.get("requires"));
            merged.only_in_manifest.extend(requires.surplus(package));
            if requires.take(package, prune) {
                requires.write(entry);
                if !is_new {
                    merged.changed.push(name.clone());
                }
            }
        }
    }
    merged.text = document.to_string();
    Ok(merged)
}

fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// The `requires` list of an entry.
struct Requires(List);

impl Requires {
    fn of(item: Option<&Item>) -> Self {
        Self(
            item.and_then(Item::as_array)
                .and_then(List::of)
                .unwrap_or_else(List::new),
        )
    }

    /// Edges that are listed and were not found.
    fn surplus(&self, package: &FoundPackage) -> Vec<(PackageName, String)> {
        let required = |name: &&str| package.requires.iter().any(|known| known.as_str() == *name);
        let surplus = self.0.iter().filter(|name| !required(name));
        surplus
            .map(|name| (package.name.clone(), name.to_owned()))
            .collect()
    }

    /// Takes over what was found; whether that changes anything.
    fn take(&mut self, package: &FoundPackage, prune: bool) -> bool {
        let known: BTreeSet<String> = self.0.iter().map(str::to_owned).collect();
        let missing: Vec<&PackageName> = package
            .requires
            .iter()
            .filter(|name| !known.contains(name.as_str()))
            .collect();
        for name in &missing {
            self.0.add(name.as_str());
        }
        let stays = |name: &str| {
            package
                .requires
                .iter()
                .any(|required| required.as_str() == name)
        };
        let prunes = prune && known.iter().any(|name| !stays(name));
        if prunes {
            self.0.retain(stays);
        }
        !missing.is_empty() || prunes
    }

    fn write(&self, entry: &mut dyn toml_edit::TableLike) {
        let array: Array = self.0.write("requires = []".len());
        match entry.get_mut("requires") {
            Some(Item::Value(Value::Array(old))) => {
                let decor = old.decor().clone();
                *old = array;
                *old.decor_mut() = decor;
            }
            _ => {
                entry.insert("requires", toml_edit::value(array));
            }
        }
    }
}
