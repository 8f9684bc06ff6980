//! Hashes of tarballs: computing, reading and comparing them, strictly.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use sha1::Sha1;
use sha2::{Digest, Sha512};

/// The strongest hash that is known of a tarball.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Integrity {
    /// SHA-512, what every release of the last years has.
    Sha512([u8; 64]),
    /// SHA-1, of old releases that have nothing else.
    Sha1([u8; 20]),
}

impl Integrity {
    /// Both hashes of these bytes: the strong one, and the one that old clients ask for.
    pub(crate) fn of(bytes: &[u8]) -> (Self, Self) {
        (
            Self::Sha512(Sha512::digest(bytes).into()),
            Self::Sha1(Sha1::digest(bytes).into()),
        )
    }

    /// Reads the members `integrity` and `shasum` of a release's `dist`: SHA-512 when it is
    /// there, else SHA-1, else nothing. A text that claims SHA-512 and is not one spoils it all.
    pub(crate) fn read(integrity: Option<&str>, shasum: Option<&str>) -> Option<Self> {
        let hashes = integrity.unwrap_or_default();
        let mut words = hashes.split_ascii_whitespace();
        if let Some(text) = words.find_map(|word| word.strip_prefix("sha512-")) {
            return decode(&BASE64, text).map(Self::Sha512);
        }
        let mut words = hashes.split_ascii_whitespace();
        if let Some(text) = words.find_map(|word| word.strip_prefix("sha1-")) {
            return decode(&BASE64, text).map(Self::Sha1);
        }
        decode(&HEXLOWER, shasum?).map(Self::Sha1)
    }

    /// Whether these are the bytes.
    pub(crate) fn fits(&self, bytes: &[u8]) -> bool {
        let mut check = self.check();
        check.update(bytes);
        check.fits()
    }

    /// Begins to check bytes that come in pieces.
    pub(crate) fn check(&self) -> Check {
        match self {
            Self::Sha512(hash) => Check::Sha512(Box::default(), *hash),
            Self::Sha1(hash) => Check::Sha1(Box::default(), *hash),
        }
    }

    /// The hash in hexadecimal, as file names and `shasum` have it.
    pub(crate) fn to_hex(self) -> String {
        match self {
            Self::Sha512(hash) => HEXLOWER.encode(&hash),
            Self::Sha1(hash) => HEXLOWER.encode(&hash),
        }
    }
}

/// The hash of the bytes so far, and what it must be in the end.
pub(crate) enum Check {
    Sha512(Box<Sha512>, [u8; 64]),
    Sha1(Box<Sha1>, [u8; 20]),
}

impl Check {
    /// Takes the next piece.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha512(so_far, _) => so_far.update(bytes),
            Self::Sha1(so_far, _) => so_far.update(bytes),
        }
    }

    /// Whether these were the bytes.
    pub(crate) fn fits(self) -> bool {
        match self {
            Self::Sha512(whole, hash) => whole.finalize()[..] == hash[..],
            Self::Sha1(whole, hash) => whole.finalize()[..] == hash[..],
        }
    }
}

impl fmt::Display for Integrity {
    /// The form of `dist.integrity`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha512(hash) => write!(f, "sha512-{}", BASE64.encode_display(hash)),
            Self::Sha1(hash) => write!(f, "sha1-{}", BASE64.encode_display(hash)),
        }
    }
}

fn decode<const N: usize>(encoding: &data_encoding::Encoding, text: &str) -> Option<[u8; N]> {
    encoding.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf abc | openssl dgst -sha512 -binary | base64 -w0; printf abc | sha1sum
    const SHA512: &str = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

    #[test]
    fn hashes_are_those_of_other_tools() {
        let (sha512, sha1) = Integrity::of(b"abc");
        assert_eq!(sha512.to_string(), SHA512);
        assert_eq!(sha1.to_hex(), SHA1);
        assert!(sha512.fits(b"abc") && sha1.fits(b"abc"));
        assert!(!sha512.fits(b"abd") && !sha1.fits(b"abd"));
    }

    #[test]
    fn the_strongest_hash_counts_and_a_broken_one_is_not_passed_over() {
        let (sha512, sha1) = Integrity::of(b"abc");
        let both = format!("sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0= {SHA512}");
        assert_eq!(Integrity::read(Some(&both), None), Some(sha512));
        assert_eq!(Integrity::read(Some(SHA512), Some(SHA1)), Some(sha512));
        assert_eq!(Integrity::read(None, Some(SHA1)), Some(sha1));
        assert_eq!(
            Integrity::read(Some("sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="), None),
            Some(sha1)
        );
        for broken in ["sha512-", "sha512-!!!", "sha512-YWJj", &SHA512[..90]] {
            assert_eq!(Integrity::read(Some(broken), Some(SHA1)), None, "{broken}");
        }
        for (integrity, shasum) in [
            (None, None),
            (Some(""), None),
            (None, Some("a9")),
            (Some("md5-x"), None),
        ] {
            assert_eq!(Integrity::read(integrity, shasum), None);
        }
    }
}
