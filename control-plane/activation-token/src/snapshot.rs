//! What a gate is told: everything it decides by, numbered, dated and signed.
//!
//! A snapshot travels and is kept as a compact JWS under the **root key**: a long-lived Ed25519
//! key that outlives all others. A gate pins its public half. Token keys come and go inside of
//! snapshots, so taking one out by force never keeps a gate from hearing of it.

use jiff::Timestamp;
use manifest::{PackageName, SetDigest, TierName};
use serde::{Deserialize, Serialize};

use crate::compact::SNAPSHOT;
use crate::credential::SecretDigest;
use crate::root_signed::{self, Untrusted};
use crate::{Key, LEEWAY_SECONDS_MAX, LIFE_SECONDS_MAX};

#[cfg(test)]
#[cfg(feature = "sign")]
mod tests;

/// For how many seconds after its `issued_until` a revocation must stand in snapshots. No older
/// token can be alive after that: none lives longer than [`LIFE_SECONDS_MAX`], a gate forgives
/// [`LEEWAY_SECONDS_MAX`] at its end, and the gate's clock may be as much behind.
pub const REVOCATION_SECONDS: i64 = LIFE_SECONDS_MAX + 2 * LEEWAY_SECONDS_MAX as i64;

/// The most licenses that a snapshot warns of. Where more expire, the soonest are told.
pub const EXPIRING_MAX: usize = 10_000;

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
    /// The tokens that no longer count, though their signature is good and their time not over.
    pub revocations: Revocations,
    /// Who may publish.
    pub publishers: Publishers,
    /// Licenses whose boxes are warned: soonest first, at most [`EXPIRING_MAX`]. Left out when
    /// there are none, as control planes that know of no warnings do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expiring: Vec<ExpiringLicense>,
}

/// A license that expires soon, or that has and is in its grace. It decides nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpiringLicense {
    /// The license (`lic` of its tokens).
    pub id: String,
    /// When it expires, or did.
    pub expires_at: Timestamp,
    /// When its grace ends, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<Timestamp>,
}

/// Whose tokens no longer count. An entry is needed only while a token from before it can still
/// be alive: [`REVOCATION_SECONDS`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revocations {
    /// By license. A license that stands twice is refused by whichever entry refuses more.
    pub licenses: Vec<LicenseRevocation>,
    /// By box, of licenses that go on.
    pub boxes: Vec<BoxRevocation>,
}

/// The tokens of a license up to an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LicenseRevocation {
    /// The license (`lic` of its tokens).
    pub id: String,
    /// A whole second: tokens whose `iat` is at or before it are refused. A token that replaces
    /// them within that same second must therefore be dated one later.
    pub issued_until: Timestamp,
    /// Why, which decides what the box is told.
    pub why: RevokedBecause,
}

/// Why a license's tokens no longer count, the graver last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevokedBecause {
    /// It grants something else now; activating again brings a token that counts.
    Changed,
    /// It is suspended; only a reinstatement helps.
    Suspended,
    /// It is revoked for good.
    Revoked,
}

/// The tokens of a box up to an instant: it was released from its license.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BoxRevocation {
    /// The box (`box` of its tokens).
    pub id: String,
    /// As [`LicenseRevocation::issued_until`].
    pub issued_until: Timestamp,
}

impl Snapshot {
    /// Reads a signed snapshot, if `root` signed it.
    pub fn from_signed(text: &str, root: &Key) -> Result<Self, Untrusted> {
        root_signed::open(text, &SNAPSHOT, root)
    }
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
