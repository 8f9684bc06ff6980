//! STRIPE. What it sends, who vouches for it, and what the vendor has set up for it. What follows
//! from it is decided by [`crate::domain::billing`].

pub mod event;
pub mod signature;

use std::collections::BTreeMap;
use std::fmt;

use manifest::{TierName, TierSets};
use secrecy::SecretString;

/// What the vendor has set up for Stripe.
#[derive(Debug, Clone)]
pub struct Stripe {
    secrets: Vec<SecretString>,
    prices: BTreeMap<String, TierName>,
}

/// Prices that stand for tiers which there are not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the price `{price}` stands for the tier `{tier}`, which the manifest does not have")]
pub struct UnknownTier {
    price: String,
    tier: String,
}

impl Stripe {
    /// Events are good when one of the secrets signs them; each price stands for a tier.
    pub fn new(
        secrets: Vec<SecretString>,
        prices: &BTreeMap<String, String>,
        tiers: &TierSets,
    ) -> Result<Self, UnknownTier> {
        let known = |(price, tier): (&String, &String)| match tiers.tier(tier) {
            Some(tier) => Ok((price.clone(), tier.name().clone())),
            None => Err(UnknownTier {
                price: price.clone(),
                tier: tier.clone(),
            }),
        };
        Ok(Self {
            secrets,
            prices: prices.iter().map(known).collect::<Result<_, _>>()?,
        })
    }

    /// What events are signed with: more than one while one replaces another.
    pub fn secrets(&self) -> &[SecretString] {
        &self.secrets
    }

    /// The tier that a price stands for.
    pub fn tier(&self, price: &str) -> Option<&TierName> {
        self.prices.get(price)
    }

    /// Which price stands for which tier, as text that is the same as long as they do.
    pub fn prices(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            self.prices
                .iter()
                .try_for_each(|(price, tier)| writeln!(f, "{price}={tier}"))
        })
    }
}
