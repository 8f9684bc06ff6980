//! What the **root key** signs: snapshots, license files and heads of bundles. Whoever reads one
//! has the root key's public half from elsewhere.

use serde::de::DeserializeOwned;

use crate::Key;
use crate::compact::{Compact, CompactError, Kind, object};

/// Why a text is not what the trusted root key signed, in the order in which it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Over the limit of its kind.
    #[error("the text is too long")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("this is not a signed text")]
    Form,
    /// Another algorithm or type, or a header member that does not belong there.
    #[error("this is signed, but as something else")]
    Header,
    /// Another key signed it.
    #[error("it is signed with another key than the root key that is trusted here")]
    OtherKey,
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Signature,
    /// The root key signed it, but it is of another version, or something else.
    #[error("it has not the members that this version knows")]
    Content,
}

impl From<CompactError> for Untrusted {
    fn from(error: CompactError) -> Self {
        match error {
            CompactError::TooLong => Self::TooLong,
            CompactError::Form => Self::Form,
            CompactError::Header => Self::Header,
        }
    }
}

/// The content of a text of this kind, if `root` signed it.
pub(crate) fn open<T: DeserializeOwned>(
    text: &str,
    kind: &Kind,
    root: &Key,
) -> Result<T, Untrusted> {
    let compact = Compact::parse(text, kind)?;
    if compact.key_id != root.id() {
        return Err(Untrusted::OtherKey);
    }
    if !root.verifies(compact.signed.as_bytes(), compact.signature) {
        return Err(Untrusted::Signature);
    }
    object(&compact.payload).ok_or(Untrusted::Content)
}
