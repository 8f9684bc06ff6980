//! Where tiers come from.

use std::fmt;
use std::sync::Arc;

use super::{TierError, TierInfo};
use crate::premium::BoxFuture;

/// Tells which tier an owner has. Object-safe.
pub trait TierBackend: Send + Sync + 'static {
    /// The tier that holds for `owner`.
    fn resolve<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<TierInfo, TierError>>;

    /// The same, where it is known without waiting; [`Self::resolve`] is asked where it is not.
    fn resolve_now(&self, owner: &str) -> Option<TierInfo> {
        let _ = owner;
        None
    }
}

/// A backend behind a handle that is cheap to clone (MODO-9).
#[derive(Clone)]
pub struct TierResolver(Arc<dyn TierBackend>);

impl TierResolver {
    /// Asks this backend.
    pub fn new(backend: impl TierBackend) -> Self {
        Self(Arc::new(backend))
    }

    /// The tier that holds for `owner`: the backend is asked each time (MODO-27).
    pub async fn resolve(&self, owner: &str) -> Result<TierInfo, TierError> {
        match self.0.resolve_now(owner) {
            Some(info) => Ok(info),
            None => self.0.resolve(owner).await,
        }
    }

    pub(super) fn resolve_now(&self, owner: &str) -> Option<TierInfo> {
        self.0.resolve_now(owner)
    }

    /// For an owner that [`Self::resolve_now`] did not know.
    pub(super) async fn resolve_later(&self, owner: &str) -> Result<TierInfo, TierError> {
        self.0.resolve(owner).await
    }
}

impl From<Arc<dyn TierBackend>> for TierResolver {
    fn from(backend: Arc<dyn TierBackend>) -> Self {
        Self(backend)
    }
}

impl fmt::Debug for TierResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierResolver").finish_non_exhaustive()
    }
}
