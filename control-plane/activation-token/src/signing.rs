//! The private half: signing keys, and what they sign: tokens, and with the root key snapshots,
//! license files and heads of bundles.

use std::fmt;

use ed25519_dalek::pkcs8::spki::der::SecretDocument;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::claims::{Claims, Packages};
use crate::compact::{BUNDLE_HEAD, Kind, LICENSE_FILE, OFFLINE_TOKEN, SNAPSHOT, TOKEN};
use crate::keys::{Key, KeyError};
use crate::offline::{BundleHead, LicenseFile};
use crate::snapshot::Snapshot;

/// A token longer than this, in bytes, names its packages by digest instead.
pub const LISTED_BYTES_MAX: usize = 6 * 1024;

/// An Ed25519 private key. It shows its public half only.
pub struct SigningKey {
    public: Key,
    private: ed25519_dalek::SigningKey,
    encoding: EncodingKey,
}

/// Why a key cannot be read or a token not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not a PKCS#8 PEM text with an Ed25519 key.
    #[error("this is not an Ed25519 private key in PKCS#8 PEM form")]
    Pem,
    /// The public half is unsound.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signer failed, or its signature did not verify.
    #[error("the signer failed, or its signature did not verify")]
    Signer,
    /// The text is over the limit of its kind: [`crate::TOKEN_BYTES_MAX`] for a token, even
    /// with its packages named by digest, or [`crate::SNAPSHOT_BYTES_MAX`].
    #[error("the signed text would be longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
}

impl SigningKey {
    /// The key that grows from 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SignError> {
        let private = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = Key::from_bytes(private.verifying_key().as_bytes())?;
        let der = pkcs8_v1(&private)
            .to_pkcs8_der()
            .map_err(|_| SignError::Signer)?;
        let encoding = EncodingKey::from_ed_der(der.as_bytes());
        Ok(Self {
            public,
            private,
            encoding,
        })
    }

    /// Reads a PKCS#8 PEM text, version 1 or 2.
    pub fn from_pem(pem: &str) -> Result<Self, SignError> {
        let private = ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map_err(|_| SignError::Pem)?;
        Self::from_seed(private.as_bytes())
    }

    /// The key as PKCS#8 version 1, which every tool reads.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SignError> {
        pkcs8_v1(&self.private)
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| SignError::Signer)
    }

    /// The key as PKCS#8 version 1, in binary.
    pub(crate) fn to_der(&self) -> Result<SecretDocument, SignError> {
        pkcs8_v1(&self.private)
            .to_pkcs8_der()
            .map_err(|_| SignError::Signer)
    }

    /// The public half.
    pub fn public(&self) -> &Key {
        &self.public
    }

    /// Signs claims. A listed set that would push the token past [`LISTED_BYTES_MAX`] is named
    /// by its digest instead.
    pub fn sign(&self, claims: &Claims) -> Result<String, SignError> {
        self.sign_token(&TOKEN, claims)
    }

    /// Signs the claims of an offline token, likewise. This is the work of the root key.
    pub fn sign_offline(&self, claims: &Claims) -> Result<String, SignError> {
        self.sign_token(&OFFLINE_TOKEN, claims)
    }

    fn sign_token(&self, kind: &Kind, claims: &Claims) -> Result<String, SignError> {
        let token = self.encode(kind, &claims.to_wire())?;
        let token = match &claims.packages {
            Packages::Listed(set) if token.len() > LISTED_BYTES_MAX => {
                let packages = Packages::Reference(set.digest());
                let claims = Claims {
                    packages,
                    ..claims.clone()
                };
                self.encode(kind, &claims.to_wire())?
            }
            _ => token,
        };
        within(kind, token)
    }

    /// Signs a snapshot. This is the work of the **root key**: it outlives token keys, so that
    /// forced removal of one never cuts a gate off from the snapshot that says so.
    pub fn sign_snapshot(&self, snapshot: &Snapshot) -> Result<String, SignError> {
        within(&SNAPSHOT, self.encode(&SNAPSHOT, snapshot)?)
    }

    /// Signs a license file, with the root key.
    pub fn sign_license_file(&self, file: &LicenseFile) -> Result<String, SignError> {
        within(&LICENSE_FILE, self.encode(&LICENSE_FILE, file)?)
    }

    /// Signs the head of a bundle, with the root key.
    pub fn sign_bundle_head(&self, head: &BundleHead) -> Result<String, SignError> {
        within(&BUNDLE_HEAD, self.encode(&BUNDLE_HEAD, head)?)
    }

    fn encode(&self, kind: &Kind, content: &impl Serialize) -> Result<String, SignError> {
        let header = Header {
            typ: Some(kind.typ.to_owned()),
            kid: Some(self.public.id().to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        let text = jsonwebtoken::encode(&header, content, &self.encoding)
            .map_err(|_| SignError::Signer)?;
        // A faulty signature can give the key away, so none leaves unchecked.
        let good = text
            .rsplit_once('.')
            .is_some_and(|(signed, signature)| self.public.verifies(signed.as_bytes(), signature));
        if good {
            Ok(text)
        } else {
            Err(SignError::Signer)
        }
    }
}

fn within(kind: &Kind, text: String) -> Result<String, SignError> {
    let bytes_max = kind.bytes_max;
    if text.len() > bytes_max {
        return Err(SignError::TooLong { bytes_max });
    }
    Ok(text)
}

/// dalek writes version 2 by itself, which OpenSSL 3.0 and Node 20 do not read.
fn pkcs8_v1(key: &ed25519_dalek::SigningKey) -> KeypairBytes {
    KeypairBytes {
        secret_key: key.to_bytes(),
        public_key: None,
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey")
            .field(&self.public.id())
            .finish()
    }
}
