//! What a token says: a closed list of claims.

use jiff::Timestamp;
use manifest::{PackageName, PackageSet, SetDigest, TierName};
use serde::{Deserialize, Deserializer, Serialize};

use crate::compact::object;

/// The longest life a token may have, in seconds. A token that claims more is refused.
pub const LIFE_SECONDS_MAX: i64 = 24 * 60 * 60;
/// The longest life an offline token may have, in seconds: a year and the time to renew it.
pub const OFFLINE_LIFE_SECONDS_MAX: i64 = 400 * 24 * 60 * 60;
/// Bound on every identifier in a token, in bytes.
const ID_BYTES_MAX: usize = 200;

/// The content of an activation token (DESIGN section 5). Times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`: who signed.
    pub issuer: String,
    /// `aud`: whose gates may take it.
    pub audience: String,
    /// `sub`: the customer.
    pub customer_id: String,
    /// `jti`: this token.
    pub token_id: String,
    /// `iat`: when it was made.
    pub issued_at: Timestamp,
    /// `nbf`: good from here on.
    pub not_before: Timestamp,
    /// `exp`: no longer good from here on.
    pub expires_at: Timestamp,
    /// `tier`: the tier at the time of activation, to explain refusals by.
    pub tier: TierName,
    /// `lic`: the license.
    pub license_id: String,
    /// `box`: the box, when the activation bound one.
    pub box_id: Option<String>,
    /// `pkgs` or `pkgs_ref`.
    pub packages: Packages,
}

/// The packages of a token: spelled out, or named by the digest of their set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packages {
    /// `pkgs`: the names themselves.
    Listed(PackageSet),
    /// `pkgs_ref`: the digest; a gate finds the set in its snapshot.
    Reference(SetDigest),
}

/// The claims are not those of an activation token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claims are not those of an activation token")]
pub struct ClaimsError;

/// The claims as they travel. Unknown and repeated members are refused by serde.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    tier: TierName,
    lic: String,
    #[serde(
        rename = "box",
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    box_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pkgs: Option<Vec<PackageName>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pkgs_ref: Option<SetDigest>,
}

/// A member that may be missing but is not `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Claims {
    /// Reads claims from JSON and checks everything that can be said without clock and keys.
    pub(crate) fn from_json(json: &[u8], life_seconds_max: i64) -> Result<Self, ClaimsError> {
        let wire: Wire = object(json).ok_or(ClaimsError)?;
        let ids = [&wire.iss, &wire.aud, &wire.sub, &wire.jti, &wire.lic];
        if !ids.into_iter().chain(&wire.box_id).all(|id| is_id(id)) {
            return Err(ClaimsError);
        }
        let packages = match (wire.pkgs, wire.pkgs_ref) {
            (Some(names), None) => {
                Packages::Listed(PackageSet::from_sorted(names).map_err(|_| ClaimsError)?)
            }
            (None, Some(digest)) => Packages::Reference(digest),
            _ => return Err(ClaimsError),
        };
        let life = wire.exp.checked_sub(wire.iat).ok_or(ClaimsError)?;
        if wire.iat < 0 || wire.nbf < wire.iat || !(1..=life_seconds_max).contains(&life) {
            return Err(ClaimsError);
        }
        let time = |seconds| Timestamp::from_second(seconds).map_err(|_| ClaimsError);
        Ok(Self {
            issuer: wire.iss,
            audience: wire.aud,
            customer_id: wire.sub,
            token_id: wire.jti,
            issued_at: time(wire.iat)?,
            not_before: time(wire.nbf)?,
            expires_at: time(wire.exp)?,
            tier: wire.tier,
            license_id: wire.lic,
            box_id: wire.box_id,
            packages,
        })
    }

    /// The claims as they are signed.
    #[cfg(feature = "sign")]
    pub(crate) fn to_wire(&self) -> impl Serialize + use<> {
        let (pkgs, pkgs_ref) = match &self.packages {
            Packages::Listed(set) => (Some(set.iter().cloned().collect()), None),
            Packages::Reference(digest) => (None, Some(*digest)),
        };
        Wire {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: self.customer_id.clone(),
            jti: self.token_id.clone(),
            iat: self.issued_at.as_second(),
            nbf: self.not_before.as_second(),
            exp: self.expires_at.as_second(),
            tier: self.tier.clone(),
            lic: self.license_id.clone(),
            box_id: self.box_id.clone(),
            pkgs,
            pkgs_ref,
        }
    }
}

/// Whether a text can be an identifier.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}
