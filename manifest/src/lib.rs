//! The tier compiler: `tiers.toml` → graph → closure → cumulative package sets.
//!
//! Text goes in, sets or diagnostics come out; nothing here reads files or the network. Without
//! the feature `compile` only names, limits and sets remain, which is all that a gate needs; with
//! `edit` the text of a manifest can be changed without losing its comments.

mod limit;
mod name;
mod set;

#[cfg(feature = "compile")]
mod compile;
#[cfg(feature = "compile")]
mod diagnostic;
#[cfg(feature = "compile")]
mod document;
#[cfg(feature = "compile")]
mod edit;
#[cfg(feature = "compile")]
mod entitlement;
#[cfg(feature = "compile")]
mod grants;
#[cfg(feature = "compile")]
mod graph;
#[cfg(feature = "compile")]
mod invariants;
#[cfg(feature = "edit")]
mod list;
#[cfg(feature = "edit")]
mod merge;
#[cfg(feature = "compile")]
mod resolve;
#[cfg(feature = "compile")]
mod schema;
#[cfg(feature = "compile")]
mod sections;
#[cfg(feature = "compile")]
mod shape;
#[cfg(feature = "compile")]
mod suggest;
#[cfg(feature = "edit")]
mod tidy;
#[cfg(feature = "compile")]
mod tiers;
#[cfg(feature = "compile")]
mod why;

pub use limit::Limit;
pub use name::{NAME_BYTES_MAX, NameError, PackageName, TierName, TierNameError};
pub use set::{DigestError, NotCanonical, PackageSet, SetDigest};

#[cfg(feature = "compile")]
pub use compile::{Loaded, Manifest, Removal};
#[cfg(feature = "compile")]
pub use diagnostic::{Diagnostic, Diagnostics, Position, Severity};
#[cfg(feature = "compile")]
pub use edit::{Edit, LimitEdit, PackageEdit, Standing, TierEdit};
#[cfg(feature = "compile")]
pub use entitlement::{
    AddOn, Aggregate, CapProfile, FeatureRule, Flag, FlagValue, Metric, Period, Trial,
};
#[cfg(feature = "compile")]
pub use graph::Edge;
#[cfg(feature = "compile")]
pub use invariants::{RULES, Rule};
#[cfg(feature = "edit")]
pub use merge::{FoundPackage, Merged, merge};
#[cfg(feature = "compile")]
pub use schema::schema;
#[cfg(feature = "compile")]
pub use suggest::nearest;
#[cfg(feature = "edit")]
pub use tidy::tidy;
#[cfg(feature = "compile")]
pub use tiers::{Package, Tier, TierSets, UnknownPackages};
#[cfg(feature = "compile")]
pub use why::{Chain, Reasons, Root};
