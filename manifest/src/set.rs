//! Package sets: sorted and unique names, constant-time membership, and a digest that others
//! can recompute.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use indexmap::IndexSet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::PackageName;

/// SHA-256 over the sorted names of a set, joined by a newline, without a trailing one.
/// Written `sha256:` and 64 hexadecimal digits. In a shell:
/// `printf '%s' "$(LC_ALL=C sort -u names)" | sha256sum`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetDigest([u8; 32]);

/// The text is not `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a set digest is `sha256:` and 64 lower-case hexadecimal digits")]
pub struct DigestError;

impl SetDigest {
    /// The digest of lines joined by a newline.
    pub(crate) fn of_lines(lines: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let mut hasher = Sha256::new();
        for (index, line) in lines.enumerate() {
            if index > 0 {
                hasher.update(b"\n");
            }
            hasher.update(line.as_ref());
        }
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode_display(&self.0))
    }
}

impl fmt::Debug for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SetDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or(DigestError)?;
        let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| DigestError)?;
        Ok(Self(bytes.try_into().map_err(|_| DigestError)?))
    }
}

impl Serialize for SetDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SetDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Names in order, found by a hash that is fast and seeded at random for each process.
pub(crate) type NameSet = IndexSet<PackageName, foldhash::fast::RandomState>;

/// A sorted, duplicate-free list of package names with O(1) membership.
#[derive(Clone)]
pub struct PackageSet {
    // INVARIANT: in ascending code-unit order.
    names: NameSet,
    digest: SetDigest,
}

/// A list that should have been sorted and unique is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the names are not sorted and unique: `{0}` does not come after the name before it")]
pub struct NotCanonical(pub PackageName);

impl PackageSet {
    /// Takes a list that must be in order already, as the `pkgs` claim of a token must be.
    pub fn from_sorted(names: Vec<PackageName>) -> Result<Self, NotCanonical> {
        let unordered = names.windows(2).find_map(|pair| match pair {
            [before, after] if before >= after => Some(after.clone()),
            _ => None,
        });
        match unordered {
            Some(name) => Err(NotCanonical(name)),
            None => Ok(names.into_iter().collect()),
        }
    }

    /// Whether the set has the package: one hash lookup, no allocation.
    pub fn contains(&self, package: &str) -> bool {
        self.names.contains(package)
    }

    /// The names in ascending code-unit order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &PackageName> {
        self.names.iter()
    }

    /// How many packages the set has.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether the set has no package at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What the set is known by.
    pub fn digest(&self) -> SetDigest {
        self.digest
    }

    /// Whether every member of `other` is here too.
    pub fn is_superset(&self, other: &PackageSet) -> bool {
        other.names.is_subset(&self.names)
    }
}

impl FromIterator<PackageName> for PackageSet {
    /// Sorts and drops duplicates.
    fn from_iter<I: IntoIterator<Item = PackageName>>(names: I) -> Self {
        let mut names: NameSet = names.into_iter().collect();
        names.sort_unstable();
        let digest = SetDigest::of_lines(names.iter());
        Self { names, digest }
    }
}

impl PartialEq for PackageSet {
    /// Equal digests are equal sets: SHA-256 has no known collisions.
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for PackageSet {}

impl fmt::Debug for PackageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<PackageName> {
        list.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn pot_9_a_set_is_sorted_by_code_unit_and_unique() {
        let set: PackageSet = names(&["b", "a-b", "a", "a.b", "a"]).into_iter().collect();
        assert_eq!(
            set.iter().map(PackageName::as_str).collect::<Vec<_>>(),
            ["a", "a-b", "a.b", "b"]
        );
        assert!(set.contains("a.b") && !set.contains("c") && !set.is_empty());
    }

    #[test]
    fn a_list_out_of_order_is_not_a_set() {
        assert!(PackageSet::from_sorted(names(&["a", "b"])).is_ok());
        for list in [&["b", "a"], &["a", "a"]] {
            assert_eq!(
                PackageSet::from_sorted(names(list)),
                Err(NotCanonical("a".parse().unwrap()))
            );
        }
    }

    #[test]
    fn the_digest_is_that_of_the_names_joined_by_newlines() {
        let set: PackageSet = names(&["b", "a"]).into_iter().collect();
        // printf 'a\nb' | sha256sum
        let digest = "sha256:7e18f737311b2dc3b2f269dd78396b0351f14fb66efa879f768cb23181883c78";
        assert_eq!(set.digest().to_string(), digest);
        assert_eq!(set.digest().to_string().parse(), Ok(set.digest()));
        assert_eq!("sha256:AB".parse::<SetDigest>(), Err(DigestError));
    }
}
