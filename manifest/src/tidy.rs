//! The one layout of a manifest: keys in order, names sorted, comments where they were.
//!
//! What carries meaning is never moved: the order of tiers and of the universes stays. Comments
//! divide: packages are sorted among themselves between two comments that stand alone, names of a
//! list between two comments on lines of their own.

use toml_edit::{DocumentMut, InlineTable, Item, RawString, Table, Value};

use crate::diagnostic::{Diagnostics, Found};
use crate::list::List;
use crate::shape::{FILE, Kind, Section};
use crate::{compile, shape};

/// Takes a manifest apart for changes. It must be of the right shape; it need not be good.
pub(crate) fn editable(text: &str, origin: &str) -> Result<DocumentMut, Diagnostics> {
    let mut found = Found::default();
    if let Some(file) = compile::parse(text, &mut found) {
        shape::check(&FILE, &file, &mut found);
    }
    let document = text.parse().ok().filter(|_| !found.has_errors());
    document.ok_or_else(|| Diagnostics::locate(origin, &text.into(), found))
}

/// Lays out the text of a manifest.
pub fn tidy(text: &str, origin: &str) -> Result<String, Diagnostics> {
    let mut document = editable(text, origin)?;
    tidy_sections(&mut document);
    sort_packages(&mut document);
    tidy_headers(&mut document);
    let trailing = block(document.trailing().as_str().unwrap_or_default());
    let trailing = if trailing.is_empty() {
        trailing
    } else {
        format!("\n{trailing}")
    };
    document.set_trailing(trailing.trim_end_matches('\n').to_owned());
    let text = document.to_string();
    Ok(format!("{}\n", text.trim_end_matches('\n')))
}

fn tidy_sections(document: &mut DocumentMut) {
    for key in FILE.keys {
        let Some(item) = document.get_mut(key.name) else {
            continue;
        };
        match (&key.kind, item) {
            (Kind::One(section), Item::Table(table)) => tidy_section(table, section),
            (Kind::Named(section), Item::Table(tables)) => {
                for (_, item) in tables.iter_mut() {
                    if let Item::Table(table) = item {
                        tidy_section(table, section);
                    }
                }
            }
            (Kind::Many(section), Item::ArrayOfTables(tables)) => {
                tables
                    .iter_mut()
                    .for_each(|table| tidy_section(table, section));
            }
            _ => {}
        }
    }
}

fn tidy_section(table: &mut Table, section: &Section) {
    let place = |key: &str| section.keys.iter().position(|known| known.name == key);
    table.sort_values_by(|a, _, b, _| place(a.get()).cmp(&place(b.get())));
    for (number, (mut key, item)) in table.iter_mut().enumerate() {
        let prefix = key
            .leaf_decor()
            .prefix()
            .and_then(RawString::as_str)
            .unwrap_or_default();
        let comments = block(prefix);
        let comments = if number == 0 {
            comments.trim_start().to_owned()
        } else {
            comments
        };
        key.leaf_decor_mut().set_prefix(comments);
        key.leaf_decor_mut().set_suffix(" ");
        if let Item::Value(value) = item {
            tidy_value(value, key.get());
        }
    }
}

fn tidy_value(value: &mut Value, key: &str) {
    let comment = beside(value.decor().suffix());
    match value {
        Value::Array(array) => {
            if let Some(mut list) = List::of(array) {
                if matches!(key, "leaves" | "requires" | "console") {
                    list.sort();
                }
                *array = list.write(key.len() + " = []".len());
            }
        }
        Value::InlineTable(table) if fits_one_line(table) => {
            for (mut key, value) in table.iter_mut() {
                key.leaf_decor_mut().set_prefix(" ");
                key.leaf_decor_mut().set_suffix(" ");
                value.decor_mut().set_prefix(" ");
                value.decor_mut().set_suffix("");
            }
            if let Some((_, last)) = table.iter_mut().last() {
                last.decor_mut().set_suffix(" ");
            }
            table.set_trailing("");
            table.set_trailing_comma(false);
        }
        Value::String(text) => *value = Value::from(text.value().as_str()),
        _ => {}
    }
    value.decor_mut().set_prefix(" ");
    value.decor_mut().set_suffix(comment);
}

/// Whether a table in braces is on one line, without comments.
fn fits_one_line(table: &InlineTable) -> bool {
    !table.to_string().contains(['\n', '#'])
}

/// A comment beside something, one space away.
fn beside(space: Option<&RawString>) -> String {
    let text = space.and_then(RawString::as_str).unwrap_or_default().trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(" {text}")
    }
}

/// Comment lines with at most one empty line between them, each ended by a line break.
fn block(space: &str) -> String {
    let mut lines: Vec<&str> = space.split('\n').map(str::trim).collect();
    // What stands before the thing itself is indentation.
    lines.pop();
    lines.dedup_by(|next, line| next.is_empty() && line.is_empty());
    if lines.iter().all(|line| line.is_empty()) {
        return String::new();
    }
    lines
        .iter()
        .skip_while(|line| line.is_empty())
        .flat_map(|line| [*line, "\n"])
        .collect()
}

/// Splits comments into those that stand alone and those just above what follows.
fn split(comments: &str) -> (String, String) {
    match comments.rfind("\n\n") {
        Some(at) => {
            let (alone, attached) = comments.split_at(at + 2);
            (alone.to_owned(), attached.to_owned())
        }
        None => (String::new(), comments.to_owned()),
    }
}

/// A `[package]` entry in the order of the file.
struct Entry {
    name: String,
    place: isize,
    alone: String,
    attached: String,
}

fn sort_packages(document: &mut DocumentMut) {
    let others = other_places(document);
    let Some(packages) = document.get_mut("package").and_then(Item::as_table_mut) else {
        return;
    };
    let mut entries: Vec<Entry> = packages
        .iter()
        .filter_map(|(name, item)| {
            let table = item.as_table()?;
            let prefix = table
                .decor()
                .prefix()
                .and_then(RawString::as_str)
                .unwrap_or_default();
            let (alone, attached) = split(&block(prefix));
            Some(Entry {
                name: name.to_owned(),
                place: table.position()?,
                alone,
                attached,
            })
        })
        .collect();
    entries.sort_by_key(|entry| entry.place);
    let together = |before: &Entry, entry: &Entry| {
        let between = before.place..entry.place;
        entry.alone.is_empty() && !others.iter().any(|place| between.contains(place))
    };
    for group in entries.chunk_by_mut(together) {
        let places: Vec<isize> = group.iter().map(|entry| entry.place).collect();
        let alone = group
            .first_mut()
            .map(|first| std::mem::take(&mut first.alone));
        group.sort_by(|a, b| a.name.cmp(&b.name));
        if let (Some(first), Some(alone)) = (group.first_mut(), alone) {
            first.alone = alone;
        }
        for (entry, place) in group.iter_mut().zip(places) {
            entry.place = place;
        }
    }
    for entry in entries {
        if let Some(table) = packages.get_mut(&entry.name).and_then(Item::as_table_mut) {
            table.set_position(Some(entry.place));
            table.decor_mut().set_prefix(entry.alone + &entry.attached);
        }
    }
}

/// Where all tables are that are no packages.
fn other_places(document: &DocumentMut) -> Vec<isize> {
    let mut places = Vec::new();
    for (_, item) in document.iter().filter(|(name, _)| *name != "package") {
        each_table(item, &mut |table| places.extend(table.position()));
    }
    places
}

fn each_table(item: &Item, visit: &mut impl FnMut(&Table)) {
    match item {
        Item::Table(table) => {
            visit(table);
            table.iter().for_each(|(_, item)| each_table(item, visit));
        }
        Item::ArrayOfTables(tables) => tables.iter().for_each(visit),
        _ => {}
    }
}

/// One empty line above each header, comments included.
fn tidy_headers(document: &mut DocumentMut) {
    let mut first: Option<isize> = None;
    each_table(document.as_item(), &mut |table| {
        if let Some(place) = table.position().filter(|_| !table.is_implicit()) {
            first = Some(first.map_or(place, |first| first.min(place)));
        }
    });
    let has_root_values = document.iter().any(|(_, item)| item.is_value());
    for (_, item) in document.as_table_mut().iter_mut() {
        tidy_header(item, first.filter(|_| !has_root_values));
    }
}

fn tidy_header(item: &mut Item, first: Option<isize>) {
    let own = |table: &mut Table| {
        let comments = block(prefix_of(table));
        let above = if table.position() == first { "" } else { "\n" };
        let beside = beside(table.decor().suffix());
        table.decor_mut().set_prefix(format!("{above}{comments}"));
        table.decor_mut().set_suffix(beside);
    };
    match item {
        Item::Table(table) => {
            if !table.is_implicit() {
                own(table);
            }
            for (_, item) in table.iter_mut() {
                tidy_header(item, first);
            }
        }
        Item::ArrayOfTables(tables) => tables.iter_mut().for_each(own),
        _ => {}
    }
}

fn prefix_of(table: &Table) -> &str {
    table
        .decor()
        .prefix()
        .and_then(RawString::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_names_and_packages_are_ordered_and_comments_stay() {
        let untidy = r#"# The tiers.


[manifest]
tiers=["b","a"]   # lowest first
scope   =   '@acme'
# who has none
default-tier = "b"
[tier.b]
limits={boxes=1,seats = "unlimited"}
leaves = ["@acme/z", "@acme/y"]
[tier.a]



# ---- packages

# about z
[package."@acme/z"]
requires = [
  # the base
  "@acme/x", "@acme/w"]

[package."@acme/y"] # about y
# ---- more

[package."@acme/x"]

[package."@acme/w"]
# the end
"#;
        let tidied = tidy(untidy, "tiers.toml").unwrap();
        insta::assert_snapshot!(tidied);
        assert_eq!(tidy(&tidied, "tiers.toml").unwrap(), tidied);
    }

    #[test]
    fn the_example_is_tidy() {
        let example = include_str!("../examples/commerce.toml");
        assert_eq!(tidy(example, "commerce.toml").unwrap(), example);
    }

    #[test]
    fn what_has_the_wrong_shape_is_not_touched() {
        assert!(tidy("[manifest]\ntires = 1\n", "tiers.toml").is_err());
        assert!(tidy("[manifest", "tiers.toml").is_err());
    }
}
