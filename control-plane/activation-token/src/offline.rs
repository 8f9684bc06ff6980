//! Where there is no network: the license file that a box activates from, and the head of a
//! bundle that a gate serves from. Both are under the **root key**, which does not rotate, so that
//! a box and a gate behind an air gap need to know one key alone.
//!
//! The token in a license file is an **offline token**: signed with the root key, good for months,
//! and of a type of its own. Only a gate that serves a bundle takes it ([`crate::Verifier::offline`]).

#[cfg(test)]
#[cfg(feature = "sign")]
mod tests;

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::Jwk;
use manifest::PackageName;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::claims::{OFFLINE_LIFE_SECONDS_MAX, is_id};
use crate::compact::{BUNDLE_HEAD, LICENSE_FILE, LICENSE_FILE_BYTES_MAX, object};
use crate::root_signed::{self, Untrusted};
use crate::snapshot::Snapshot;
use crate::{Key, KeyError};

/// The longest request that is looked at, in bytes.
pub const LICENSE_REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How far a clock may be behind what it should show at least before that is noticed. The clocks
/// of vendor and customer are not the same, and both are set right from time to time.
pub const CLOCK_LEEWAY: SignedDuration = SignedDuration::from_mins(5);
/// What the key and the names of the members may take beside a license file, in bytes.
const BESIDE_BYTES_MAX: usize = 1024;

/// What a box without a network asks its vendor to sign. It is JSON, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LicenseRequest {
    /// Made at random: the license file that answers it names it.
    pub request_id: String,
    /// The box's own time.
    pub requested_at: Timestamp,
    /// What the box is known by.
    pub fingerprint: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which license is meant, where the box was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_id: Option<String>,
}

/// A license for one box that can be verified without a network.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LicenseFile {
    /// The request that it answers.
    pub request_id: String,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// When it ends; so does its token.
    pub expires_at: Timestamp,
    /// The box that it is bound to.
    pub fingerprint: String,
    /// The license.
    pub license_id: String,
    /// Whose it is.
    pub customer_id: String,
    /// The tier.
    pub tier: String,
    /// When the license itself expires, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license_expires_at: Option<Timestamp>,
    /// The offline token, for a gate that serves a bundle.
    pub token: String,
    /// What may be installed, sorted.
    pub packages: Vec<PackageName>,
}

/// What a bundle is: who it is for, what its gate decides by, and what is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleHead {
    /// The license that it was made for.
    pub license_id: String,
    /// Whose license that is.
    pub customer_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What the gate decides by. Its only key is the root key's, and it has no publishers.
    pub snapshot: Snapshot,
    /// SHA-256 of the bundle's list of contents, in lower-case hex.
    pub contents_sha256: String,
}

/// The text is no request of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not what `box request` printed")]
pub struct NoRequest;

/// What a vendor hands over: the license file, and the root key's public half for boxes that do
/// not know it yet.
#[derive(Clone)]
pub struct HandedOver {
    /// The license file, unread: a compact JWS.
    pub license_file: String,
    /// The key that is said to have signed it. It counts only where no other is known.
    pub root_key: Option<Key>,
}

/// Why a text is not what a vendor hands over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHandedOver {
    /// Over the limit, or not JSON with these members.
    #[error("this is neither a license file nor what `tollgate license sign-request` wrote")]
    Form,
    /// Its key is no sound public key.
    #[error("the root key beside the license file cannot be used: {0}")]
    RootKey(#[from] KeyError),
}

/// Why a license file does not count on this box now, in the order in which it is checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Another box asked for it.
    #[error("this license file is for another box")]
    OtherBox,
    /// The clock shows an earlier time than it did.
    #[error("this machine's clock shows {now}, and has shown {seen_at} before")]
    ClockSetBack {
        /// What it shows.
        now: Timestamp,
        /// What it has shown.
        seen_at: Timestamp,
    },
    /// The clock shows a time before the file was signed.
    #[error("this machine's clock shows {now}, and the license file was signed at {issued_at}")]
    NotYet {
        /// What it shows.
        now: Timestamp,
        /// When the file was signed.
        issued_at: Timestamp,
    },
    /// The file has ended.
    #[error("the license file ended at {expires_at}")]
    Expired {
        /// When.
        expires_at: Timestamp,
    },
}

/// As it travels. The key is read by our own rules.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireHandedOver<K> {
    license_file: String,
    root_key: K,
}

impl LicenseRequest {
    /// Reads a request.
    pub fn from_json(text: &str) -> Result<Self, NoRequest> {
        let text = text.trim_ascii();
        if text.len() > LICENSE_REQUEST_BYTES_MAX {
            return Err(NoRequest);
        }
        object(text.as_bytes()).ok_or(NoRequest)
    }
}

impl HandedOver {
    /// Reads what was handed over, or a license file alone.
    pub fn parse(text: &str) -> Result<Self, NotHandedOver> {
        let text = text.trim_ascii();
        if text.len() > LICENSE_FILE_BYTES_MAX + BESIDE_BYTES_MAX {
            return Err(NotHandedOver::Form);
        }
        if !text.starts_with('{') {
            // Whether it is a good one is seen when it is opened.
            let parts = text.split('.').count();
            let is_compact = parts == 3 && text.bytes().all(|byte| byte.is_ascii_graphic());
            return is_compact
                .then(|| Self {
                    license_file: text.to_owned(),
                    root_key: None,
                })
                .ok_or(NotHandedOver::Form);
        }
        let wire: WireHandedOver<&RawValue> = object(text.as_bytes()).ok_or(NotHandedOver::Form)?;
        Ok(Self {
            license_file: wire.license_file,
            root_key: Some(Key::from_jwk(wire.root_key.get().as_bytes())?),
        })
    }

    /// The text that [`Self::parse`] reads: the file alone where there is no key.
    pub fn to_text(&self) -> String {
        let Some(root_key) = &self.root_key else {
            return format!("{}\n", self.license_file);
        };
        let wire = WireHandedOver::<&Jwk> {
            license_file: self.license_file.clone(),
            root_key: root_key.to_jwk(),
        };
        // Texts always have a JSON form.
        serde_json::to_string_pretty(&wire).unwrap_or_default() + "\n"
    }
}

impl LicenseFile {
    /// Reads a license file, if `root` signed it. Whether it counts here and now is told by
    /// [`Self::check`].
    pub fn from_signed(text: &str, root: &Key) -> Result<Self, Untrusted> {
        let file: Self = root_signed::open(text, &LICENSE_FILE, root)?;
        if file.is_sound() {
            Ok(file)
        } else {
            Err(Untrusted::Content)
        }
    }

    /// Whether it holds what can be said without a clock and a box.
    fn is_sound(&self) -> bool {
        let ids = [
            &self.request_id,
            &self.license_id,
            &self.customer_id,
            &self.tier,
        ];
        let life = self.expires_at.duration_since(self.issued_at);
        ids.into_iter().all(|id| is_id(id))
            && !self.fingerprint.is_empty()
            && life > SignedDuration::ZERO
            && life <= SignedDuration::from_secs(OFFLINE_LIFE_SECONDS_MAX)
            && self.packages.is_sorted_by(|one, next| one < next)
    }

    /// Whether it counts on the box with this fingerprint now. `seen_at` is the latest time that
    /// the box's clock has shown, if that is known: no file lasts longer by setting it back.
    pub fn check(
        &self,
        fingerprint: &str,
        now: Timestamp,
        seen_at: Option<Timestamp>,
    ) -> Result<(), Unfit> {
        if fingerprint != self.fingerprint {
            return Err(Unfit::OtherBox);
        }
        let latest = now.saturating_add(CLOCK_LEEWAY).unwrap_or(now);
        if let Some(seen_at) = seen_at.filter(|seen_at| *seen_at > latest) {
            return Err(Unfit::ClockSetBack { now, seen_at });
        }
        let issued_at = self.issued_at;
        if issued_at > latest {
            return Err(Unfit::NotYet { now, issued_at });
        }
        // What the clock has shown has been, though it shows a little less now.
        let reached = seen_at.map_or(now, |seen_at| seen_at.max(now));
        let expires_at = self.expires_at;
        if expires_at <= reached {
            return Err(Unfit::Expired { expires_at });
        }
        Ok(())
    }
}

// It holds a token that is good for months.
impl fmt::Debug for HandedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedOver")
            .field("root_key", &self.root_key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LicenseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LicenseFile")
            .field("request_id", &self.request_id)
            .field("license_id", &self.license_id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl BundleHead {
    /// Reads the head of a bundle, if `root` signed it.
    pub fn from_signed(text: &str, root: &Key) -> Result<Self, Untrusted> {
        root_signed::open(text, &BUNDLE_HEAD, root)
    }
}
