//! The form of every secret Tollgate hands out, and its keyed hash at rest.
//!
//! `<prefix>_<32 base-32 letters><6-letter checksum>`: 160 random bits, a prefix that secret
//! scanners find, and a checksum that rejects a typing error before any look-up. Such a secret
//! cannot be guessed, so a fast keyed hash is enough to store (OWASP ASVS 11.5.1, 6.5.2).

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Random bytes in a secret: 160 bits.
pub const RANDOM_BYTES: usize = 20;
const BODY_LETTERS: usize = 32;
const CHECKSUM_LETTERS: usize = 6;

/// Who holds a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    /// Runs the control plane.
    Operator,
    /// A registry gate.
    Gate,
    /// Publishes packages.
    Publisher,
    /// Asks what a subject may do.
    Application,
}

impl CredentialKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 4] = [
        Self::Operator,
        Self::Gate,
        Self::Publisher,
        Self::Application,
    ];

    /// What a secret of this kind begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Operator => "tgo",
            Self::Gate => "tgg",
            Self::Publisher => "tgp",
            Self::Application => "tga",
        }
    }

    /// The kind's name, as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Gate => "gate",
            Self::Publisher => "publisher",
            Self::Application => "application",
        }
    }
}

/// Makes a secret from random bytes.
pub fn new_secret(prefix: &str, random: &[u8; RANDOM_BYTES]) -> SecretString {
    let mut text = format!("{prefix}_{}", base32(random));
    text.push_str(&checksum(&text));
    SecretString::from(text)
}

/// Whether a text has the form of a secret with this prefix, checksum included.
pub fn is_well_formed(prefix: &str, text: &str) -> bool {
    let Some(letters) = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
    else {
        return false;
    };
    let in_alphabet = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
    if letters.len() != BODY_LETTERS + CHECKSUM_LETTERS || !letters.bytes().all(in_alphabet) {
        return false;
    }
    let (signed, sum) = text.split_at(text.len() - CHECKSUM_LETTERS);
    checksum(signed) == sum
}

/// The first 30 bits of SHA-256 over all that stands before.
fn checksum(text: &str) -> String {
    let mut letters = base32(&Sha256::digest(text));
    letters.truncate(CHECKSUM_LETTERS);
    letters
}

/// RFC 4648 base 32 in lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// The key under which secrets are hashed. A digest is of no use without it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// Takes 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key for one purpose. Digests under keys of two purposes have nothing in common, so a
    /// gate can be given the one for publishers and still learn nothing of other secrets.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        Self(self.mac(purpose.as_bytes()))
    }

    /// What is stored of a secret: HMAC-SHA-256.
    pub fn digest(&self, secret: &SecretString) -> SecretDigest {
        SecretDigest(self.mac(secret.expose_secret().as_bytes()))
    }

    /// The key's bytes, to store or to hand to a gate.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA-256 over a message.
    pub fn mac(&self, message: &[u8]) -> [u8; 32] {
        // HMAC takes a key of any length; `new` takes the full block.
        let mut key = [0; 64];
        for (to, from) in key.iter_mut().zip(self.0) {
            *to = from;
        }
        let mac = Hmac::<Sha256>::new(&key.into()).chain_update(message);
        key.zeroize();
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey([redacted])")
    }
}

/// A secret's keyed hash. Compared in constant time; written in hexadecimal.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", HEXLOWER.encode_display(&self.0))
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest([redacted])")
    }
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretDigest {}

impl Serialize for SecretDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|b| b.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| de::Error::custom("a digest is 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_prefix_body_and_checksum() {
        let secret = new_secret("tgo", &[7; RANDOM_BYTES]);
        let text = secret.expose_secret();
        assert_eq!(text.len(), "tgo_".len() + 38);
        assert!(is_well_formed("tgo", text));
        assert!(!is_well_formed("tgp", text));
        assert!(!format!("{secret:?}").contains(text));
    }

    #[test]
    fn every_single_wrong_letter_is_noticed() {
        let secret = new_secret("tgl_live", &[9; RANDOM_BYTES]);
        let text = secret.expose_secret();
        for at in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(!is_well_formed("tgl_live", &wrong), "{wrong}");
        }
        assert!(!is_well_formed("tgl_live", &text[1..]));
        assert!(!is_well_formed("tgl_live", ""));
    }

    #[test]
    fn a_digest_depends_on_key_and_purpose() {
        let secret = new_secret("tgo", &[1; RANDOM_BYTES]);
        let key = HashKey::from_bytes([1; 32]);
        let digest = key.digest(&secret);
        assert_eq!(digest, key.digest(&secret));
        assert_ne!(digest, HashKey::from_bytes([2; 32]).digest(&secret));
        assert_ne!(digest, key.derive("publisher").digest(&secret));
    }
}
