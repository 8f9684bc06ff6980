//! What a gate is told: everything it decides by, numbered and dated.

use jiff::Timestamp;
use manifest::{PackageName, SetDigest, TierName};
use serde::{Deserialize, Serialize};

use crate::credential::SecretDigest;

/// The state of the control plane as far as a gate needs it, replaced whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// Grows with every change; a gate never goes back to a lower one.
    pub sequence: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// For how many seconds after `issued_at` a gate may decide by it.
    pub max_stale_seconds: u32,
    /// The issuer whose tokens count.
    pub issuer: String,
    /// The audience that tokens must name.
    pub audience: String,
    /// The npm scope that is gated, with its `@`.
    pub scope: String,
    /// The verification keys, as JWKS.
    pub keys: jsonwebtoken::jwk::JwkSet,
    /// The tiers, ascending.
    pub tiers: Vec<SnapshotTier>,
    /// Every package set that a token may name by digest, as sorted names.
    pub sets: Vec<Vec<PackageName>>,
    /// Who may publish.
    pub publishers: Publishers,
}

/// A tier and the digest of its set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotTier {
    /// The tier's name.
    pub name: TierName,
    /// The digest of its package set, which stands among [`Snapshot::sets`].
    pub set: SetDigest,
}

/// The publisher credentials in force, as digests under a key made for gates alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publishers {
    /// The hash key, base64url.
    pub hash_key: String,
    /// The credentials.
    pub credentials: Vec<Publisher>,
}

/// A publisher's credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publisher {
    /// The credential's id.
    pub id: String,
    /// The keyed hash of its secret.
    pub digest: SecretDigest,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}
