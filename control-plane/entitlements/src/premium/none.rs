//! The default: nobody is premium, and that costs nothing.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::{
    BoxFuture, Premium, PremiumClaims, PremiumGrant, PremiumStatus, PremiumUser, ProviderError,
};

/// Keeps no grants: everyone reads as not premium (TOOL-2). A grant succeeds all the same, so
/// that whoever records it has it on record, and is forgotten (TOOL-6, TOOL-19).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoPremium;

/// The answer "no". It has no size, so that boxing it takes no memory.
struct No<T>(std::marker::PhantomData<fn() -> T>);

fn no<'a, T: Default + 'a>() -> BoxFuture<'a, T> {
    Box::pin(No(std::marker::PhantomData))
}

impl<T: Default> Future for No<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(T::default())
    }
}

impl PremiumStatus for NoPremium {
    fn status<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Premium> {
        no()
    }

    fn is_premium<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
        no()
    }
}

impl PremiumClaims for NoPremium {
    fn list(&self) -> BoxFuture<'_, Result<Vec<PremiumUser>, ProviderError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn grant<'a>(
        &'a self,
        _: &'a str,
        grant: PremiumGrant,
    ) -> BoxFuture<'a, Result<Premium, ProviderError>> {
        Box::pin(async { Ok(Premium::Yes(grant)) })
    }

    fn revoke<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async { Ok(()) })
    }
}
