//! The names that guards may go by. A guard cannot be made without them.

use std::sync::Arc;

use indexmap::IndexSet;

use super::TierInfo;
use crate::Catalog;

/// All features and limits that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    features: IndexSet<Arc<str>>,
    limits: IndexSet<Arc<str>>,
}

/// A name that a guard or a default tier cannot go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Nobody declared it.
    #[error(
        "unknown feature or limit {}; the features are {features}, the limits are {limits}{}",
        shown(.key),
        meant(.nearest.as_deref())
    )]
    Unknown {
        /// The name.
        key: String,
        /// The features there are.
        features: String,
        /// The limits there are.
        limits: String,
        /// The name that was probably meant.
        nearest: Option<String>,
    },
    /// A limit was to be named.
    #[error("`{key}` is a feature, and a limit is needed; the limits are {limits}")]
    NotALimit {
        /// The name.
        key: String,
        /// The limits there are.
        limits: String,
    },
    /// A limit is given as on or off.
    #[error("the tier `{tier}` switches the limit `{key}` on or off; give it a number")]
    LimitSwitched {
        /// The tier.
        tier: String,
        /// The name.
        key: String,
    },
    /// A feature is given as a number.
    #[error("the tier `{tier}` gives the feature `{key}` a number; switch it on or off")]
    FeatureCounted {
        /// The tier.
        tier: String,
        /// The name.
        key: String,
    },
}

/// The name in backticks; letters that only look like those of another one are spelled out.
fn shown(key: &str) -> String {
    if key.is_ascii() {
        format!("`{key}`")
    } else {
        format!("`{key}` (not plain ASCII: `{}`)", key.escape_default())
    }
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!("; did you mean `{nearest}`?")
    })
}

impl Keys {
    /// These features and these limits, for those who have no [`Catalog`].
    pub fn new<'a>(
        features: impl IntoIterator<Item = &'a str>,
        limits: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            features: features.into_iter().map(Into::into).collect(),
            limits: limits.into_iter().map(Into::into).collect(),
        }
    }

    /// A name to take for a feature: a feature, or a limit, which counts as one while it is above
    /// 0 (MODO-17).
    pub(super) fn feature(&self, key: &str) -> Result<Arc<str>, KeyError> {
        let known = self.features.get(key).or_else(|| self.limits.get(key));
        known.cloned().ok_or_else(|| self.unknown(key))
    }

    /// A name to take for a limit.
    pub(super) fn limit(&self, key: &str) -> Result<Arc<str>, KeyError> {
        match self.limits.get(key) {
            Some(limit) => Ok(limit.clone()),
            None if self.features.contains(key) => Err(KeyError::NotALimit {
                key: key.to_owned(),
                limits: listed(&self.limits),
            }),
            None => Err(self.unknown(key)),
        }
    }

    /// Whether a tier uses the names as what they are.
    pub(super) fn check(&self, info: &TierInfo) -> Result<(), KeyError> {
        for (key, access) in info.features() {
            let counted = access.as_limit().is_some();
            let (tier, key) = (info.name().to_owned(), self.feature(key)?.to_string());
            if self.limits.contains(&*key) && !counted {
                return Err(KeyError::LimitSwitched { tier, key });
            }
            if self.features.contains(&*key) && counted {
                return Err(KeyError::FeatureCounted { tier, key });
            }
        }
        Ok(())
    }

    fn unknown(&self, key: &str) -> KeyError {
        let known = self.features.iter().chain(&self.limits);
        let nearest = manifest::nearest(key, known.map(AsRef::as_ref));
        KeyError::Unknown {
            nearest: nearest.map(str::to_owned),
            key: key.to_owned(),
            features: listed(&self.features),
            limits: listed(&self.limits),
        }
    }
}

fn listed(names: &IndexSet<Arc<str>>) -> String {
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

impl From<&Catalog> for Keys {
    fn from(catalog: &Catalog) -> Self {
        Self {
            features: catalog.features().cloned().collect(),
            limits: catalog.limits().cloned().collect(),
        }
    }
}
