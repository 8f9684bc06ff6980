//! Why a catalog is refused.

use std::sync::Arc;

use manifest::Limit;

use crate::names::{Kind, UnknownName};

/// A catalog that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// It has no tier (ENT-2).
    #[error("the catalog has no tier; declare at least one")]
    NoTier,
    /// It says of no tier that it is the default one (ENT-2).
    #[error("the catalog has no default tier; choose one of {}", .0.join(", "))]
    NoDefault(Vec<Arc<str>>),
    /// The default tier is none (ENT-2, KUM-40).
    #[error("the default tier: {0}")]
    DefaultTier(#[source] UnknownName),
    /// The trial's tier is none (KUM-40).
    #[error("the trial: {0}")]
    TrialTier(#[source] UnknownName),
    /// Something names what the declared universe does not have (ENT-6).
    #[error("{place}: {unknown}")]
    Undeclared {
        /// Where the name stands.
        place: String,
        /// The name.
        #[source]
        unknown: UnknownName,
    },
    /// A name that cannot be one.
    #[error(
        "`{name}` cannot be the name of a {kind}: use letters, digits, `_`, `-` and `.`, a letter \
         first, at most 64; a tier's is in lower case, without `.` and at most 50"
    )]
    NotAName {
        /// What it should have named.
        kind: Kind,
        /// The name.
        name: Arc<str>,
    },
    /// A name that is declared twice.
    #[error("{kind} `{name}` is declared twice; leave one out")]
    Twice {
        /// What it names.
        kind: Kind,
        /// The name.
        name: Arc<str>,
    },
    /// A name that means two things.
    #[error("`{0}` is both a feature and a limit; rename one of them")]
    Both(Arc<str>),
    /// A higher tier grants less.
    #[error(
        "tier `{tier}` lowers limit `{limit}` from {from} to {to}; a higher tier grants at least as much"
    )]
    Lowered {
        /// The higher tier.
        tier: Arc<str>,
        /// The limit.
        limit: Arc<str>,
        /// What the tier below grants.
        from: Limit,
        /// What this one would.
        to: Limit,
    },
    /// Features that require each other.
    #[error("features require each other: {}; take one requirement away", .0.join(" requires "))]
    Cycle(Vec<Arc<str>>),
}

pub(super) fn twice(kind: Kind, name: &Arc<str>) -> CatalogError {
    CatalogError::Twice {
        kind,
        name: Arc::clone(name),
    }
}

pub(super) fn not_a_name(kind: Kind, name: &Arc<str>) -> CatalogError {
    CatalogError::NotAName {
        kind,
        name: Arc::clone(name),
    }
}
