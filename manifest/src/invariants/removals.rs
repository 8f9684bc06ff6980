//! The invariants of what is taken away: it is said, and what is said is so.

use std::ops::Range;

use super::{Rule, error, warning};
use crate::diagnostic::Diagnostic;
use crate::edit::{LimitEdit, PackageEdit};
use crate::{Owner, Removal};

pub(super) static NO_SILENT_REMOVAL: Rule = error(
    "M19",
    "no-silent-removal",
    "nothing that customers have is taken away by accident",
);

/// The tier or add-on itself.
pub(crate) fn owner_lost(owner: Owner<&str>, place: Range<usize>) -> Diagnostic {
    let message = format!("{owner} is gone");
    let problem = Diagnostic::new(&NO_SILENT_REMOVAL, place, message);
    ask_for_entry(problem, owner, owner.name())
}

pub(crate) fn package_lost(tier: &str, lost: &PackageEdit<'_>, place: Range<usize>) -> Diagnostic {
    let before = match lost.chain.links.as_slice() {
        [] => format!("it was {}", lost.chain.root),
        [(_, _)] => format!("`{}` brought it", lost.chain.first),
        [.., (_, owner), (_, _)] => format!("`{owner}` brought it"),
    };
    let message = format!("tier `{tier}` loses package `{}`", lost.name);
    let problem = Diagnostic::new(&NO_SILENT_REMOVAL, place, message).label(before);
    ask_for_entry(problem, Owner::Tier(tier), lost.name.as_str())
}

pub(crate) fn feature_lost(owner: Owner<&str>, name: &str, place: Range<usize>) -> Diagnostic {
    let message = format!("{owner} loses feature `{name}`");
    let problem = Diagnostic::new(&NO_SILENT_REMOVAL, place, message);
    ask_for_entry(problem, owner, name)
}

/// The tier grants the feature as before, and a rule about it keeps it off.
pub(crate) fn feature_off(tier: &str, name: &str, place: Range<usize>) -> Diagnostic {
    let message = format!("feature `{name}` of tier `{tier}` is off by its rule now");
    let problem = Diagnostic::new(&NO_SILENT_REMOVAL, place, message)
        .label("it is for premium users only, or requires what the tier lacks");
    ask_for_entry(problem, Owner::Tier(tier), name)
}

pub(crate) fn limit_lost(
    owner: Owner<&str>,
    limit: &LimitEdit<'_>,
    place: Range<usize>,
) -> Diagnostic {
    let LimitEdit { name, from, to } = limit;
    let message = format!("limit `{name}` of {owner} falls from {from} to {to}");
    let problem = Diagnostic::new(&NO_SILENT_REMOVAL, place, message);
    ask_for_entry(problem, owner, name)
}

/// An add-on that sets a limit no more leaves what the tier grants.
pub(crate) fn add_on_limit_lost(add_on: &str, name: &str, place: Range<usize>) -> Diagnostic {
    let message = format!("add-on `{add_on}` loses limit `{name}`");
    let problem = Diagnostic::new(&NO_SILENT_REMOVAL, place, message);
    ask_for_entry(problem, Owner::AddOn(add_on), name)
}

/// The entry that says a loss is meant.
fn ask_for_entry(problem: Diagnostic, owner: Owner<&str>, name: &str) -> Diagnostic {
    let entry = [
        "[[removal]]".to_owned(),
        format!("{} = \"{}\"", owner.kind(), owner.name()),
        format!("name = \"{name}\""),
        "reason = \"…\"".to_owned(),
        "date = 2026-01-31".to_owned(),
    ];
    problem.hint_with_lines("give it back, or say that it is meant:", &entry)
}

pub(super) static REMOVAL_HOLDS: Rule = warning(
    "M20",
    "removal-holds",
    "an entry about a removal never excuses the next one",
);

pub(crate) fn removed_but_there(entry: &Removal) -> Diagnostic {
    let owner = entry.owner.as_ref();
    let message = format!("{owner} has `{}`, which this says it lost", entry.name);
    Diagnostic::new(&REMOVAL_HOLDS, entry.span.clone(), message)
        .hint("remove this entry: left here, it would allow taking it away again unseen")
}
