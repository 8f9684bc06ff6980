//! Backends for tests of services (MODO-26).

use async_trait::async_trait;

use super::{TierBackend, TierError, TierInfo};

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

#[async_trait]
impl TierBackend for StaticTierBackend {
    async fn resolve(&self, _owner: &str) -> Result<TierInfo, TierError> {
        Ok(self.info.clone())
    }
}

/// Fails for every owner.
#[derive(Debug, Clone, Copy, Default)]
pub struct FailingTierBackend;

#[async_trait]
impl TierBackend for FailingTierBackend {
    async fn resolve(&self, _owner: &str) -> Result<TierInfo, TierError> {
        Err(TierError::fault("a backend that always fails"))
    }
}
