//! Names: what a good one looks like, and what is said of one that nobody declared.

use std::fmt;
use std::sync::Arc;

/// Longest name of a subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 256;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A level of the product.
    Tier,
    /// Something that is on or off.
    Feature,
    /// Something of which there is only so much.
    Limit,
    /// Something that is bought on top of a tier.
    AddOn,
}

impl Kind {
    /// The word for one of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Feature => "feature",
            Self::Limit => "limit",
            Self::AddOn => "add-on",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The catalog has nothing of that name (ENT-28, ENT-30, KUM-46). Never taken for a "no".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What was asked for.
    pub kind: Kind,
    /// The name that is none.
    pub name: String,
    /// The names that there are, in their declared order.
    pub known: Vec<Arc<str>>,
}

impl UnknownName {
    /// The name that was probably meant.
    pub fn nearest(&self) -> Option<&str> {
        manifest::nearest(&self.name, self.known.iter().map(AsRef::as_ref))
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, known } = self;
        write!(f, "unknown {kind} `{name}`; ")?;
        match known.as_slice() {
            [] => write!(f, "there are no {kind}s")?,
            known => write!(f, "the {kind}s are {}", known.join(", "))?,
        }
        match self.nearest() {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownName {}

/// A subject that cannot be one (ENT-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a subject's name has 1 to {SUBJECT_BYTES_MAX} bytes and no control characters")]
pub struct NotASubject;

/// Refuses what names no subject.
pub fn check_subject(subject: &str) -> Result<(), NotASubject> {
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&subject.len());
    if fits && !subject.contains(char::is_control) {
        Ok(())
    } else {
        Err(NotASubject)
    }
}

/// The name of a feature, limit or add-on: 1 to 64 letters, digits, `_`, `-` and `.`, starting
/// with a letter. The same as in a manifest.
pub(crate) fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ent_28_an_unknown_name_lists_the_known_ones_and_a_near_match() {
        let unknown = |name: &str, known: &[&str]| UnknownName {
            kind: Kind::Feature,
            name: name.to_owned(),
            known: known.iter().map(|name| Arc::from(*name)).collect(),
        };
        assert_eq!(
            unknown("ss0", &["sso", "export_csv"]).to_string(),
            "unknown feature `ss0`; the features are sso, export_csv; did you mean `sso`?"
        );
        assert_eq!(
            unknown("sso", &[]).to_string(),
            "unknown feature `sso`; there are no features"
        );
    }

    #[test]
    fn ent_15_a_subject_has_a_name() {
        let long = "x".repeat(SUBJECT_BYTES_MAX);
        for good in ["cus_1", "Ärger & Söhne", " ", &long] {
            assert_eq!(check_subject(good), Ok(()), "{good}");
        }
        for bad in ["", "a\0b", "a\nb", &format!("{long}x")] {
            assert_eq!(check_subject(bad), Err(NotASubject), "{bad:?}");
        }
    }
}
