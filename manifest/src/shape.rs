//! The shape of `tiers.toml`: every section and key, once. The loader accepts exactly these, and
//! the JSON Schema is made from them.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::Limit;
use crate::diagnostic::Found;
use crate::invariants;
use crate::suggest::Speller;

/// Tiers in a manifest at most. Each has a set of its own, so their number bounds memory.
pub(crate) const TIERS_MAX: usize = 100;

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

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key {
        name,
        kind,
        required: true,
        about,
    }
}

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key {
        name,
        kind,
        required: false,
        about,
    }
}

/// The whole file.
pub(crate) static FILE: Section = Section {
    header: "the file",
    about: "the tiers of a product, and the npm packages that each of them may install",
    keys: &[
        required(
            "manifest",
            Kind::One(&MANIFEST),
            "the names that the rest of the file uses",
        ),
        optional("foundation", Kind::One(&FOUNDATION), "what every tier has"),
        optional(
            "tier",
            Kind::Named(&TIER),
            "what each tier adds to the tiers below it",
        ),
        optional(
            "package",
            Kind::Named(&PACKAGE),
            "each package, and what it brings",
        ),
        optional(
            "removal",
            Kind::Many(&REMOVAL),
            "what was taken from a tier on purpose",
        ),
    ],
};

static MANIFEST: Section = Section {
    header: "[manifest]",
    about: "the names that the rest of the file uses",
    keys: &[
        required(
            "scope",
            Kind::Text,
            "the npm scope of all packages, such as `@acme`",
        ),
        required(
            "default-tier",
            Kind::Text,
            "the tier of subjects without an assignment",
        ),
        required("tiers", Kind::Tiers, "the tiers in ascending order"),
        optional(
            "features",
            Kind::Texts,
            "the features there are; when left out, those that the tiers name",
        ),
        optional(
            "limits",
            Kind::Texts,
            "the limits there are; when left out, those that the tiers name",
        ),
    ],
};

static FOUNDATION: Section = Section {
    header: "[foundation]",
    about: "what every tier has",
    keys: &[optional(
        "leaves",
        Kind::Texts,
        "packages present in every tier",
    )],
};

static TIER: Section = Section {
    header: "[tier.…]",
    about: "what one tier adds to the tiers below it",
    keys: &[
        optional(
            "leaves",
            Kind::Texts,
            "packages this tier adds; what they require comes by itself",
        ),
        optional("features", Kind::Switches, "features this tier switches on"),
        optional(
            "limits",
            Kind::Limits,
            "limits from this tier on: a whole number, or \"unlimited\"",
        ),
    ],
};

static PACKAGE: Section = Section {
    header: "[package.…]",
    about: "one package, and what it brings",
    keys: &[
        optional(
            "requires",
            Kind::Texts,
            "packages without which this one does not work",
        ),
        optional(
            "console",
            Kind::Texts,
            "console packages that come with this one",
        ),
    ],
};

static REMOVAL: Section = Section {
    header: "[[removal]]",
    about: "one thing taken from a tier on purpose; without this entry such an edit is refused",
    keys: &[
        required("tier", Kind::Text, "the tier that loses it"),
        required("name", Kind::Text, "the package, feature or limit"),
        required(
            "reason",
            Kind::Text,
            "why, for whoever reads the file later",
        ),
        required("date", Kind::Date, "when, such as 2026-01-31"),
    ],
};

impl Kind {
    /// The kind in words, after "expected".
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Texts => "a list of strings",
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

/// Reads a limit: a whole number from 0 on, or `"unlimited"`.
pub(crate) fn limit(value: &DeValue<'_>) -> Option<Limit> {
    match value {
        DeValue::Integer(integer) => count(integer).map(Limit::Count),
        DeValue::String(text) if text == "unlimited" => Some(Limit::Unlimited),
        _ => None,
    }
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
            (Kind::Text, DeValue::String(_)) => {}
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
