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

impl Limit {
    /// The number; none where there is no bound.
    pub const fn count(self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(count),
            Self::Unlimited => None,
        }
    }

    /// What is left where so much is used, never less than 0; none where there is no bound
    /// (ENT-34).
    pub const fn remaining(self, used: u64) -> Option<u64> {
        match self {
            Self::Count(count) => Some(count.saturating_sub(used)),
            Self::Unlimited => None,
        }
    }
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
        self.count().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_less_than_nothing_is_left() {
        assert_eq!(Limit::Count(5).remaining(3), Some(2));
        assert_eq!(Limit::Count(5).remaining(7), Some(0));
        assert_eq!(Limit::Unlimited.remaining(7), None);
    }

    #[test]
    fn unlimited_is_above_every_count() {
        assert!(Limit::Unlimited > Limit::Count(u64::MAX));
        assert!(Limit::Count(2) > Limit::Count(1));
    }
}
