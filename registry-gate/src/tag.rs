//! Dist-tags: the movable names of versions, such as `latest`.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest tag, in bytes.
const TAG_BYTES_MAX: usize = 100;

/// A dist-tag: letters, digits, `-`, `_` and `.`, starting with a letter, and never readable as
/// a version range, which is what npm demands of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(String);

/// The text is not a dist-tag; says what one looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a dist-tag starts with a letter, has letters, digits, `-`, `_` and `.`, and is no range")]
pub(crate) struct TagError;

/// Whether a text can be a dist-tag; else what one looks like.
pub fn check_tag(text: &str) -> Result<(), impl std::error::Error + Send + Sync + 'static> {
    Tag::parse(text).map(drop)
}

impl Tag {
    pub(crate) fn parse(text: &str) -> Result<Self, TagError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let fits = (1..=TAG_BYTES_MAX).contains(&text.len());
        let letter_first = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if fits && letter_first && text.bytes().all(good) && !reads_as_range(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TagError)
        }
    }

    /// The tag that npm installs by when none is named.
    pub(crate) fn latest() -> Self {
        Self("latest".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// npm reads `v1`, `x` and `v2.x` as ranges: any number of `v`, then a number or a wildcard.
/// Stricter than npm where that is simpler.
fn reads_as_range(text: &str) -> bool {
    let rest = text.trim_start_matches(['v', 'V']);
    let major = rest.split('.').next().unwrap_or_default();
    matches!(major, "" | "x" | "X") || rest.starts_with(|c: char| c.is_ascii_digit())
}

impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_word_that_npm_does_not_take_for_a_range() {
        for text in [
            "latest",
            "next",
            "beta-1",
            "lts_2",
            "release.1",
            "xl",
            "vnext",
        ] {
            assert!(Tag::parse(text).is_ok(), "{text}");
        }
        let long = "a".repeat(TAG_BYTES_MAX + 1);
        for text in [
            "", "1", "1.x", "v1", "v1.2", "vv1", "x", "X", "x.x", "v", "-a", "a b", "a/b", "ä",
            &long,
        ] {
            assert_eq!(Tag::parse(text), Err(TagError), "{text}");
        }
    }
}
