//! What holds for the owner of one request: the tier's name, and each feature and limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use manifest::Limit;
use serde::{Deserialize, Serialize};

use super::TierError;

/// What a tier says about one key.
///
/// Serialized externally tagged: `{"toggle": true}`, `{"limit": 5}` or `"unlimited"` (MODO-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureAccess {
    /// A feature, on or off.
    Toggle(bool),
    /// A limit of so many; 0 denies.
    Limit(u64),
    /// A limit without a bound.
    Unlimited,
}

/// The tier that holds for a request. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierInfo {
    name: Arc<str>,
    features: Arc<BTreeMap<Arc<str>, FeatureAccess>>,
}

impl From<Limit> for FeatureAccess {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Count(count) => Self::Limit(count),
            Limit::Unlimited => Self::Unlimited,
        }
    }
}

impl FeatureAccess {
    /// The limit, where this is one.
    pub fn as_limit(self) -> Option<Limit> {
        match self {
            Self::Toggle(_) => None,
            Self::Limit(count) => Some(Limit::Count(count)),
            Self::Unlimited => Some(Limit::Unlimited),
        }
    }

    /// Whether anything is granted: on, or a limit above 0.
    fn grants(self) -> bool {
        match self {
            Self::Toggle(on) => on,
            Self::Limit(count) => count > 0,
            Self::Unlimited => true,
        }
    }
}

impl TierInfo {
    /// A tier of this name with these features and limits.
    pub fn new<N: Into<Arc<str>>>(
        name: impl Into<Arc<str>>,
        features: impl IntoIterator<Item = (N, FeatureAccess)>,
    ) -> Self {
        let features = features.into_iter();
        Self {
            name: name.into(),
            features: Arc::new(features.map(|(key, access)| (key.into(), access)).collect()),
        }
    }

    /// The tier's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Each key with what the tier says about it, by name.
    pub fn features(&self) -> impl Iterator<Item = (&str, FeatureAccess)> {
        let features = self.features.iter();
        features.map(|(key, access)| (&**key, *access))
    }

    /// What the tier says about `key`, if anything. Names are compared exactly (MODO-28).
    pub fn get(&self, key: &str) -> Option<FeatureAccess> {
        self.features.get(key).copied()
    }

    /// Whether the feature is on, or the limit is above 0 (MODO-3).
    pub fn has_feature(&self, key: &str) -> bool {
        self.get(key).is_some_and(FeatureAccess::grants)
    }

    /// Whether the feature is on; no for every limit (MODO-4).
    pub fn is_enabled(&self, key: &str) -> bool {
        self.get(key) == Some(FeatureAccess::Toggle(true))
    }

    /// The limit, if the tier has one of this name (MODO-5).
    pub fn limit(&self, key: &str) -> Option<Limit> {
        self.get(key)?.as_limit()
    }

    /// The limit, or why there is none (MODO-6): 403 where the tier says nothing about it, 500
    /// where it is a feature.
    pub fn limit_ceiling(&self, key: &str) -> Result<Limit, TierError> {
        let Some(access) = self.get(key) else {
            return Err(self.lacks(key));
        };
        access
            .as_limit()
            .ok_or_else(|| TierError::NotALimit { key: key.into() })
    }

    /// Whether one more fits where `current` are used (MODO-7, MODO-8). At the limit none does.
    pub fn check_limit(&self, key: &str, current: u64) -> Result<(), TierError> {
        match self.limit_granted(key)? {
            Limit::Count(ceiling) if current >= ceiling => Err(TierError::LimitExceeded {
                limit: key.into(),
                current,
                ceiling,
            }),
            Limit::Count(_) | Limit::Unlimited => Ok(()),
        }
    }

    /// The limit, where it grants anything at all: what can be said before the usage is known.
    pub(super) fn limit_granted(&self, key: &str) -> Result<Limit, TierError> {
        match self.limit_ceiling(key)? {
            Limit::Count(0) => Err(self.lacks(key)),
            granted => Ok(granted),
        }
    }

    /// The feature, or nothing of the limit, is in this tier.
    pub(super) fn lacks(&self, key: &str) -> TierError {
        TierError::NotEntitled {
            feature: key.into(),
            tier: self.name.clone(),
        }
    }
}
