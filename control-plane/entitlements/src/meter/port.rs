//! What is asked of whoever counts.

use std::sync::Arc;

/// Something that knows how much of a metric a subject has used, as a check of a limit asks it
/// (ENT-32, ENT-36): for the metric of the limit's name, in that metric's period that runs.
pub trait Used: Send + Sync {
    /// Why it cannot tell. That it knows no such metric is one reason (ENT-37).
    type Error: std::error::Error + Send + Sync + 'static;

    /// How much is used, and what one of it is called.
    fn used(
        &self,
        subject: &str,
        metric: &str,
    ) -> impl Future<Output = Result<UsedOf, Self::Error>> + Send;
}

/// How much is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedOf {
    /// The aggregate.
    pub used: u64,
    /// What one of it is called.
    pub unit: Arc<str>,
}
