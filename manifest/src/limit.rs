//! Limits: how much of something a tier grants.

use std::fmt;

use serde::{Serialize, Serializer};

/// How much is granted. Every count is below [`Limit::Unlimited`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// So many, and no more; 0 denies.
    Count(u64),
    /// No bound. Spelled `"unlimited"` in a manifest, never implied.
    Unlimited,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl Serialize for Limit {
    /// A number, or `null` for no bound.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_some(count),
            Self::Unlimited => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlimited_is_above_every_count() {
        assert!(Limit::Unlimited > Limit::Count(u64::MAX));
        assert!(Limit::Count(2) > Limit::Count(1));
    }
}
