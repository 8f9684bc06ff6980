//! The layer that finds a request's tier, once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http::request::Parts;
use tower_layer::Layer;

use super::gate::{Decision, Gate, Gated, Verdict};
use super::owner::{Awaited, Found, Immediate, IntoOwner, Owner};
use super::{Guards, KeyError, Keys, TierError, TierInfo, TierResolver};

/// Finds whose request it is, asks which tier they have, and tells handlers and guards (MODO-10).
///
/// A request without an owner gets the default tier, and the backend is not asked (MODO-12);
/// without a default it goes on without a tier (MODO-13). A failing backend answers in place of
/// the service, default or not (MODO-11, MODO-15).
#[derive(Clone)]
pub struct TierLayer<O, D> {
    resolver: TierResolver,
    owner: O,
    default: D,
}

/// Says nothing of callers without an owner: no guard can be had from such a layer.
#[derive(Debug, Clone, Copy)]
pub struct NoDefault;

/// What callers without an owner get.
pub trait DefaultTier: Clone {
    /// Their tier, if they get one.
    fn tier(&self) -> Option<TierInfo>;
}

impl DefaultTier for NoDefault {
    fn tier(&self) -> Option<TierInfo> {
        None
    }
}

impl DefaultTier for TierInfo {
    fn tier(&self) -> Option<TierInfo> {
        Some(self.clone())
    }
}

impl<F> TierLayer<Immediate<F>, NoDefault> {
    /// Finds the owner with a closure such as
    /// `|parts| parts.extensions.get::<Tenant>().map(|tenant| tenant.id.clone())`.
    pub fn new<R>(resolver: TierResolver, owner: F) -> Self
    where
        F: Fn(&Parts) -> R + Clone + Send + Sync + 'static,
        R: IntoOwner,
    {
        Self {
            resolver,
            owner: Immediate(owner),
            default: NoDefault,
        }
    }
}

impl<F> TierLayer<Awaited<F>, NoDefault> {
    /// Finds the owner with a closure that answers with a future.
    pub fn new_async<L>(resolver: TierResolver, owner: F) -> Self
    where
        F: Fn(&Parts) -> L + Clone + Send + Sync + 'static,
        L: Future<Output = Result<Option<String>, TierError>> + Send + 'static,
    {
        Self {
            resolver,
            owner: Awaited(owner),
            default: NoDefault,
        }
    }
}

impl<O> TierLayer<O, NoDefault> {
    /// Gives this tier to callers without an owner. It stays as it is here: where switches are
    /// to reach them, name an owner for them instead, of whom nothing is stored.
    pub fn with_default(self, default: TierInfo) -> TierLayer<O, TierInfo> {
        TierLayer {
            resolver: self.resolver,
            owner: self.owner,
            default,
        }
    }
}

impl<O> TierLayer<O, TierInfo> {
    /// The maker of guards for the routes within this layer, which may name these keys alone. The
    /// default tier is checked for them here.
    pub fn guards(&self, keys: impl Into<Keys>) -> Result<Guards, KeyError> {
        Guards::new(keys.into(), &self.default)
    }
}

impl<O, D: fmt::Debug> fmt::Debug for TierLayer<O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TierLayer");
        shown
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

impl<S, O: Owner, D: DefaultTier> Layer<S> for TierLayer<O, D> {
    type Service = Gated<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.clone())
    }
}

impl<O: Owner, D: DefaultTier> Gate for TierLayer<O, D> {
    type Later = Pin<Box<dyn Future<Output = Verdict> + Send>>;

    fn ask(&self, parts: &Parts) -> Decision<Self::Later> {
        match self.owner.owner(parts) {
            Found::Now(Err(error)) => Decision::Now(Err(error)),
            Found::Now(Ok(None)) => Decision::Now(Ok(self.default.tier())),
            Found::Now(Ok(Some(owner))) => {
                if let Some(info) = self.resolver.resolve_now(&owner) {
                    return Decision::Now(Ok(Some(info)));
                }
                let resolver = self.resolver.clone();
                let tier = async move { resolver.resolve_later(&owner).await.map(Some) };
                Decision::Later(Box::pin(tier))
            }
            Found::Later(owner) => {
                let (resolver, default) = (self.resolver.clone(), self.default.tier());
                Decision::Later(Box::pin(async move {
                    match owner.await? {
                        Some(owner) => resolver.resolve(&owner).await.map(Some),
                        None => Ok(default),
                    }
                }))
            }
        }
    }
}
