//! What lies in a cache, in memory: names of files, their sizes, and the order of their use. About
//! 200 bytes a file.

use std::collections::{BTreeMap, HashMap};

use data_encoding::HEXLOWER;

use crate::integrity::Integrity;

/// What a file takes at least, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A tarball, by its hash.
    Tarball(Integrity),
    /// A package document, by the hash of registry and name.
    Document([u8; 32]),
}

/// What is there, and in which order it was used.
#[derive(Default)]
pub(super) struct Index {
    pub(super) files: HashMap<Key, Known>,
    pub(super) order: BTreeMap<u64, Key>,
    uses: u64,
    pub(super) bytes: u64,
}

#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) bytes: u64,
    used: u64,
    /// Whether its content was looked at since the start.
    pub(super) checked: bool,
}

impl Index {
    pub(super) fn insert(&mut self, key: Key, bytes: u64, checked: bool) {
        self.remove(&key);
        self.uses += 1;
        let known = Known {
            bytes,
            used: self.uses,
            checked,
        };
        self.files.insert(key, known);
        self.order.insert(self.uses, key);
        self.bytes += size(bytes);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Known> {
        let known = self.files.remove(key)?;
        self.order.remove(&known.used);
        self.bytes -= size(known.bytes);
        Some(known)
    }

    /// Makes it the one that was used last.
    pub(super) fn touch(&mut self, key: &Key) -> Option<Known> {
        let known = self.files.get_mut(key)?;
        self.order.remove(&known.used);
        self.uses += 1;
        known.used = self.uses;
        self.order.insert(self.uses, *key);
        Some(*known)
    }
}

impl Key {
    pub(super) fn file_name(&self, bytes: u64) -> String {
        match self {
            Self::Tarball(integrity @ Integrity::Sha512(_)) => {
                format!("tarball-sha512-{}.{bytes}", integrity.to_hex())
            }
            Self::Tarball(integrity @ Integrity::Sha1(_)) => {
                format!("tarball-sha1-{}.{bytes}", integrity.to_hex())
            }
            Self::Document(hash) => format!("document-{}.{bytes}", HEXLOWER.encode(hash)),
        }
    }

    /// Reads [`Key::file_name`].
    pub(super) fn parse(name: &str) -> Option<(Self, u64)> {
        fn hash<const N: usize>(hex: &str) -> Option<[u8; N]> {
            HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
        }
        let (stem, bytes) = name.split_once('.')?;
        let (kind, hex) = stem.rsplit_once('-')?;
        let key = match kind {
            "tarball-sha512" => Self::Tarball(Integrity::Sha512(hash(hex)?)),
            "tarball-sha1" => Self::Tarball(Integrity::Sha1(hash(hex)?)),
            "document" => Self::Document(hash(hex)?),
            _ => return None,
        };
        Some((key, bytes.parse().ok()?))
    }
}

/// What a file takes on the disk, about.
pub(super) fn size(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name() {
        let (sha512, sha1) = Integrity::of(b"abc");
        for key in [
            Key::Tarball(sha512),
            Key::Tarball(sha1),
            Key::Document([7; 32]),
        ] {
            assert_eq!(Key::parse(&key.file_name(12)), Some((key, 12)));
        }
        for name in [
            "lock",
            "incoming-1",
            "tarball-sha512-00.1",
            "document-.1",
            "x",
            &Key::Document([7; 32]).file_name(1).to_uppercase(),
            &format!("{}.2", Key::Document([7; 32]).file_name(1)),
        ] {
            assert_eq!(Key::parse(name), None, "{name}");
        }
    }
}
