//! Public keys and the set of them: standard JWKS in and out (RFC 7517, RFC 8037).

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use crate::compact::object;
use crate::provider::{self, ProviderTaken};

/// The most keys a set may hold; far more than any rotation needs.
const KEYS_MAX: usize = 100;
/// The longest key set that is read, in bytes.
const JWKS_BYTES_MAX: usize = 64 * 1024;

/// A public key whose signatures count: canonical, not of low order, known by its RFC 7638
/// thumbprint.
#[derive(Clone)]
pub struct Key {
    id: Arc<str>,
    bytes: [u8; 32],
    jwk: Jwk,
    decoding: DecodingKey,
}

/// Why bytes are not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Wrong length, no point of the curve, a second spelling of one, or of low order.
    #[error("these are not the 32 bytes of a sound Ed25519 public key")]
    Unsound,
    /// Not the JWK of one, closed and with its thumbprint as `kid`.
    #[error("this is not the JWK of an Ed25519 public signing key with its thumbprint as `kid`")]
    Jwk,
    /// See [`ProviderTaken`].
    #[error(transparent)]
    Provider(#[from] ProviderTaken),
}

impl Key {
    /// Takes the 32 bytes of a public key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        provider::install()?;
        let public = provider::public_key(bytes).ok_or(KeyError::Unsound)?;
        let decoding = DecodingKey::from_ed_der(bytes);
        let mut jwk = Jwk::from_decoding_key(&decoding, Some(Algorithm::EdDSA))
            .map_err(|_| KeyError::Unsound)?;
        let id = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| KeyError::Unsound)?;
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            id: id.into(),
            bytes: public.to_bytes(),
            jwk,
            decoding,
        })
    }

    /// Reads one public key as JWK, as strictly as [`KeySet::from_jwks`] reads many.
    pub fn from_jwk(json: &[u8]) -> Result<Self, KeyError> {
        if json.len() > JWKS_BYTES_MAX {
            return Err(KeyError::Jwk);
        }
        let wire: WireKey = object(json).ok_or(KeyError::Jwk)?;
        read_key(&wire).map_err(|error| match error {
            KeySetError::Form | KeySetError::KeyId => KeyError::Jwk,
            KeySetError::Key(error) => error,
        })
    }

    /// The key as JWK. It is built from the public half, so no private part can leak.
    pub fn to_jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The 32 bytes that [`Self::from_bytes`] takes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The RFC 7638 thumbprint, which tokens name as `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same, to be held by many.
    pub(crate) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// Whether `signature` (base64url) is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, Algorithm::EdDSA)
            .unwrap_or(false)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.id).finish()
    }
}

/// The keys whose signatures count at a moment. Swapped whole, never edited.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Arc<[Key]>);

/// Why a text is not a key set that can be trusted. One bad key spoils the set: the caller
/// keeps the last good one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with `keys`, over the size limit, or a key with members that a public
    /// Ed25519 signing key does not have, such as `d`.
    #[error("the key set is not a list of Ed25519 public signing keys")]
    Form,
    /// A key's `kid` is not its thumbprint.
    #[error("a key's `kid` is not its RFC 7638 thumbprint")]
    KeyId,
    /// A key's bytes are bad.
    #[error(transparent)]
    Key(#[from] KeyError),
}

#[derive(Deserialize)]
struct WireSet {
    keys: Vec<WireKey>,
}

/// A key as it travels, closed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    kty: String,
    crv: String,
    x: String,
    kid: String,
    r#use: String,
    alg: Option<String>,
}

impl KeySet {
    /// A set of the given keys.
    pub fn new(keys: Vec<Key>) -> Self {
        Self(keys.into())
    }

    /// Reads a JWKS document whole.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > JWKS_BYTES_MAX {
            return Err(KeySetError::Form);
        }
        let wire: WireSet = object(json).ok_or(KeySetError::Form)?;
        if wire.keys.len() > KEYS_MAX {
            return Err(KeySetError::Form);
        }
        wire.keys
            .iter()
            .map(read_key)
            .collect::<Result<Vec<_>, _>>()
            .map(Self::new)
    }

    /// The set as a JWKS document. It is built from public keys, so no private part can leak.
    pub fn to_jwks(&self) -> JwkSet {
        JwkSet {
            keys: self.0.iter().map(|key| key.jwk.clone()).collect(),
        }
    }

    /// The key with this thumbprint.
    pub fn get(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id() == id)
    }
}

fn read_key(wire: &WireKey) -> Result<Key, KeySetError> {
    let algorithm_fits = matches!(wire.alg.as_deref(), None | Some("EdDSA" | "Ed25519"));
    if wire.kty != "OKP" || wire.crv != "Ed25519" || wire.r#use != "sig" || !algorithm_fits {
        return Err(KeySetError::Form);
    }
    let bytes = BASE64URL_NOPAD
        .decode(wire.x.as_bytes())
        .map_err(|_| KeySetError::Form)?;
    let key = Key::from_bytes(&bytes)?;
    if key.id() != wire.kid {
        return Err(KeySetError::KeyId);
    }
    Ok(key)
}
