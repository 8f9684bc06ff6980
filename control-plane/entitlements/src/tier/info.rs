//! What holds for the owner of one request: the tier's name, and each feature and limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use manifest::Limit;
use serde::{Deserialize, Serialize};

use super::TierError;
use crate::{Catalog, Dangling, Effective, Kind, Stored, Switches, resolve};

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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct TierInfo {
    name: Arc<str>,
    features: Features,
}

#[derive(Debug, Clone)]
enum Features {
    /// As they were given.
    Given(Arc<BTreeMap<Arc<str>, FeatureAccess>>),
    /// As they are for a user who is premium or not, at a time. Nothing is copied for a request.
    Settled {
        effective: Arc<Effective>,
        premium: bool,
        at: Timestamp,
    },
}

/// The serialized form (MODO-2).
#[derive(Serialize, Deserialize)]
struct Written {
    name: Arc<str>,
    features: BTreeMap<Arc<str>, FeatureAccess>,
}

impl From<Written> for TierInfo {
    fn from(Written { name, features }: Written) -> Self {
        let features = Features::Given(Arc::new(features));
        Self { name, features }
    }
}

impl From<TierInfo> for Written {
    fn from(info: TierInfo) -> Self {
        let features = info.features().map(|(key, access)| (key.into(), access));
        let features = features.collect();
        Self {
            features,
            name: info.name,
        }
    }
}

impl PartialEq for TierInfo {
    /// They say the same, wherever they have it from.
    fn eq(&self, other: &Self) -> bool {
        let features = |info: &Self| {
            info.features()
                .map(|(key, a)| (key.to_owned(), a))
                .collect()
        };
        let (ours, theirs): (BTreeMap<_, _>, BTreeMap<_, _>) = (features(self), features(other));
        self.name == other.name && ours == theirs
    }
}

impl Eq for TierInfo {}

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
        let features = features.map(|(key, access)| (key.into(), access));
        Self {
            name: name.into(),
            features: Features::Given(Arc::new(features.collect())),
        }
    }

    /// What was settled for a subject, for a user who is premium or not, at a time: every feature
    /// and limit of the catalog, off and 0 where nobody grants them.
    pub fn settled(effective: Arc<Effective>, premium: bool, at: Timestamp) -> Self {
        Self {
            name: Arc::clone(effective.tier()),
            features: Features::Settled {
                effective,
                premium,
                at,
            },
        }
    }

    /// What a subject gets to whom nothing was given and who is not premium: for callers without
    /// an owner. Switches do not reach it.
    pub fn of_default_tier(catalog: &Catalog) -> Result<Self, Dangling> {
        let nobody = Stored::nothing_of("nobody");
        let effective = resolve(catalog, &nobody, &Switches::default())?;
        // Nobody never came to be, so no trial runs at any time.
        Ok(Self::settled(
            Arc::new(effective),
            false,
            Timestamp::UNIX_EPOCH,
        ))
    }

    /// The tier's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Each key with what the tier says about it.
    pub fn features(&self) -> impl Iterator<Item = (&str, FeatureAccess)> {
        let (given, catalog) = match &self.features {
            Features::Given(features) => (Some(features), None),
            Features::Settled { effective, .. } => (None, Some(effective.catalog())),
        };
        let given = given.into_iter().flat_map(|features| features.keys());
        let settled = catalog
            .into_iter()
            .flat_map(|catalog| catalog.features().chain(catalog.limits()));
        let keys = given.chain(settled).map(AsRef::as_ref);
        keys.filter_map(|key| Some((key, self.get(key)?)))
    }

    /// What the tier says about `key`, if anything. Names are compared exactly (MODO-28).
    pub fn get(&self, key: &str) -> Option<FeatureAccess> {
        match &self.features {
            Features::Given(features) => features.get(key).copied(),
            Features::Settled {
                effective,
                premium,
                at,
            } => match effective.catalog().kind(key)? {
                Kind::Feature => {
                    let on = effective.can(key, *premium, *at).ok()?;
                    Some(FeatureAccess::Toggle(on))
                }
                _ => Some(effective.limit(key).ok()?.into()),
            },
        }
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
