//! Several control planes on one PostgreSQL: each hears of the changes that the others make.
//!
//! The database tells of them, which is quick, and a timer asks for the newest number, which is
//! sure. So a lost connection costs time and never a change.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::{Store, StoreError};

/// After a failure, listening waits this long to begin again.
const AGAIN: Duration = Duration::from_secs(1);

impl Store {
    /// Hears of changes that other processes make, at the latest after `every`. On SQLite there
    /// are none.
    pub async fn follow(&self, every: Duration) -> Infallible {
        let mut failing = false;
        loop {
            let end = self.listen(every, &mut failing).await;
            match end {
                Ok(Heard::NobodyElse) => std::future::pending().await,
                Ok(Heard::Broken) => tracing::debug!("the database's word of changes broke off"),
                Err(error) => {
                    // Told once, until it works again.
                    if !std::mem::replace(&mut failing, true) {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, "other control planes' changes arrive late");
                    }
                    sleep(AGAIN).await;
                    if let Ok(newest) = self.newest_change().await {
                        self.changes.announce(newest);
                    }
                }
            }
        }
    }

    async fn listen(&self, every: Duration, failing: &mut bool) -> Result<Heard, StoreError> {
        let Some(mut listener) = self.database.0.listen().await? else {
            return Ok(Heard::NobodyElse);
        };
        *failing = false;
        loop {
            // At first as well: nothing is told of what came before listening began.
            self.changes.announce(self.newest_change().await?);
            let mut news = pin!(listener.try_recv());
            let told = loop {
                tokio::select! {
                    told = &mut news => break told?,
                    () = sleep(every) => self.changes.announce(self.newest_change().await?),
                }
            };
            if told.is_none() {
                return Ok(Heard::Broken);
            }
        }
    }
}

/// Why listening ended.
enum Heard {
    /// No other process can make changes.
    NobodyElse,
    /// The connection is gone.
    Broken,
}
