//! Backends for tests of services (MODO-26).

use std::future::ready;

use super::{TierBackend, TierError, TierInfo};
use crate::premium::BoxFuture;

/// Gives every owner the same tier.
#[derive(Debug, Clone)]
pub struct StaticTierBackend {
    info: TierInfo,
}

impl StaticTierBackend {
    /// Gives every owner this tier.
    pub fn new(info: TierInfo) -> Self {
        Self { info }
    }
}

impl TierBackend for StaticTierBackend {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<TierInfo, TierError>> {
        Box::pin(ready(Ok(self.info.clone())))
    }
}

/// Fails for every owner.
#[derive(Debug, Clone, Copy, Default)]
pub struct FailingTierBackend;

impl TierBackend for FailingTierBackend {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<TierInfo, TierError>> {
        let error = TierError::fault("a backend that always fails");
        Box::pin(ready(Err(error)))
    }
}
