//! jsonwebtoken's cryptography, done by ed25519-dalek in its strict form.
//!
//! The backends that jsonwebtoken brings accept forged signatures under low-order keys, and one
//! panics on a short key. This one refuses both and knows Ed25519 only. jsonwebtoken keeps its
//! provider in a process-wide slot that can be filled once, so [`install`] is called before any
//! key exists and fails when somebody else's provider is there: a key of ours is proof that
//! signatures are checked strictly.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey, pkcs8::DecodePrivateKey};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use once_cell::sync::OnceCell;
use sha2::{Digest, Sha256};

/// Another library of this process has chosen jsonwebtoken's cryptography already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another jsonwebtoken crypto provider is installed in this process")]
pub struct ProviderTaken;

/// Makes the strict provider the process's own, once.
pub(crate) fn install() -> std::result::Result<(), ProviderTaken> {
    static INSTALLED: OnceCell<()> = OnceCell::new();
    INSTALLED
        .get_or_try_init(|| PROVIDER.install_default().map_err(|_| ProviderTaken))
        .copied()
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory,
    verifier_factory,
    key_utils: KeyUtils {
        compute_digest,
        ..KeyUtils::new_unimplemented()
    },
};

struct StrictSigner(SigningKey);

impl Signer<Vec<u8>> for StrictSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        use ed25519_dalek::Signer as _;
        let signature = self
            .0
            .try_sign(message)
            .map_err(|_| SignatureError::new())?;
        Ok(signature.to_vec())
    }
}

impl JwtSigner for StrictSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct StrictVerifier(VerifyingKey);

impl Verifier<Vec<u8>> for StrictVerifier {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), SignatureError> {
        let signature = Signature::from_slice(signature).map_err(|_| SignatureError::new())?;
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for StrictVerifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "jsonwebtoken's signature"
)]
fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if *algorithm != Algorithm::EdDSA {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let key = SigningKey::from_pkcs8_der(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    Ok(Box::new(StrictSigner(key)))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "jsonwebtoken's signature"
)]
fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if *algorithm != Algorithm::EdDSA {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let key = public_key(key.try_get_as_bytes()?).ok_or(ErrorKind::InvalidEddsaKey)?;
    Ok(Box::new(StrictVerifier(key)))
}

#[expect(clippy::needless_pass_by_value, reason = "jsonwebtoken's signature")]
fn compute_digest(data: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    match hash {
        ThumbprintHash::SHA256 => Ok(Sha256::digest(data).to_vec()),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

/// Reads a public key: 32 bytes, the canonical encoding of a point, and not one of low order,
/// under which a single signature would fit any message.
pub(crate) fn public_key(bytes: &[u8]) -> Option<VerifyingKey> {
    let bytes: &[u8; 32] = bytes.try_into().ok()?;
    let key = VerifyingKey::from_bytes(bytes).ok()?;
    let canonical = key.to_edwards().compress().to_bytes() == *bytes;
    (canonical && !key.is_weak()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_order_short_and_non_canonical_keys_are_refused() {
        let identity = [&[1_u8][..], &[0; 31]].concat();
        let order_four = vec![0_u8; 32];
        // y = p + 3 spells y = 3 a second time.
        let non_canonical = [&[0xf0_u8][..], &[0xff; 30], &[0x7f]].concat();
        for bytes in [
            identity,
            order_four,
            non_canonical,
            vec![7; 31],
            vec![7; 33],
            vec![],
        ] {
            assert!(public_key(&bytes).is_none(), "{bytes:02x?}");
        }
    }
}
