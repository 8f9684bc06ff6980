//! VERBS. One function makes one change within a transaction that it is given, and writes one
//! audit row; what it returns is the proof of that, and the only thing that can be committed.
//!
//! The HTTP API, the demo and the commands call these; the rules they sequence are in
//! [`crate::domain`].

mod activate;
mod billing;
mod boxes;
mod bundles;
mod change_license;
mod create_credential;
mod customer_tier;
mod decide_license;
mod deliver;
mod denials;
mod downloads;
mod effective;
mod entitlements;
mod evaluate;
mod evaluate_flags;
mod flags;
mod issue_license;
mod notes;
mod premium;
mod replace_database;
mod revoke_credential;
mod rotate_license_key;
mod served_with;
mod sign_request;
mod signing_keys;
mod snapshot;
mod usage;
mod webhooks;

use std::sync::Arc;

use ::entitlements::flags::Flags;
use ::entitlements::meter::Metrics;
use ::entitlements::{Catalog, Dangling};
use activation_token::clock::Clock;
use activation_token::credential::{CredentialKind, HashKey, SecretDigest};
use activation_token::{KeySet, SigningKey};
use jiff::{SignedDuration, Timestamp};
use manifest::{Tier, TierName, TierSets};
use registry_gate::reach::Reach;
use secrecy::SecretString;
use url::Url;

use crate::billing::Stripe;
use crate::domain::{License, LicenseId, Refusal};
use crate::entropy::{Entropy, EntropyError, random};
use crate::keyring::{Keyring, SigningError};
use crate::seal::SealError;
use crate::store::{Store, StoreError, Tx, licenses};

pub(crate) use self::entitlements::check_subject;
pub use self::entitlements::{Cleared, SwitchChange, SwitchStanding};
pub(crate) use activate::check_fingerprint;
pub use activate::{Activation, ActivationRequest, BoxRequest, Purpose};
pub use billing::{BILLING_EVENTS_KEPT, Taken};
pub use bundles::{BundleSource, SignedBundle};
pub use change_license::LicenseChange;
pub use create_credential::NewCredential;
pub(crate) use customer_tier::check_customer;
pub use customer_tier::{Assigned, CustomerStanding};
pub use deliver::{Done, Message};
pub use denials::Denials;
pub use effective::Effective;
pub use evaluate::Verdict;
pub use evaluate_flags::Evaluated;
pub(crate) use flags::check_scope;
pub use issue_license::{IMPORT_ROWS_MAX, Imported, Issued, NewLicense};
pub use notes::{ANSWERS_KEPT, LastUsed};
pub(crate) use premium::check_user;
pub use replace_database::note_replacement;
pub use sign_request::SignedFile;
pub use signing_keys::Standing;
pub use usage::{Check, Checked, Noted};
pub use webhooks::{NewWebhook, Replay, WebhookChange};

/// Everything a verb needs, handed in once.
pub struct Operations {
    /// The database.
    pub store: Store,
    /// The tiers in force.
    pub tiers: TierSets,
    /// Their features and limits.
    pub catalog: Catalog,
    /// What is counted.
    pub metrics: Metrics,
    /// The flags in force.
    pub flags: Flags,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What tokens are signed with.
    pub keyring: Arc<Keyring>,
    /// What snapshots, license files and bundles are signed with: lives longer than any signing
    /// key, so that gates can be told of the removal of one, and places without a network need
    /// know no other.
    pub root_key: SigningKey,
    /// What secrets are hashed with.
    pub hash_key: HashKey,
    /// Where refusals worth keeping go.
    pub denials: Denials,
    /// When credentials were used.
    pub last_used: LastUsed,
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
    /// How often signing keys are rotated, if by themselves.
    pub key_rotation: Option<SignedDuration>,
    /// What license keys begin with.
    pub license_key_prefix: String,
    /// Where operators and applications find the control plane.
    pub url: Url,
    /// Where boxes find the gate.
    pub registry_url: Url,
    /// How far webhooks may go.
    pub webhook_reach: Reach,
    /// What is set up for Stripe, if anything.
    pub stripe: Option<Stripe>,
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
    /// The seal of a secret.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No key to sign with.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The files of the signing keys.
    #[error("{0:#}")]
    KeyFiles(anyhow::Error),
    /// What is stored of a subject is no longer in the manifest. Checked at start-up.
    #[error(transparent)]
    Subject(#[from] Dangling),
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

/// An operation's error, for whoever starts the program or reads its log.
pub(crate) fn said(error: Error) -> anyhow::Error {
    match error {
        Error::Fault(fault) => fault.into(),
        Error::Refused(refusal) => anyhow::anyhow!("{refusal}"),
    }
}

impl Operations {
    /// The keys whose tokens count.
    pub fn key_set(&self) -> KeySet {
        self.keyring.published(self.clock.now())
    }

    /// What is stored of a credential's secret.
    pub fn credential_digest(&self, kind: CredentialKind, secret: &SecretString) -> SecretDigest {
        self.hash_key.derive(kind.as_str()).digest(secret)
    }

    /// What is stored of a license key.
    pub fn license_key_digest(&self, key: &SecretString) -> SecretDigest {
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

    /// The name that stands for a tier, where one is named.
    fn tier_name(&self, name: Option<&str>) -> Result<Option<TierName>, Refusal> {
        name.map(|name| self.find_tier(name).map(|tier| tier.name().clone()))
            .transpose()
    }
}

/// A license that is about to be changed.
async fn license(tx: &mut Tx, id: &LicenseId, now: Timestamp) -> Result<License, Error> {
    let license = licenses::get(tx.link(), id, now).await?;
    Ok(license.ok_or(Refusal::LicenseNotFound)?)
}
