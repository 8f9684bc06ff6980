//! What is asked of others: how much was used, and who is premium.

use std::error::Error as StdError;
use std::sync::Arc;

use async_trait::async_trait;

/// How much was used of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// How much.
    pub amount: u64,
    /// What one of it is called.
    pub unit: Arc<str>,
}

/// Knows how much was used.
#[async_trait]
pub trait Usage: Send + Sync + 'static {
    /// How much of the metric the subject used in the period that its limit is for.
    async fn used(&self, subject: &str, metric: &str) -> Result<Used, UsageError>;
}

/// The meter could not say. It speaks for itself (ENT-37).
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct UsageError(Arc<dyn StdError + Send + Sync>);

impl UsageError {
    /// What the meter says.
    pub fn new(source: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }
}

/// Knows who is premium. Asked at each read, and only where the answer hangs on it.
#[async_trait]
pub trait IsPremium: Send + Sync + 'static {
    /// Whether the subject is premium. Who cannot say says no.
    async fn is_premium(&self, subject: &str) -> bool;
}
