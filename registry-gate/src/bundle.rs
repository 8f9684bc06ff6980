//! Bundles: all packages of a license in one file, for a gate that has no network.
//!
//! ```text
//! root-key.json    the public half of the root key, for who does not know it yet
//! bundle.jws       the head, signed with the root key: license, snapshot, hash of the next
//! contents.json    path, size and SHA-256 of every file of the store, sorted by path
//! files/{sha256}   those files, in that order: tarballs and releases
//! ```
//!
//! A bundle is a plain tar without links and long names. [`Layout`] makes one; [`open`] checks one
//! and lays it into a directory that a gate serves as its store.

mod layout;
mod unpack;

use std::io;

use activation_token::{KeyError, Untrusted};
use jiff::Timestamp;
use manifest::PackageName;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::follow::KeptError;
use crate::route::parse_version;

pub use layout::{Layout, Wanted};
pub use unpack::{Opened, Terms, open};

const ROOT_KEY: &str = "root-key.json";
const HEAD: &str = "bundle.jws";
const CONTENTS: &str = "contents.json";
/// The longest list of contents that is read, in bytes: about a million files.
const CONTENTS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is in a bundle behind its list of contents.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    files: Vec<File>,
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    /// Bytes.
    size: u64,
    /// Lower-case hex.
    sha256: String,
}

impl File {
    /// What it is called in the archive: short enough for every form of tar.
    fn entry_name(&self) -> String {
        format!("files/{}", self.sha256)
    }
}

/// Why there is no bundle, or none that can be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file system said no.
    #[error("cannot {doing} `{path}`")]
    File {
        /// What was to be done.
        doing: &'static str,
        /// To what.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No tar, or one that is cut off.
    #[error("the bundle cannot be read: it is no archive, or is cut off")]
    Archive(#[source] io::Error),
    /// The head is not what the trusted root key signed.
    #[error("the bundle cannot be trusted")]
    Untrusted(#[source] Untrusted),
    /// What is kept in the data directory cannot be used.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// Another gate serves a bundle from the same data directory.
    #[error("another gate holds `{0}`; give each gate a data directory of its own")]
    InUse(String),
    /// A newer bundle was served before.
    #[error(
        "the bundle was made at {created_at}, and one of {newest} was served before, which may know \
         of more that was taken back; `--allow-older-bundle` serves it all the same"
    )]
    Older {
        /// When this one was made.
        created_at: Timestamp,
        /// When the newest was made.
        newest: Timestamp,
    },
    /// The bundle tells a root key that is none.
    #[error("the root key in the bundle cannot be used")]
    RootKey(#[source] KeyError),
    /// Something else stands where this should.
    #[error("the bundle is damaged: {found} stands where `{expected}` should")]
    Unexpected {
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// The bytes are not those that were signed for.
    #[error("the bundle is damaged: `{0}` is not what its head says")]
    Altered(String),
    /// The list of contents is no such list, or names a file that no store has.
    #[error("the bundle's list of contents cannot be used: {0}")]
    Contents(String),
    /// A package document that is none.
    #[error("the registry's document of {name} cannot be used: {why}")]
    Document {
        /// The package.
        name: PackageName,
        /// What is wrong with it.
        why: String,
    },
    /// A tarball that is not the one that its release names.
    #[error("the tarball of {name} {version} is not the one that its release names")]
    Tarball {
        /// The package.
        name: PackageName,
        /// The version.
        version: Version,
    },
}

impl BundleError {
    fn file(doing: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        Self::File {
            doing,
            path,
            source,
        }
    }
}

/// Whether a store has files of this path: a tarball, or a release.
fn is_of_store(path: &str) -> bool {
    let hex = |text: &str, length| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if let Some(hash) = path.strip_prefix("blobs/sha512/") {
        return hex(hash, 128);
    }
    if let Some(hash) = path.strip_prefix("blobs/sha1/") {
        return hex(hash, 40);
    }
    let release = path
        .strip_prefix("packages/")
        .and_then(|rest| rest.strip_suffix(".json"))
        .and_then(|rest| rest.split_once("/versions/"));
    release.is_some_and(|(name, version)| {
        PackageName::parse(name).is_ok() && parse_version(version).is_some()
    })
}

#[cfg(test)]
mod tests;
