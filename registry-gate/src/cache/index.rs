//! What lies in a cache, in memory: names of files, their sizes, and the order of their use. About
//! 200 bytes a file.

use std::collections::{BTreeMap, HashMap};

use data_encoding::HEXLOWER;

use crate::integrity::Integrity;

/// What a file takes at least, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// A registry behind the gate. What came from one is never shown as the other's: a hash that
/// somebody knows must not open the bytes of a package that he may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Registry {
    /// For names of the gated scope.
    Upstream,
    /// For all others.
    PassThrough,
}

impl Registry {
    const ALL: [Self; 2] = [Self::Upstream, Self::PassThrough];

    /// What it is called in logs, figures and the names of files.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::PassThrough => "pass-through",
        }
    }
}

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A tarball, by where it is from and its hash.
    Tarball(Registry, Integrity),
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
            Self::Tarball(registry, integrity) => {
                let (registry, hex) = (registry.as_str(), integrity.to_hex());
                match integrity {
                    Integrity::Sha512(_) => format!("tarball-{registry}-sha512-{hex}.{bytes}"),
                    Integrity::Sha1(_) => format!("tarball-{registry}-sha1-{hex}.{bytes}"),
                }
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
        let key = if kind == "document" {
            Self::Document(hash(hex)?)
        } else {
            let (registry, kind) = kind.strip_prefix("tarball-")?.rsplit_once('-')?;
            let mut all = Registry::ALL.into_iter();
            let registry = all.find(|one| one.as_str() == registry)?;
            let integrity = match kind {
                "sha512" => Integrity::Sha512(hash(hex)?),
                "sha1" => Integrity::Sha1(hash(hex)?),
                _ => return None,
            };
            Self::Tarball(registry, integrity)
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
            Key::Tarball(Registry::Upstream, sha512),
            Key::Tarball(Registry::PassThrough, sha512),
            Key::Tarball(Registry::PassThrough, sha1),
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
