//! Premium: a user's grant, which is there or not. Who keeps the grants is behind a port, so
//! that a service can plug in its own.
//!
//! A gate needs [`PremiumStatus`], whoever grants needs [`PremiumClaims`]. With [`NoPremium`],
//! the default, nobody is premium and nothing is asked.

mod gate;
mod memory;
mod none;

pub use gate::{Caller, NotPremium, if_premium, require_premium};
pub use memory::MemoryPremium;
pub use none::NoPremium;

use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;

/// What a port answers with, later.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether a user is premium.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Premium {
    /// Not premium.
    #[default]
    No,
    /// Premium, by this grant.
    Yes(PremiumGrant),
}

/// That somebody made a user premium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PremiumGrant {
    /// When.
    pub granted_at: Timestamp,
    /// Who.
    pub grantor: String,
    /// Why, if that was said.
    pub reason: Option<String>,
}

/// A user who is premium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PremiumUser {
    /// Who.
    pub user: String,
    /// By which grant.
    pub grant: PremiumGrant,
}

/// Whoever keeps the grants could not do it. The text is theirs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("whoever keeps the premium grants failed: {0}")]
pub struct ProviderError(pub String);

/// Who is premium: all that a gate asks.
///
/// An answer may be a little old: right after a grant, a provider may still say no (TOOL-37).
pub trait PremiumStatus: Send + Sync {
    /// A user's status. It cannot fail: where it is not known, the user is not premium (TOOL-4),
    /// see [`Premium::known`].
    fn status<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Premium>;

    /// Whether the user is premium.
    fn is_premium<'a>(&'a self, user: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.status(user).await.is_premium() })
    }
}

/// Who keeps the grants.
pub trait PremiumClaims: PremiumStatus {
    /// Everyone who is premium, by name.
    fn list(&self) -> BoxFuture<'_, Result<Vec<PremiumUser>, ProviderError>>;

    /// Makes a user premium, in place of an earlier grant. Answers the new status.
    fn grant<'a>(
        &'a self,
        user: &'a str,
        grant: PremiumGrant,
    ) -> BoxFuture<'a, Result<Premium, ProviderError>>;

    /// Takes a grant back. It succeeds also for who has none (TOOL-8).
    fn revoke<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<(), ProviderError>>;
}

impl Premium {
    /// What a provider found out about a user, for [`PremiumStatus::status`]: not premium where
    /// it found nothing or failed, which is logged.
    pub fn known(found: Result<Option<PremiumGrant>, ProviderError>) -> Self {
        match found {
            Ok(Some(grant)) => Self::Yes(grant),
            Ok(None) => Self::No,
            Err(error) => {
                tracing::warn!(%error, "a premium status could not be read, which reads as not premium");
                Self::No
            }
        }
    }

    /// Whether it is premium.
    pub fn is_premium(&self) -> bool {
        matches!(self, Self::Yes(_))
    }

    /// The grant, if there is one.
    pub fn grant(&self) -> Option<&PremiumGrant> {
        match self {
            Self::Yes(grant) => Some(grant),
            Self::No => None,
        }
    }
}

/// Whatever leads to claims is claims.
macro_rules! pass_on {
    ($($pointer:ty),*) => { $(
        impl<C: PremiumStatus + ?Sized> PremiumStatus for $pointer {
            fn status<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Premium> {
                (**self).status(user)
            }

            fn is_premium<'a>(&'a self, user: &'a str) -> BoxFuture<'a, bool> {
                (**self).is_premium(user)
            }
        }

        impl<C: PremiumClaims + ?Sized> PremiumClaims for $pointer {
            fn list(&self) -> BoxFuture<'_, Result<Vec<PremiumUser>, ProviderError>> {
                (**self).list()
            }

            fn grant<'a>(
                &'a self,
                user: &'a str,
                grant: PremiumGrant,
            ) -> BoxFuture<'a, Result<Premium, ProviderError>> {
                (**self).grant(user, grant)
            }

            fn revoke<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
                (**self).revoke(user)
            }
        }
    )* };
}
pass_on!(&C, Box<C>, Arc<C>);

/// Claims that were never set up are [`NoPremium`] (TOOL-12).
impl<C: PremiumStatus> PremiumStatus for Option<C> {
    fn status<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Premium> {
        match self {
            Some(claims) => claims.status(user),
            None => NoPremium.status(user),
        }
    }

    fn is_premium<'a>(&'a self, user: &'a str) -> BoxFuture<'a, bool> {
        match self {
            Some(claims) => claims.is_premium(user),
            None => NoPremium.is_premium(user),
        }
    }
}

#[cfg(test)]
mod tests;
