//! "Something newer than N exists": how gates learn that they must read again.
//!
//! A number that grows with every change that concerns them, announced after the commit. A lost
//! announcement costs time and never correctness, since readers also read on a timer.

use std::time::Duration;

use tokio::sync::watch;

/// A change waits at most this long for the gate of its own process.
const DELIVERY: Duration = Duration::from_secs(1);

/// The newest number, and how far the gate in this process has come, if there is one.
#[derive(Debug, Clone)]
pub struct Changes {
    newest: watch::Sender<i64>,
    recorded: watch::Sender<i64>,
    delivered: watch::Sender<Option<i64>>,
}

impl Changes {
    /// Starts at the newest number that the store knows.
    pub(crate) fn starting_at(number: i64) -> Self {
        Self {
            newest: watch::Sender::new(number),
            recorded: watch::Sender::new(0),
            delivered: watch::Sender::new(None),
        }
    }

    /// The newest number, and word of newer ones.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.newest.subscribe()
    }

    /// Word of new rows in the audit log that were written by this process.
    pub fn recorded(&self) -> watch::Receiver<i64> {
        self.recorded.subscribe()
    }

    /// Says that the audit log is committed up to this row.
    pub(crate) fn record(&self, row: i64) {
        self.recorded.send_if_modified(|newest| {
            let newer = row > *newest;
            *newest = row.max(*newest);
            newer
        });
    }

    /// Returns once the gate in this process goes by `number`, so that whoever made the change
    /// can rely on it there: a new publisher may publish.
    pub(crate) async fn delivery(&self, number: i64) {
        let mut delivered = self.delivered.subscribe();
        let arrived = delivered.wait_for(|gate| gate.is_none_or(|gate| gate >= number));
        if tokio::time::timeout(DELIVERY, arrived).await.is_err() {
            tracing::warn!(number, "the gate in this process lags behind");
        }
    }

    /// Says that `number` is committed, by whomever. An older number changes nothing.
    pub(crate) fn announce(&self, number: i64) {
        self.newest.send_if_modified(|newest| {
            let newer = number > *newest;
            *newest = number.max(*newest);
            newer
        });
    }

    /// Says that the gate in this process goes by everything up to `number`.
    pub(crate) fn delivered(&self, number: i64) {
        self.delivered.send_replace(Some(number));
    }
}
