//! The invariants of a manifest, numbered: what each protects, what is said when it does not hold,
//! and what to do about it. `tests/it/diagnostics.rs` breaks each of them in turn.

pub(crate) mod entitlements;

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::Text;
use crate::edit::{LimitEdit, PackageEdit};
use crate::graph::Node;
use crate::shape::Key;
use crate::{Limit, NameError, PackageSet, Removal, TierNameError};

/// One invariant.
#[derive(Debug)]
pub struct Rule {
    /// Its number, such as `M09`. Numbers are never given again.
    pub id: &'static str,
    /// Its name, such as `no-cycles`.
    pub name: &'static str,
    /// What a manifest that breaks it is.
    pub severity: Severity,
    /// What it protects.
    pub protects: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id, self.name)
    }
}

const fn error(id: &'static str, name: &'static str, protects: &'static str) -> Rule {
    Rule {
        id,
        name,
        severity: Severity::Error,
        protects,
    }
}

const fn warning(id: &'static str, name: &'static str, protects: &'static str) -> Rule {
    Rule {
        id,
        name,
        severity: Severity::Warning,
        protects,
    }
}

/// All invariants in the order of their numbers.
pub static RULES: [&Rule; 28] = [
    &SYNTAX,
    &SHAPE,
    &LIMIT_VALUE,
    &NAME_GRAMMAR,
    &IN_SCOPE,
    &NO_CASE_COLLISION,
    &NO_DUPLICATE,
    &DECLARED,
    &NO_CYCLES,
    &FOUNDATION_EVERYWHERE,
    &NESTED,
    &CLOSED,
    &CANONICAL,
    &FEATURES_MONOTONE,
    &LIMITS_MONOTONE,
    &DEFAULT_TIER,
    &REACHABLE,
    &CONSOLE_BRINGS_NO_ENGINE,
    &NO_SILENT_REMOVAL,
    &REMOVAL_HOLDS,
    &entitlements::ONE_MEANING,
    &entitlements::TRIAL,
    &entitlements::NO_REQUIREMENT_CYCLES,
    &entitlements::REQUIREMENT_GRANTED,
    &entitlements::FLAG_DEFAULT,
    &entitlements::METRIC_UNIT,
    &entitlements::CAP_OF_LIMIT,
    &entitlements::ADDS_SOMETHING,
];

static SYNTAX: Rule = error(
    "M01",
    "syntax",
    "the file means the same to every TOML reader",
);

pub(crate) fn not_toml(error: &toml::de::Error) -> Diagnostic {
    let message = format!("this is not TOML: {}", error.message());
    let problem = Diagnostic::new(&SYNTAX, error.span().unwrap_or(0..0), message);
    if error.message().starts_with("duplicate key") {
        return problem.hint("say it once: TOML does not merge two entries of the same name");
    }
    problem
}

static SHAPE: Rule = error(
    "M02",
    "shape",
    "a misspelled key is never ignored, and no value is guessed",
);

pub(crate) fn unknown_key(
    key: &Text<'_>,
    header: &str,
    near: Option<&str>,
    known: impl Iterator<Item = &'static str>,
) -> Diagnostic {
    let message = format!("`{}` is not a key of {header}", key.get_ref());
    let problem = Diagnostic::new(&SHAPE, key.span(), message).label("unknown key");
    problem.hint(near.map_or_else(
        || format!("the keys of {header} are {}", quoted(known)),
        did_you_mean,
    ))
}

pub(crate) fn missing_key(key: &Key, header: &str, place: Range<usize>) -> Diagnostic {
    Diagnostic::new(&SHAPE, place, format!("{header} has no `{}`", key.name))
        .hint(format!("add it: {}", key.about.trim_end_matches('.')))
}

pub(crate) fn wrong_kind(name: &str, expected: &str, value: &Spanned<DeValue<'_>>) -> Diagnostic {
    let kind = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(items) if items.is_empty() => "an empty list",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Diagnostic::new(&SHAPE, value.span(), format!("`{name}` takes {expected}"))
        .label(format!("this is {kind}"))
}

/// `known` are the words that a value is one of.
pub(crate) fn not_a_word(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    near: Option<&str>,
    known: &[&str],
) -> Diagnostic {
    let message = format!("`{name}` takes one of a few words");
    let problem = Diagnostic::new(&SHAPE, value.span(), message).label("this is another word");
    problem.hint(near.map_or_else(
        || format!("the words are {}", quoted(known.iter().copied())),
        did_you_mean,
    ))
}

static LIMIT_VALUE: Rule = error(
    "M03",
    "limit-value",
    "a limit is a count or spelled out as unlimited, never implied",
);

pub(crate) fn not_a_limit(name: &str, value: &Spanned<DeValue<'_>>) -> Diagnostic {
    let (label, hint) = match value.get_ref() {
        DeValue::Integer(number) if number.as_str().starts_with('-') => (
            "this is negative",
            "0 denies, and no limit at all is spelled \"unlimited\"",
        ),
        DeValue::Integer(_) => (
            "this is above 9223372036854775807",
            "no limit at all is spelled \"unlimited\"",
        ),
        DeValue::Float(_) => (
            "this is not whole",
            "no limit at all is spelled \"unlimited\"",
        ),
        DeValue::String(_) => ("this is another word", "the only word is \"unlimited\""),
        _ => (
            "this is no number",
            "write a whole number from 0 on, or \"unlimited\"",
        ),
    };
    let message = format!("limit `{name}` takes a whole number from 0 on, or \"unlimited\"");
    Diagnostic::new(&LIMIT_VALUE, value.span(), message)
        .label(label)
        .hint(hint)
}

static NAME_GRAMMAR: Rule = error(
    "M04",
    "name-grammar",
    "every name works in npm, in URLs, in tokens and in shells",
);

pub(crate) fn not_a_package_name(name: &Text<'_>, error: NameError) -> Diagnostic {
    let message = format!("`{}` is not a package name", name.get_ref());
    Diagnostic::new(&NAME_GRAMMAR, name.span(), message).label(error.to_string())
}

pub(crate) fn not_a_tier_name(name: &Text<'_>) -> Diagnostic {
    let message = format!("`{}` is not a tier name", name.get_ref());
    Diagnostic::new(&NAME_GRAMMAR, name.span(), message).hint(TierNameError.to_string())
}

pub(crate) fn not_a_scope(scope: &Text<'_>) -> Diagnostic {
    let message = format!("`{}` is not an npm scope", scope.get_ref());
    Diagnostic::new(&NAME_GRAMMAR, scope.span(), message)
        .hint("a scope is `@` and lower-case letters, digits, `-`, `_` and `.`, such as `@acme`")
}

/// `what` is `feature`, `limit` or another thing that is named so.
pub(crate) fn not_a_key(what: &str, name: &Text<'_>) -> Diagnostic {
    let article = if what.starts_with('a') { "an" } else { "a" };
    let message = format!("`{}` is not {article} {what} name", name.get_ref());
    Diagnostic::new(&NAME_GRAMMAR, name.span(), message).hint(format!(
        "{article} {what} name has 1 to 64 letters, digits, `_`, `-` and `.`, and starts with a letter"
    ))
}

static IN_SCOPE: Rule = error(
    "M05",
    "in-scope",
    "the gate answers for one scope; a package outside it is not gated",
);

pub(crate) fn out_of_scope(name: &Text<'_>, scope: &Text<'_>) -> Diagnostic {
    let message = format!(
        "`{}` is outside the scope `{}`",
        name.get_ref(),
        scope.get_ref()
    );
    Diagnostic::new(&IN_SCOPE, name.span(), message)
        .also(scope.span(), "the scope of this manifest")
        .hint(
            "a package of another scope is installed from the public registry and not listed here",
        )
}

static NO_CASE_COLLISION: Rule = error(
    "M06",
    "no-case-collisions",
    "two names never differ only in case, which file systems and people do not see",
);

pub(crate) fn case_collision(what: &str, name: &Text<'_>, other: &Text<'_>) -> Diagnostic {
    let message = format!(
        "{what} `{}` differs from `{}` only in case",
        name.get_ref(),
        other.get_ref()
    );
    Diagnostic::new(&NO_CASE_COLLISION, name.span(), message)
        .also(other.span(), "the other name")
        .hint("keep one spelling")
}

static NO_DUPLICATE: Rule = error(
    "M07",
    "no-duplicates",
    "a thing is said once, so that one edit changes it",
);

pub(crate) fn duplicate(name: &Text<'_>, first: Range<usize>) -> Diagnostic {
    let message = format!("`{}` is named twice", name.get_ref());
    Diagnostic::new(&NO_DUPLICATE, name.span(), message)
        .label("named again")
        .also(first, "first named here")
        .hint("remove one of the two")
}

/// `owner` is the tier, or the foundation, that has the leaf already.
pub(crate) fn leaf_again(name: &Text<'_>, owner: &str, first: Range<usize>) -> Diagnostic {
    let message = format!("`{}` is a leaf of {owner} already", name.get_ref());
    Diagnostic::new(&NO_DUPLICATE, name.span(), message)
        .label("named again")
        .also(first, "first named here")
        .hint("name it in the lowest tier only: every tier has what the tiers below it have")
}

static DECLARED: Rule = error(
    "M08",
    "declared",
    "a misspelled name never becomes a package that nobody can install",
);

pub(crate) fn undeclared(what: &str, name: &Text<'_>, near: Option<&str>) -> Diagnostic {
    let message = format!("{what} `{}` is not declared", name.get_ref());
    let problem = Diagnostic::new(&DECLARED, name.span(), message).label("unknown name");
    match (near, what) {
        (Some(near), _) => problem.hint(did_you_mean(near)),
        (None, "package") => problem.hint(format!("add `[package.\"{}\"]`", name.get_ref())),
        (None, "tier") => problem.hint("add it to `tiers` in [manifest], in its place"),
        (None, _) => problem.hint(format!("add it to `{what}s` in [manifest]")),
    }
}

pub(crate) fn tier_without_entry(name: &Text<'_>) -> Diagnostic {
    let message = format!("tier `{}` has no [tier.{}]", name.get_ref(), name.get_ref());
    Diagnostic::new(&DECLARED, name.span(), message).hint(format!(
        "add `[tier.{}]`; it may be empty when the tier adds nothing",
        name.get_ref()
    ))
}

static NO_CYCLES: Rule = error(
    "M09",
    "no-cycles",
    "packages can be built, published and installed one after the other",
);

/// Names in a message at most; longer cycles are abridged in the middle.
const CYCLE_NAMES_MAX: usize = 50;

/// `cycle` are the names in order, from its first back to just before it; `place` is the edge that
/// closes it.
pub(crate) fn cycle(cycle: &[&str], place: Range<usize>) -> Diagnostic {
    Diagnostic::new(&NO_CYCLES, place, around("packages", cycle))
        .label("this closes the cycle")
        .hint("remove one of these edges, or move what both sides need into a package of its own")
}

/// A cycle in words.
fn around(what: &str, cycle: &[&str]) -> String {
    let named = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(" → ")
    };
    let start = cycle.get(..1).unwrap_or_default();
    match (cycle.len(), cycle.get(..CYCLE_NAMES_MAX)) {
        (1, _) => format!("{} requires itself", named(start)),
        (length, Some(first)) if length > CYCLE_NAMES_MAX => format!(
            "these {what} require each other: {} → … {} more … → {}",
            named(first),
            length - CYCLE_NAMES_MAX,
            named(start)
        ),
        _ => format!(
            "these {what} require each other: {} → {}",
            named(cycle),
            named(start)
        ),
    }
}

static FOUNDATION_EVERYWHERE: Rule = error(
    "M10",
    "foundation-everywhere",
    "no tier misses what all others are built on",
);

/// Holds by construction; asserted over the finished sets all the same, as are the next three.
pub(crate) fn foundation_everywhere<'a>(
    foundation: impl Iterator<Item = &'a str>,
    tiers: &[(&str, &PackageSet)],
) -> Option<Diagnostic> {
    let mut missing = foundation.filter_map(|package| {
        let without = tiers.iter().find(|(_, set)| !set.contains(package));
        without.map(|(tier, _)| (package, *tier))
    });
    let (package, tier) = missing.next()?;
    let message = format!("tier `{tier}` lacks `{package}` of the foundation");
    Some(Diagnostic::new(&FOUNDATION_EVERYWHERE, 0..0, message).hint(OUR_FAULT))
}

static NESTED: Rule = error("M11", "nested", "an upgrade never removes a package");

pub(crate) fn nested(tiers: &[(&str, &PackageSet)]) -> Option<Diagnostic> {
    tiers.windows(2).find_map(|pair| match pair {
        [(lower, below), (higher, above)] if !above.is_superset(below) => {
            let message = format!("tier `{higher}` lacks packages of `{lower}` below it");
            Some(Diagnostic::new(&NESTED, 0..0, message).hint(OUR_FAULT))
        }
        _ => None,
    })
}

static CLOSED: Rule = error(
    "M12",
    "closed",
    "what may be installed can be installed whole",
);

/// `names` are those of the nodes, `edges` all that is brought: source and target.
pub(crate) fn closed(
    names: &[&str],
    edges: &(impl Iterator<Item = (Node, Node)> + Clone),
    tiers: &[(&str, &PackageSet)],
) -> Option<Diagnostic> {
    tiers.iter().find_map(|(tier, set)| {
        // Each package is looked up once, not once for each of its edges.
        let inside: Vec<bool> = names.iter().map(|name| set.contains(name)).collect();
        let is_inside = |node: &Node| inside.get(*node) == Some(&true);
        let (from, to) = edges
            .clone()
            .find(|(from, to)| is_inside(from) && !is_inside(to))?;
        let message = format!(
            "tier `{tier}` has `{}` but not `{}`, which comes with it",
            names.get(from)?,
            names.get(to)?
        );
        Some(Diagnostic::new(&CLOSED, 0..0, message).hint(OUR_FAULT))
    })
}

static CANONICAL: Rule = error(
    "M13",
    "sorted-and-unique",
    "a set has one spelling, so that its digest names it",
);

pub(crate) fn canonical<'a>(
    tier: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<Diagnostic> {
    let mut before: Option<&str> = None;
    for name in names {
        if before.is_some_and(|before| before >= name) {
            let message = format!("in tier `{tier}`, `{name}` does not come after the name before");
            return Some(Diagnostic::new(&CANONICAL, 0..0, message).hint(OUR_FAULT));
        }
        before = Some(name);
    }
    None
}

const OUR_FAULT: &str = "this is a defect of the compiler, not of the manifest: please report it";

static FEATURES_MONOTONE: Rule = error(
    "M14",
    "features-monotone",
    "an upgrade never takes a feature away",
);

pub(crate) fn feature_taken(name: &Text<'_>, tier: &str, granted: &Text<'_>) -> Diagnostic {
    let message = format!("tier `{tier}` takes feature `{}` away", name.get_ref());
    Diagnostic::new(&FEATURES_MONOTONE, name.span(), message)
        .also(granted.span(), "granted here, in a tier below")
        .hint("remove this line: a tier has the features of the tiers below it")
}

static LIMITS_MONOTONE: Rule = error("M15", "limits-monotone", "an upgrade never lowers a limit");

pub(crate) fn limit_lowered(
    name: &str,
    tier: &str,
    limit: &Spanned<Limit>,
    below: &Spanned<Limit>,
) -> Diagnostic {
    let message = format!(
        "tier `{tier}` lowers limit `{name}` from {} to {}",
        below.get_ref(),
        limit.get_ref()
    );
    Diagnostic::new(&LIMITS_MONOTONE, limit.span(), message)
        .also(below.span(), "granted here, in a tier below")
        .hint("raise it, or remove it: a tier has the limits of the tiers below it")
}

static DEFAULT_TIER: Rule = error(
    "M16",
    "default-tier",
    "a subject without an assignment is in a tier that exists",
);

pub(crate) fn no_such_default(
    name: &Text<'_>,
    near: Option<&str>,
    tiers: &[Text<'_>],
) -> Diagnostic {
    let message = format!("the default tier `{}` is not a tier", name.get_ref());
    let problem = Diagnostic::new(&DEFAULT_TIER, name.span(), message);
    problem.hint(near.map_or_else(
        || {
            format!(
                "the tiers are {}",
                quoted(tiers.iter().map(|tier| &**tier.get_ref()))
            )
        },
        did_you_mean,
    ))
}

static REACHABLE: Rule = warning(
    "M17",
    "reachable",
    "a package that is maintained is a package that somebody can have",
);

pub(crate) fn unreachable(name: &Text<'_>) -> Diagnostic {
    let message = format!("no tier has package `{}`", name.get_ref());
    Diagnostic::new(&REACHABLE, name.span(), message)
        .hint("name it as a leaf of a tier, or in `requires` of a package that a tier has")
}

static CONSOLE_BRINGS_NO_ENGINE: Rule = warning(
    "M18",
    "console-brings-no-engine",
    "an engine comes into a tier on purpose, not because a page about another engine needs it",
);

pub(crate) fn console_brings_engine(console: &str, engine: &Text<'_>, tier: &str) -> Diagnostic {
    let message = format!(
        "tier `{tier}` gets `{}` only because the console package `{console}` requires it",
        engine.get_ref()
    );
    Diagnostic::new(&CONSOLE_BRINGS_NO_ENGINE, engine.span(), message).hint(
        "name it as a leaf of that tier, or in the foundation when it is a library; or remove it here",
    )
}

static NO_SILENT_REMOVAL: Rule = error(
    "M19",
    "no-silent-removal",
    "nothing that customers have is taken away by accident",
);

pub(crate) fn tier_lost(tier: &str, place: Range<usize>) -> Diagnostic {
    let message = format!("tier `{tier}` is gone");
    ask_for_entry(
        Diagnostic::new(&NO_SILENT_REMOVAL, place, message),
        tier,
        tier,
    )
}

pub(crate) fn package_lost(tier: &str, lost: &PackageEdit<'_>, place: Range<usize>) -> Diagnostic {
    let before = match lost.chain.links.as_slice() {
        [] => format!("it was {}", lost.chain.root),
        [(_, _)] => format!("`{}` brought it", lost.chain.first),
        [.., (_, owner), (_, _)] => format!("`{owner}` brought it"),
    };
    let message = format!("tier `{tier}` loses package `{}`", lost.name);
    let problem = Diagnostic::new(&NO_SILENT_REMOVAL, place, message).label(before);
    ask_for_entry(problem, tier, lost.name.as_str())
}

pub(crate) fn feature_lost(tier: &str, name: &str, place: Range<usize>) -> Diagnostic {
    let message = format!("tier `{tier}` loses feature `{name}`");
    ask_for_entry(
        Diagnostic::new(&NO_SILENT_REMOVAL, place, message),
        tier,
        name,
    )
}

pub(crate) fn limit_lost(tier: &str, limit: &LimitEdit<'_>, place: Range<usize>) -> Diagnostic {
    let LimitEdit { name, from, to } = limit;
    let message = format!("limit `{name}` of tier `{tier}` falls from {from} to {to}");
    ask_for_entry(
        Diagnostic::new(&NO_SILENT_REMOVAL, place, message),
        tier,
        name,
    )
}

/// The entry that says a loss is meant.
fn ask_for_entry(problem: Diagnostic, tier: &str, name: &str) -> Diagnostic {
    let entry = [
        "[[removal]]".to_owned(),
        format!("tier = \"{tier}\""),
        format!("name = \"{name}\""),
        "reason = \"…\"".to_owned(),
        "date = 2026-01-31".to_owned(),
    ];
    problem.hint_with_lines("give it back, or say that it is meant:", &entry)
}

static REMOVAL_HOLDS: Rule = warning(
    "M20",
    "removal-holds",
    "an entry about a removal never excuses the next one",
);

pub(crate) fn removed_but_there(entry: &Removal) -> Diagnostic {
    let message = format!(
        "tier `{}` has `{}`, which this says it lost",
        entry.tier, entry.name
    );
    Diagnostic::new(&REMOVAL_HOLDS, entry.span.clone(), message)
        .hint("remove this entry: left here, it would allow taking it away again unseen")
}

fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> PackageSet {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn rules_are_numbered_in_order_without_gaps() {
        for (index, rule) in RULES.iter().enumerate() {
            assert_eq!(rule.id, format!("M{:02}", index + 1));
        }
    }

    #[test]
    fn pot_5_a_tier_without_a_foundation_package_is_caught() {
        let (basic, growth) = (set(&["a", "b"]), set(&["b"]));
        let tiers = [("basic", &basic), ("growth", &growth)];
        assert!(foundation_everywhere(["b"].into_iter(), &tiers).is_none());
        let problem = foundation_everywhere(["b", "a"].into_iter(), &tiers).unwrap();
        assert_eq!(
            problem.message(),
            "tier `growth` lacks `a` of the foundation"
        );
    }

    #[test]
    fn pot_3_tiers_that_are_not_nested_are_caught() {
        let (basic, growth) = (set(&["a", "b"]), set(&["b", "c"]));
        assert!(nested(&[("basic", &basic), ("growth", &basic)]).is_none());
        let problem = nested(&[("basic", &basic), ("growth", &growth)]).unwrap();
        assert_eq!(
            problem.message(),
            "tier `growth` lacks packages of `basic` below it"
        );
    }

    #[test]
    fn a_set_that_is_not_closed_is_caught() {
        let (basic, growth) = (set(&["a"]), set(&["a", "b"]));
        let edges = [(0, 1)].into_iter();
        assert!(closed(&["a", "b"], &edges, &[("growth", &growth)]).is_none());
        let tiers = [("basic", &basic), ("growth", &growth)];
        let problem = closed(&["a", "b"], &edges, &tiers).unwrap();
        assert_eq!(
            problem.message(),
            "tier `basic` has `a` but not `b`, which comes with it"
        );
    }

    #[test]
    fn pot_9_a_list_out_of_order_is_caught() {
        assert!(canonical("basic", ["a", "b"].into_iter()).is_none());
        for names in [["b", "a"], ["a", "a"]] {
            assert!(canonical("basic", names.into_iter()).is_some());
        }
    }
}
