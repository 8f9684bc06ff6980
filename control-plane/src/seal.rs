//! Seals small secrets that the server must be able to read back, such as what webhooks are
//! signed with.
//!
//! A sealed text is `v1.` and, in base64url, a random nonce, the ciphertext of `XChaCha20` and its
//! Poly1305 tag. The nonce has 192 bits, so that a random one never comes twice. What a text
//! belongs to is its context: moved to another row or column it does not open.

use std::fmt;

use activation_token::credential::HashKey;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::entropy::{Entropy, EntropyError, random};

const VERSION: &str = "v1.";
const NONCE_BYTES: usize = 24;

/// Seals and opens under the key for one purpose.
#[derive(Clone)]
pub struct Sealer(XChaCha20Poly1305);

/// Why a secret cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No nonce.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Far longer than anything that fits into memory.
    #[error("the secret is too long to be sealed")]
    TooLong,
}

impl Sealer {
    /// The sealer for one purpose. What it seals opens under the same root key and purpose only.
    pub fn new(root: &HashKey, purpose: &str) -> Self {
        // No digest is made under a key of this name.
        let key = root.derive(&format!("seal: {purpose}"));
        Self(XChaCha20Poly1305::new(key.as_bytes().into()))
    }

    /// Seals `plaintext` for a place that `context` names, such as the table, the column and the
    /// row.
    pub fn seal(
        &self,
        context: &str,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<String, SealError> {
        let nonce = random::<NONCE_BYTES>(entropy)?;
        let payload = Payload {
            msg: plaintext,
            aad: context.as_bytes(),
        };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| SealError::TooLong)?;
        let bytes = [&nonce[..], &sealed].concat();
        Ok(format!("{VERSION}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    /// What was sealed, if the text is whole and this is its context.
    pub fn open(&self, context: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = BASE64URL_NOPAD
            .decode(text.strip_prefix(VERSION)?.as_bytes())
            .ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: sealed,
            aad: context.as_bytes(),
        };
        let opened = self.0.decrypt(&XNonce::from(*nonce), payload).ok()?;
        Some(Zeroizing::new(opened))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::OsEntropy;

    fn sealer(key: u8, purpose: &str) -> Sealer {
        Sealer::new(&HashKey::from_bytes([key; 32]), purpose)
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_again(plaintext: Vec<u8>, context: String) {
            let sealer = sealer(1, "webhooks");
            let text = sealer.seal(&context, &plaintext, &OsEntropy).unwrap();
            let opened = sealer.open(&context, &text).unwrap();
            prop_assert_eq!(&*opened, &plaintext);
        }

        #[test]
        fn another_key_purpose_or_context_opens_nothing(plaintext: Vec<u8>, context: String, other: String) {
            let text = sealer(1, "webhooks").seal(&context, &plaintext, &OsEntropy).unwrap();
            prop_assert!(sealer(2, "webhooks").open(&context, &text).is_none());
            prop_assert!(sealer(1, "answers").open(&context, &text).is_none());
            prop_assume!(context != other);
            prop_assert!(sealer(1, "webhooks").open(&other, &text).is_none());
        }

        #[test]
        fn any_changed_bit_or_missing_end_is_noticed(plaintext: Vec<u8>, at: usize, bit in 0_u8..7) {
            let sealer = sealer(1, "webhooks");
            let text = sealer.seal("row 1", &plaintext, &OsEntropy).unwrap();
            let at = at % text.len();
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1_u8 << bit;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert!(sealer.open("row 1", &changed).is_none());
            prop_assert!(sealer.open("row 1", &text[..at]).is_none());
        }

        #[test]
        fn a_text_of_anyone_opens_nothing(text: String) {
            let sealer = sealer(1, "webhooks");
            prop_assert!(sealer.open("row 1", &text).is_none());
            let like_ours = format!("{VERSION}{}", BASE64URL_NOPAD.encode(text.as_bytes()));
            prop_assert!(sealer.open("row 1", &like_ours).is_none());
        }
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let sealer = sealer(1, "webhooks");
        let seal = || sealer.seal("row 1", b"secret", &OsEntropy).unwrap();
        assert_ne!(seal(), seal());
        assert!(!format!("{sealer:?}").contains('1'));
    }

    /// A stored text must open in every later version: XChaCha20-Poly1305 over the derived key.
    #[test]
    fn the_form_stays_what_it_is() {
        struct Fixed;
        impl Entropy for Fixed {
            fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
                bytes.fill(7);
                Ok(())
            }
        }
        let text = sealer(1, "webhooks")
            .seal("row 1", b"secret", &Fixed)
            .unwrap();
        assert_eq!(
            text,
            "v1.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHwuNM26D_-iPeEXwLO64xJhN8g85gGQ"
        );
    }
}
