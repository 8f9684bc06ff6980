//! The outer form of everything that is signed: three canonical base64url parts and a closed
//! header (RFC 7515). The `typ` header keeps the kinds apart (RFC 8725 section 3.11).

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

/// The longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The `typ` header of an activation token.
pub const TOKEN_TYPE: &str = "activation+jwt";
/// The longest signed snapshot that is looked at, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The `typ` header of a signed snapshot.
pub const SNAPSHOT_TYPE: &str = "snapshot+jwt";
/// The `typ` header of an offline token.
pub const OFFLINE_TOKEN_TYPE: &str = "offline-activation+jwt";
/// The longest license file that is looked at, in bytes.
pub const LICENSE_FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The `typ` header of a license file.
pub const LICENSE_FILE_TYPE: &str = "license+jwt";
/// The longest head of a bundle that is looked at, in bytes.
pub const BUNDLE_HEAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The `typ` header of a bundle's head.
pub const BUNDLE_HEAD_TYPE: &str = "bundle+jwt";

/// A kind of signed text. One never passes as another.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its `typ` header.
    pub(crate) typ: &'static str,
    /// The longest text of it, in bytes.
    pub(crate) bytes_max: usize,
}

/// Activation tokens.
pub(crate) const TOKEN: Kind = Kind {
    typ: TOKEN_TYPE,
    bytes_max: TOKEN_BYTES_MAX,
};
/// Snapshots.
pub(crate) const SNAPSHOT: Kind = Kind {
    typ: SNAPSHOT_TYPE,
    bytes_max: SNAPSHOT_BYTES_MAX,
};

/// Offline tokens.
pub(crate) const OFFLINE_TOKEN: Kind = Kind {
    typ: OFFLINE_TOKEN_TYPE,
    bytes_max: TOKEN_BYTES_MAX,
};
/// License files.
pub(crate) const LICENSE_FILE: Kind = Kind {
    typ: LICENSE_FILE_TYPE,
    bytes_max: LICENSE_FILE_BYTES_MAX,
};
/// Heads of bundles.
pub(crate) const BUNDLE_HEAD: Kind = Kind {
    typ: BUNDLE_HEAD_TYPE,
    bytes_max: BUNDLE_HEAD_BYTES_MAX,
};

/// A text whose form is good and whose content is not trusted yet.
pub(crate) struct Compact<'t> {
    /// The thumbprint of the key that is said to have signed it.
    pub(crate) key_id: String,
    /// What the signature is over: header, full stop, payload, as they came.
    pub(crate) signed: &'t str,
    /// The signature, still in base64url.
    pub(crate) signature: &'t str,
    /// The content, decoded and unread.
    pub(crate) payload: Vec<u8>,
}

/// Why a text has not the form.
pub(crate) enum CompactError {
    /// Over the kind's limit.
    TooLong,
    /// Not three parts of canonical base64url.
    Form,
    /// Another algorithm or type, or a header member that does not belong there.
    Header,
}

/// The header, closed: any other member, `crit`, `jku` and `jwk` among them, is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

impl<'t> Compact<'t> {
    pub(crate) fn parse(text: &'t str, kind: &Kind) -> Result<Self, CompactError> {
        if text.len() > kind.bytes_max {
            return Err(CompactError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(CompactError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(CompactError::Form)?;
        // Only one spelling may pass. A further full stop fails here too.
        decode(signature)?;
        let payload = decode(payload)?;
        let header: Header = object(&decode(header)?).ok_or(CompactError::Header)?;
        if header.alg != "EdDSA" || header.typ != kind.typ {
            return Err(CompactError::Header);
        }
        Ok(Self {
            key_id: header.kid,
            signed,
            signature,
            payload,
        })
    }
}

/// base64url without padding, canonical: unused bits must be zero.
fn decode(part: &str) -> Result<Vec<u8>, CompactError> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| CompactError::Form)
}

/// Reads a JSON object. serde would take an array for a struct as well.
pub(crate) fn object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Option<T> {
    if json.first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(json).ok()
}
