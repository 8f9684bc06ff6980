//! Where there is no network: the license file that a box activates from, and the head of a
//! bundle that a gate serves from. Both are under the **root key**, which does not rotate, so that
//! a box and a gate behind an air gap need to know one key alone.
//!
//! The token in a license file is an **offline token**: signed with the root key, good for months,
//! and of a type of its own. Only a gate that serves a bundle takes it ([`crate::Verifier::offline`]).

use jiff::Timestamp;
use manifest::PackageName;
use serde::{Deserialize, Serialize};

use crate::Key;
use crate::compact::{BUNDLE_HEAD, LICENSE_FILE};
use crate::root_signed::{self, Untrusted};
use crate::snapshot::Snapshot;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl LicenseFile {
    /// Reads a license file, if `root` signed it. Time and box are for the caller to check.
    pub fn from_signed(text: &str, root: &Key) -> Result<Self, Untrusted> {
        root_signed::open(text, &LICENSE_FILE, root)
    }
}

impl BundleHead {
    /// Reads the head of a bundle, if `root` signed it.
    pub fn from_signed(text: &str, root: &Key) -> Result<Self, Untrusted> {
        root_signed::open(text, &BUNDLE_HEAD, root)
    }
}
