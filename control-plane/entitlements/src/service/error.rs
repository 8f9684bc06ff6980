//! Why a question was not answered, or a change not made.

use crate::driver::DriverError;
use crate::names::{NotASubject, UnknownName};
use crate::ports::UsageError;
use crate::resolve::Dangling;
use crate::stored::OverrideError;

/// Why a question was not answered, or a change not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The subject's name is none (ENT-15).
    #[error(transparent)]
    Subject(#[from] NotASubject),
    /// The catalog has no such tier, feature, limit or add-on (ENT-28, ENT-30).
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// An override that cannot be stored (ENT-21).
    #[error(transparent)]
    Override(OverrideError),
    /// What is stored of the subject is no longer in the catalog (ENT-16).
    #[error(transparent)]
    Dangling(#[from] Dangling),
    /// There is no meter to ask (ENT-35).
    #[error("no meter says what was used; hand one to the builder with `usage`")]
    NoMeter,
    /// The meter could not say.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The driver could not do it: a fault, never the caller's doing.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl From<OverrideError> for Error {
    fn from(error: OverrideError) -> Self {
        match error {
            OverrideError::Unknown(unknown) => Self::Unknown(unknown),
            error @ OverrideError::TooLarge { .. } => Self::Override(error),
        }
    }
}
