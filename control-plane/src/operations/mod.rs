//! VERBS. One function is one write transaction and one audit row, then the announcement.
//!
//! The HTTP API, the demo and everything that is still to come call these; the rules they
//! sequence are in [`crate::domain`].

mod activate;
mod create_credential;
mod issue_license;
mod snapshot;

use std::sync::Arc;

use activation_token::clock::Clock;
use activation_token::credential::{CredentialKind, HashKey, SecretDigest};
use activation_token::{KeySet, SigningKey};
use entitlements::Catalog;
use jiff::{SignedDuration, Timestamp};
use manifest::{Tier, TierSets};
use secrecy::SecretString;
use url::Url;

use crate::domain::Refusal;
use crate::entropy::{Entropy, EntropyError, random};
use crate::store::{Store, StoreError};

pub use activate::{Activation, ActivationRequest, BoxRequest};
pub use create_credential::NewCredential;
pub use issue_license::NewLicense;

/// Everything a verb needs, handed in once.
pub struct Operations {
    /// The database.
    pub store: Store,
    /// The tiers in force.
    pub tiers: TierSets,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What tokens are signed with.
    pub signing_key: SigningKey,
    /// What snapshots are signed with: lives longer than any signing key, so that gates can be
    /// told of the removal of one.
    pub root_key: SigningKey,
    /// What secrets are hashed with.
    pub hash_key: HashKey,
    /// The rest.
    pub policy: Policy,
}

/// The vendor's choices.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `iss` of every token.
    pub issuer: String,
    /// `aud` of every token.
    pub audience: String,
    /// How long a token is good.
    pub token_life: SignedDuration,
    /// For how long a gate may decide by one snapshot, in seconds.
    pub max_stale_seconds: u32,
    /// What license keys begin with.
    pub license_key_prefix: String,
    /// Where boxes find the gate.
    pub registry_url: Url,
}

/// Why a verb did not do its work.
#[derive(Debug)]
pub enum Error {
    /// A rule said no.
    Refused(Refusal),
    /// Something broke.
    Fault(Fault),
}

/// Something broke. Logged once, at the edge; its text is not shown.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The random generator.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The signer.
    #[error(transparent)]
    Sign(#[from] activation_token::SignError),
    /// A stored tier or package is no longer in the manifest. Checked at start-up.
    #[error("license `{0}` names a tier or package that the manifest no longer has")]
    Dangling(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<F: Into<Fault>> From<F> for Error {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl Operations {
    /// The keys whose tokens count.
    pub fn key_set(&self) -> KeySet {
        KeySet::new(vec![self.signing_key.public().clone()])
    }

    /// Features and limits.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.tiers.clone())
    }

    /// What is stored of a credential's secret.
    pub fn credential_digest(&self, kind: CredentialKind, secret: &SecretString) -> SecretDigest {
        self.hash_key.derive(kind.as_str()).digest(secret)
    }

    fn license_key_digest(&self, key: &SecretString) -> SecretDigest {
        self.hash_key.derive("license").digest(key)
    }

    /// Makes an identifier out of the time and fresh randomness.
    fn fresh<I>(&self, make: fn(Timestamp, &[u8; 10]) -> I) -> Result<I, Error> {
        Ok(make(self.clock.now(), &random(&*self.entropy)?))
    }

    /// A tier by its name, or the refusal that lists the tiers.
    pub fn find_tier(&self, name: &str) -> Result<&Tier, Refusal> {
        self.tiers.tier(name).ok_or_else(|| Refusal::UnknownTier {
            tier: name.to_owned(),
            valid: self
                .tiers
                .tiers()
                .map(|tier| tier.name().to_string())
                .collect(),
        })
    }
}
