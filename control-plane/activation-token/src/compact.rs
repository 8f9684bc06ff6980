//! The outer form of a token: three canonical base64url parts and a closed header (RFC 7515).

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use crate::TokenError;

/// The longest text that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The `typ` header of an activation token (RFC 8725 section 3.11).
pub const TOKEN_TYPE: &str = "activation+jwt";

/// A token whose form is good and whose content is not trusted yet.
pub(crate) struct Compact<'t> {
    /// The thumbprint of the key that is said to have signed it.
    pub(crate) key_id: String,
    /// What the signature is over: header, full stop, payload, as they came.
    pub(crate) signed: &'t str,
    /// The signature, still in base64url.
    pub(crate) signature: &'t str,
    /// The claims, decoded and unread.
    pub(crate) payload: Vec<u8>,
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
    pub(crate) fn parse(token: &'t str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Form)?;
        // Only one spelling of a token may pass. A further full stop fails here too.
        decode(signature)?;
        let payload = decode(payload)?;
        let header: Header = object(&decode(header)?).ok_or(TokenError::Header)?;
        if header.alg != "EdDSA" || header.typ != TOKEN_TYPE {
            return Err(TokenError::Header);
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
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| TokenError::Form)
}

/// Reads a JSON object. serde would take an array for a struct as well.
pub(crate) fn object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Option<T> {
    if json.first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(json).ok()
}
