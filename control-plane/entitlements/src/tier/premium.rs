//! The guard of routes for premium users.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use super::TierError;
use super::gate::{Decision, Gate, Gated, Verdict};
use super::owner::{Awaited, Found, Immediate, IntoOwner, Owner};
use crate::premium::{self, Caller, NotPremium, PremiumStatus};

/// Lets premium users pass; others and nobody are answered 402. `subject` tells whose request it
/// is, which need not be the owner of the tier: a user is premium, a customer has a tier.
pub fn require_premium<C, F, R>(claims: Arc<C>, subject: F) -> RequirePremium<C, Immediate<F>>
where
    C: PremiumStatus + ?Sized + 'static,
    F: Fn(&Parts) -> R + Clone + Send + Sync + 'static,
    R: IntoOwner,
{
    RequirePremium {
        claims,
        subject: Immediate(subject),
    }
}

/// The same with a closure that answers with a future.
pub fn require_premium_async<C, F, L>(claims: Arc<C>, subject: F) -> RequirePremium<C, Awaited<F>>
where
    C: PremiumStatus + ?Sized + 'static,
    F: Fn(&Parts) -> L + Clone + Send + Sync + 'static,
    L: Future<Output = Result<Option<String>, TierError>> + Send + 'static,
{
    RequirePremium {
        claims,
        subject: Awaited(subject),
    }
}

/// The layer that [`require_premium`] makes.
pub struct RequirePremium<C: ?Sized, O> {
    claims: Arc<C>,
    subject: O,
}

impl<C: ?Sized, O> fmt::Debug for RequirePremium<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequirePremium").finish_non_exhaustive()
    }
}

impl<C: ?Sized, O: Clone> Clone for RequirePremium<C, O> {
    fn clone(&self) -> Self {
        Self {
            claims: self.claims.clone(),
            subject: self.subject.clone(),
        }
    }
}

impl<S, C: ?Sized, O: Clone> Layer<S> for RequirePremium<C, O> {
    type Service = Gated<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.clone())
    }
}

/// The verdict about a subject that is known. Nobody is not premium, and nobody is asked.
async fn verdict<C: PremiumStatus + ?Sized>(claims: &C, subject: Option<String>) -> Verdict {
    let caller = Caller::from(subject.as_deref());
    premium::require_premium(claims, caller).await?;
    Ok(None)
}

impl<C: PremiumStatus + ?Sized + 'static, O: Owner> Gate for RequirePremium<C, O> {
    type Later = Pin<Box<dyn Future<Output = Verdict> + Send>>;

    fn ask(&self, parts: &Parts) -> Decision<Self::Later> {
        let claims = self.claims.clone();
        match self.subject.owner(parts) {
            Found::Now(Err(error)) => Decision::Now(Err(error)),
            Found::Now(Ok(None)) => Decision::Now(Err(NotPremium.into())),
            Found::Now(Ok(subject)) => {
                Decision::Later(Box::pin(async move { verdict(&*claims, subject).await }))
            }
            Found::Later(subject) => {
                Decision::Later(Box::pin(
                    async move { verdict(&*claims, subject.await?).await },
                ))
            }
        }
    }
}
