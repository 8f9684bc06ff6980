//! Flags: switches and choices that belong to no tier, with overrides for a user, a team or the
//! whole platform. A flag for premium users alone stays at its floor for everyone else, whatever
//! an override says.
//!
//! Everything here is pure but [`Flags::read`], which asks who is premium where that decides.

mod declare;
mod evaluate;
mod overrides;

pub use declare::{Declared, InvalidFlags};
pub use evaluate::{Evaluation, FlagContext, Origin};
pub use overrides::{Overrides, Scope};

use std::sync::Arc;

use indexmap::IndexMap;
use manifest::TierSets;
pub use manifest::{Flag, FlagValue};

/// The flags there are. They do not change once declared, and a name has one flag (TOOL-35).
#[derive(Debug, Clone, Default)]
pub struct Flags {
    by_name: Arc<IndexMap<Arc<str>, Flag>>,
}

/// No flag of this name was declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown flag `{name}`; the flags are {}", valid.join(", "))]
pub struct UnknownFlag {
    /// The name that was asked for.
    pub name: String,
    /// The names there are.
    pub valid: Vec<String>,
}

/// An override that a flag cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOverride {
    /// No such flag.
    #[error(transparent)]
    Unknown(#[from] UnknownFlag),
    /// The value is none of the flag's.
    #[error("flag `{flag}` is {}", one_of(valid))]
    Shape {
        /// The flag.
        flag: String,
        /// Its variants; empty for one that is on or off.
        valid: Vec<String>,
    },
}

fn one_of(variants: &[String]) -> String {
    if variants.is_empty() {
        "true or false".to_owned()
    } else {
        format!("one of {}", variants.join(", "))
    }
}

impl Flags {
    /// The flags of a manifest, which were checked when it was compiled.
    pub fn from_manifest(tiers: &TierSets) -> Self {
        let flags = tiers.flags();
        Self::of(flags.map(|flag| (Arc::clone(&flag.name), flag.clone())))
    }

    /// Declares flags in code.
    pub fn declare() -> Declared {
        Declared::default()
    }

    fn of(flags: impl Iterator<Item = (Arc<str>, Flag)>) -> Self {
        Self {
            by_name: Arc::new(flags.collect()),
        }
    }

    /// The flag of this name.
    pub fn get(&self, name: &str) -> Result<&Flag, UnknownFlag> {
        self.by_name.get(name).ok_or_else(|| UnknownFlag {
            name: name.to_owned(),
            valid: self.iter().map(|flag| flag.name.to_string()).collect(),
        })
    }

    /// The flags in their declared order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Flag> {
        self.by_name.values()
    }

    /// Whether the flag may be overridden with this value.
    pub fn check_override(&self, name: &str, value: &FlagValue) -> Result<&Flag, InvalidOverride> {
        let flag = self.get(name)?;
        if fits(flag, value) {
            return Ok(flag);
        }
        Err(InvalidOverride::Shape {
            flag: name.to_owned(),
            valid: flag.variants.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Whether a value is one of the flag's.
fn fits(flag: &Flag, value: &FlagValue) -> bool {
    match value {
        FlagValue::Switch(_) => flag.variants.is_empty(),
        FlagValue::Variant(variant) => flag.variants.contains(variant),
    }
}

#[cfg(test)]
mod tests;
