//! What a subject may do: features (on or off) and limits (a number, or unlimited), by tier.
//!
//! A key is known when the manifest declares it. A typing error is therefore an error and never
//! a silent "no" (ENT-28, ENT-30); a known limit that no tier grants is 0, which denies (ENT-29).

pub mod flags;
pub mod premium;
#[cfg(feature = "sql")]
pub mod sql;
#[cfg(feature = "tower")]
pub mod tier;

pub use manifest::Limit;
use manifest::{Tier, TierSets};

/// The tiers' features and limits, ready to be asked.
#[derive(Debug, Clone)]
pub struct Catalog {
    tiers: TierSets,
}

/// The question names something that the manifest does not declare. Each case lists what it does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownKey {
    /// No such tier.
    #[error("unknown tier `{0}`; the tiers are {1}")]
    Tier(String, String),
    /// No such feature.
    #[error("unknown feature `{0}`; the features are {1}")]
    Feature(String, String),
    /// No such limit.
    #[error("unknown limit `{0}`; the limits are {1}")]
    Limit(String, String),
}

impl Catalog {
    /// Answers from these tiers.
    pub fn new(tiers: TierSets) -> Self {
        Self { tiers }
    }

    /// Whether `tier` grants `feature` (ENT-27).
    pub fn can(&self, tier: &str, feature: &str) -> Result<bool, UnknownKey> {
        let tier = self.tier(tier)?;
        if !self.tiers.features().any(|known| known == feature) {
            return Err(UnknownKey::Feature(
                feature.to_owned(),
                listed(self.tiers.features()),
            ));
        }
        Ok(tier.features().any(|granted| granted == feature))
    }

    /// How much of `limit` the tier grants (ENT-29).
    pub fn limit(&self, tier: &str, limit: &str) -> Result<Limit, UnknownKey> {
        let tier = self.tier(tier)?;
        if !self.tiers.limits().any(|known| known == limit) {
            return Err(UnknownKey::Limit(
                limit.to_owned(),
                listed(self.tiers.limits()),
            ));
        }
        Ok(tier.limit(limit).unwrap_or(Limit::Count(0)))
    }

    fn tier(&self, name: &str) -> Result<&Tier, UnknownKey> {
        self.tiers.tier(name).ok_or_else(|| {
            let names = self.tiers.tiers().map(|tier| tier.name().as_str());
            UnknownKey::Tier(name.to_owned(), listed(names))
        })
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        [manifest]
        scope = "@acme"
        default-tier = "basic"
        tiers = ["basic", "growth"]
        features = ["sso", "export_csv"]
        limits = ["boxes", "seats", "api_calls"]

        [foundation]
        leaves = ["@acme/box-core"]

        [tier.basic]
        leaves = []
        features = { export_csv = true }
        limits = { boxes = 1 }

        [tier.growth]
        leaves = []
        features = { export_csv = true, sso = true }
        limits = { boxes = 5, seats = "unlimited" }

        [package."@acme/box-core"]
    "#;

    fn catalog() -> Catalog {
        let loaded = manifest::Manifest::load(MANIFEST, "tiers.toml").unwrap();
        Catalog::new(loaded.tiers)
    }

    #[test]
    fn ent_27_28_a_feature_is_granted_denied_or_unknown() {
        let catalog = catalog();
        assert_eq!(catalog.can("growth", "sso"), Ok(true));
        assert_eq!(catalog.can("basic", "sso"), Ok(false));
        let error = catalog.can("basic", "ssо").unwrap_err().to_string();
        assert!(
            error.starts_with("unknown feature") && error.contains("export_csv"),
            "{error}"
        );
    }

    #[test]
    fn ent_29_30_a_limit_is_a_number_unlimited_zero_or_unknown() {
        let catalog = catalog();
        assert_eq!(catalog.limit("growth", "boxes"), Ok(Limit::Count(5)));
        assert_eq!(catalog.limit("growth", "seats"), Ok(Limit::Unlimited));
        assert_eq!(catalog.limit("growth", "api_calls"), Ok(Limit::Count(0)));
        assert!(matches!(
            catalog.limit("growth", "boxen"),
            Err(UnknownKey::Limit(..))
        ));
        assert!(matches!(
            catalog.limit("gold", "boxes"),
            Err(UnknownKey::Tier(..))
        ));
    }
}
