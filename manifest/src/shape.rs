//! What a section of `tiers.toml` and a key may be, and whether a file holds nothing else. The
//! sections themselves stand in `sections.rs`.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::Limit;
use crate::diagnostic::Found;
use crate::invariants::{self, entitlements};
pub(crate) use crate::sections::FILE;
use crate::suggest::Speller;

/// Tiers in a manifest at most. Each has a set of its own, so their number bounds memory.
pub(crate) const TIERS_MAX: usize = 100;

/// Hours of a trial at most: ten years.
pub(crate) const HOURS_MAX: u32 = 87_600;

/// The highest limit that is a number. Databases count no further.
pub(crate) const LIMIT_MAX: u64 = i64::MAX.unsigned_abs();

/// A table with a closed list of keys.
#[derive(Debug)]
pub(crate) struct Section {
    /// How the table's header is written.
    pub(crate) header: &'static str,
    /// What the section is for.
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
}

impl Section {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known.name == key)
    }
}

/// One key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// What the key says.
    pub(crate) about: &'static str,
}

/// What may stand behind a key.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// `true` or `false`.
    Switch,
    /// A whole number of hours, from 1 to [`HOURS_MAX`].
    Hours,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true`, `false` or the name of a variant.
    FlagValue,
    /// A list of at least one string and at most [`TIERS_MAX`].
    Tiers,
    /// A day, `2026-01-31`.
    Date,
    /// A table of `name = true` or `name = false`.
    Switches,
    /// A table of `name = 10` or `name = "unlimited"`.
    Limits,
    /// A table.
    One(&'static Section),
    /// A table of tables, each under its own name.
    Named(&'static Section),
    /// A list of tables.
    Many(&'static Section),
}

impl Kind {
    /// The kind in words, after "expected".
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Texts => "a list of strings",
            Self::Switch => "`true` or `false`",
            Self::Hours => "a whole number of hours",
            Self::Word(_) => "a word in quotes",
            Self::FlagValue => "`true`, `false` or one of `variants`",
            Self::Tiers => "a list of 1 to 100 names",
            Self::Date => "a date such as 2026-01-31",
            Self::Switches => "a table of `name = true`",
            Self::Limits => "a table of `name = number`",
            Self::One(_) => "a table",
            Self::Named(_) => "a table of tables",
            Self::Many(_) => "a list of tables, each written `[[…]]`",
        }
    }
}

/// Reports everything in the table that the section does not allow, all of it at once.
pub(crate) fn check(section: &Section, table: &Spanned<DeTable<'_>>, found: &mut Found) {
    Checker {
        found,
        speller: Speller::new(),
    }
    .section(section, table.get_ref(), &table.span());
}

/// Reads a limit: a whole number from 0 to [`LIMIT_MAX`], or `"unlimited"`.
pub(crate) fn limit(value: &DeValue<'_>) -> Option<Limit> {
    match value {
        DeValue::Integer(integer) => count(integer)
            .filter(|count| *count <= LIMIT_MAX)
            .map(Limit::Count),
        DeValue::String(text) if text == "unlimited" => Some(Limit::Unlimited),
        _ => None,
    }
}

/// Reads the hours of a trial.
pub(crate) fn hours(value: &DeValue<'_>) -> Option<u32> {
    let hours = u32::try_from(count(value.as_integer()?)?).ok()?;
    (1..=HOURS_MAX).contains(&hours).then_some(hours)
}

fn count(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

struct Checker<'f> {
    found: &'f mut Found,
    speller: Speller,
}

impl Checker<'_> {
    /// Recursion ends with the shape, which is three levels deep, whatever the file holds.
    fn section(&mut self, section: &Section, table: &DeTable<'_>, place: &std::ops::Range<usize>) {
        for (key, value) in table {
            let keys = || section.keys.iter().map(|known| known.name);
            match section
                .keys
                .iter()
                .find(|known| known.name == key.get_ref())
            {
                Some(known) => self.value(known, value),
                None => self.found.add(invariants::unknown_key(
                    key,
                    section.header,
                    self.speller.nearest(key.get_ref(), keys()),
                    keys(),
                )),
            }
        }
        for missing in section.keys.iter().filter(|known| known.required) {
            if !table.contains_key(missing.name) {
                let problem = invariants::missing_key(missing, section.header, place.clone());
                self.found.add(problem);
            }
        }
    }

    fn value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) {
        match (&key.kind, value.get_ref()) {
            (Kind::Text, DeValue::String(_))
            | (Kind::Switch, DeValue::Boolean(_))
            | (Kind::FlagValue, DeValue::String(_) | DeValue::Boolean(_)) => {}
            (Kind::Hours, DeValue::Integer(_)) => {
                if hours(value.get_ref()).is_none() {
                    self.found.add(entitlements::not_hours(value));
                }
            }
            (Kind::Word(words), DeValue::String(word)) => {
                if !words.contains(&&**word) {
                    let near = self.speller.nearest(word, words.iter().copied());
                    let problem = invariants::not_a_word(key.name, value, near, words);
                    self.found.add(problem);
                }
            }
            (Kind::Date, DeValue::Datetime(date)) if date.date.is_some() && date.time.is_none() => {
            }
            (Kind::Tiers, DeValue::Array(items)) if !(1..=TIERS_MAX).contains(&items.len()) => {
                self.wrong(key.name, key.kind.expected(), value);
            }
            (Kind::Texts | Kind::Tiers, DeValue::Array(items)) => {
                for item in items.iter().filter(|item| !item.get_ref().is_str()) {
                    self.wrong(key.name, "a string", item);
                }
            }
            (Kind::Switches, DeValue::Table(table)) => {
                for (name, item) in table.iter().filter(|(_, item)| !item.get_ref().is_bool()) {
                    self.wrong(name.get_ref(), "`true` or `false`", item);
                }
            }
            (Kind::Limits, DeValue::Table(table)) => {
                for (name, item) in table {
                    if limit(item.get_ref()).is_none() {
                        self.found
                            .add(invariants::not_a_limit(name.get_ref(), item));
                    }
                }
            }
            (Kind::One(section), DeValue::Table(table)) => {
                self.section(section, table, &value.span());
            }
            (Kind::Named(section), DeValue::Table(tables)) => {
                for (name, item) in tables {
                    match item.get_ref() {
                        DeValue::Table(table) => self.section(section, table, &item.span()),
                        _ => self.wrong(name.get_ref(), "a table", item),
                    }
                }
            }
            (Kind::Many(section), DeValue::Array(items)) => {
                for item in items {
                    match item.get_ref() {
                        DeValue::Table(table) => self.section(section, table, &item.span()),
                        _ => self.wrong(key.name, "a table", item),
                    }
                }
            }
            _ => self.wrong(key.name, key.kind.expected(), value),
        }
    }

    fn wrong(&mut self, name: &str, expected: &str, value: &Spanned<DeValue<'_>>) {
        self.found
            .add(invariants::wrong_kind(name, expected, value));
    }
}
