//! Identifiers: a prefix that says of what, and a time-ordered number.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32HEX_NOPAD;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// The text is no identifier of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an identifier of the right kind")]
pub struct IdError;

/// A `UUIDv7` in lower-case base 32 hex, whose order is that of its birth.
fn encode(now: Timestamp, random: &[u8; 10]) -> String {
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(milliseconds, random).into_uuid();
    BASE32HEX_NOPAD.encode(uuid.as_bytes()).to_ascii_lowercase()
}

fn is_encoded(text: &str) -> bool {
    text.len() == 26
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'v').contains(&b))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Makes one from the time and ten random bytes.
            pub fn new(now: Timestamp, random: &[u8; 10]) -> Self {
                Self(format!(concat!($prefix, "_{}"), encode(now, random)))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                match text.strip_prefix(concat!($prefix, "_")) {
                    Some(rest) if is_encoded(rest) => Ok(Self(text.to_owned())),
                    _ => Err(IdError),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

id!(
    /// A license.
    LicenseId,
    "lic"
);
id!(
    /// A box that activated a license.
    BoxId,
    "box"
);
id!(
    /// An activation token (its `jti`).
    TokenId,
    "tok"
);
id!(
    /// A credential.
    CredentialId,
    "crd"
);
id!(
    /// An endpoint that is told of changes.
    WebhookId,
    "whk"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_kind_and_sorts_by_age() {
        let early = LicenseId::new(Timestamp::from_second(1_000).unwrap(), &[255; 10]);
        let late = LicenseId::new(Timestamp::from_second(1_001).unwrap(), &[0; 10]);
        assert!(early < late);
        assert_eq!(early.as_str().parse(), Ok(early.clone()));
        assert_eq!(early.as_str().parse::<BoxId>(), Err(IdError));
        for text in [
            "",
            "lic_",
            "lic_x",
            &early.as_str().to_uppercase(),
            &format!("{early}0"),
        ] {
            assert_eq!(text.parse::<LicenseId>(), Err(IdError), "{text}");
        }
    }
}
