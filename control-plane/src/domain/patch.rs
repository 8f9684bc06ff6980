//! What is to become of a value that may be absent, as a JSON merge patch tells it (RFC 7396).

use serde::{Deserialize, Deserializer};

/// A member of a change. One that was not sent keeps what there is, so it wants
/// `#[serde(default)]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Not sent: it stays.
    #[default]
    Keep,
    /// Sent as `null`: it goes.
    Clear,
    /// Sent: it takes the place of what there was.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T> Patch<T> {
    /// What it becomes.
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// What a value becomes that goes back to its default where it is cleared.
    pub fn apply_or_default(self, current: T) -> T
    where
        T: Default,
    {
        self.apply(Some(current)).unwrap_or_default()
    }

    /// What was sent, if that was a value.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Keep | Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_value_are_told_apart() {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            n: Patch<u8>,
        }
        for (text, patch, applied) in [
            ("{}", Patch::Keep, Some(7)),
            (r#"{"n":null}"#, Patch::Clear, None),
            (r#"{"n":1}"#, Patch::Set(1), Some(1)),
        ] {
            let body: Body = serde_json::from_str(text).unwrap();
            assert_eq!((body.n, body.n.apply(Some(7))), (patch, applied), "{text}");
        }
        assert_eq!(Patch::Clear.apply_or_default(7_u8), 0);
    }
}
