//! The tier compiler: `tiers.toml` → graph → closure → cumulative package sets.

mod name;
mod set;

pub use name::{NAME_BYTES_MAX, NameError, PackageName, TierName, TierNameError};
pub use set::{DigestError, NotCanonical, PackageSet, SetDigest};
