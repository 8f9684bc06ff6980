//! Names: npm packages and tiers. A value of these types has passed its grammar.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest package name npm accepts, in bytes.
pub const NAME_BYTES_MAX: usize = 214;
/// Longest tier name, in bytes.
const TIER_BYTES_MAX: usize = 50;

/// An npm package name such as `@acme/order`, in the grammar of new packages: lower-case
/// ASCII letters, digits, `-`, `_` and `.`; neither scope nor base name starts with `.` or `_`.
///
/// Cheap to clone. Ordered by code unit, as the token's `pkgs` claim is (POT-9).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(Arc<str>);

/// Why a text is not a package name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing there, or nothing on one side of the slash.
    #[error("a package name must not be empty")]
    Empty,
    /// Over [`NAME_BYTES_MAX`].
    #[error("a package name has at most {NAME_BYTES_MAX} characters")]
    TooLong,
    /// A slash without a scope, or more than one.
    #[error("a package name is `name` or `@scope/name`")]
    Shape,
    /// A part starts with `.` or `_`.
    #[error("no part of a package name starts with `.` or `_`")]
    Start,
    /// A character outside the grammar.
    #[error("a package name has lower-case letters, digits, `-`, `_` and `.` only")]
    Character,
    /// `node_modules` and `favicon.ico`, which npm reserves.
    #[error("npm reserves this name")]
    Reserved,
}

impl PackageName {
    /// Parses `name` or `@scope/name`. Nothing is cleaned or folded: two spellings are two names.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        let base = match text.strip_prefix('@') {
            Some(rest) => {
                let (scope, base) = rest.split_once('/').ok_or(NameError::Shape)?;
                check_part(scope)?;
                base
            }
            None => text,
        };
        check_part(base)?;
        if matches!(text, "node_modules" | "favicon.ico") {
            return Err(NameError::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The whole name, `@scope/name` or `name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope with its `@`, if there is one.
    pub fn scope(&self) -> Option<&str> {
        self.0.split_once('/').map(|(scope, _)| scope)
    }

    /// The name without its scope.
    pub fn base(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, base)| base)
    }
}

fn check_part(part: &str) -> Result<(), NameError> {
    let first = part.bytes().next().ok_or(NameError::Empty)?;
    if first == b'.' || first == b'_' {
        return Err(NameError::Start);
    }
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {}
            b'/' => return Err(NameError::Shape),
            _ => return Err(NameError::Character),
        }
    }
    Ok(())
}

/// A tier's name such as `basic`: 1 to 50 lower-case letters, digits, `-` and `_`, starting with
/// a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TierName(Arc<str>);

/// The text is not a tier name; says what one looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tier name has 1 to 50 lower-case letters, digits, `-` and `_`, and starts with a letter"
)]
pub struct TierNameError;

impl TierName {
    /// Parses a tier name; its existence in a manifest is another question.
    pub fn parse(text: &str) -> Result<Self, TierNameError> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let fits = (1..=TIER_BYTES_MAX).contains(&text.len());
        if fits && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(good) {
            Ok(Self(text.into()))
        } else {
            Err(TierNameError)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The traits that both names share: text in, text out, lookups by `&str`.
macro_rules! text_type {
    ($name:ident, $error:ty) => {
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    };
}

text_type!(PackageName, NameError);
text_type!(TierName, TierNameError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scoped_name_has_scope_and_base() {
        let name = PackageName::parse("@acme/pages-orders").unwrap();
        assert_eq!((name.scope(), name.base()), (Some("@acme"), "pages-orders"));
        let name = PackageName::parse("left-pad").unwrap();
        assert_eq!((name.scope(), name.base()), (None, "left-pad"));
    }

    #[test]
    fn names_outside_the_npm_grammar_are_refused() {
        let cases = [
            ("", NameError::Empty),
            ("@acme/", NameError::Empty),
            ("@/order", NameError::Empty),
            ("@acme", NameError::Shape),
            ("acme/order", NameError::Shape),
            ("@acme/a/b", NameError::Shape),
            (".hidden", NameError::Start),
            ("@acme/.bin", NameError::Start),
            ("@_acme/x", NameError::Start),
            ("@acme/Order", NameError::Character),
            ("@acme/or der", NameError::Character),
            ("@acme/ordér", NameError::Character),
            ("@acme/..%2fx", NameError::Start),
            ("@acme/a%2fx", NameError::Character),
            ("@acme/a\0", NameError::Character),
            ("node_modules", NameError::Reserved),
        ];
        for (text, error) in cases {
            assert_eq!(PackageName::parse(text), Err(error), "{text:?}");
        }
        let longest = format!("@acme/{}", "a".repeat(NAME_BYTES_MAX - 6));
        assert!(PackageName::parse(&longest).is_ok());
        assert_eq!(
            PackageName::parse(&format!("{longest}a")),
            Err(NameError::TooLong)
        );
    }

    #[test]
    fn tier_names_are_plain_words() {
        assert!(TierName::parse("basic").is_ok());
        for text in ["", "Basic", "1st", "a b", "bäsic", &"a".repeat(51)] {
            assert_eq!(TierName::parse(text), Err(TierNameError), "{text:?}");
        }
    }
}
