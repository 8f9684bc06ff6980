//! Refusals worth keeping: a real license key that could not be used, an attempt on a route that
//! was not allowed. They change nothing, so they are written beside the answer and never hold it
//! up; a stranger who tries again and again cannot fill the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use activation_token::clock::Clock;
use jiff::Timestamp;
use tokio::sync::{Mutex, Semaphore};

use crate::domain::{Actor, Event, Requester};
use crate::store::{Store, StoreError};

/// So many may wait to be written.
const WAITING_MAX: u32 = 64;
/// So many a minute are written of people without a credential, and as many of those who have
/// a license key.
const WRITTEN_A_MINUTE: u32 = 120;

/// The way to write down refusals.
#[derive(Clone)]
pub struct Denials(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    waiting: Arc<Semaphore>,
    strangers: Mutex<Window>,
    key_holders: Mutex<Window>,
    left_out: AtomicU64,
}

/// How many were written since when.
struct Window {
    since: Timestamp,
    count: u32,
}

impl Denials {
    /// Writes to this store.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        let since = clock.now();
        Self(Arc::new(Inner {
            store,
            clock,
            waiting: Arc::new(Semaphore::new(WAITING_MAX as usize)),
            strangers: Mutex::new(Window { since, count: 0 }),
            key_holders: Mutex::new(Window { since, count: 0 }),
            left_out: AtomicU64::new(0),
        }))
    }

    /// Has a refusal written down soon.
    pub fn note(&self, by: &Requester, event: Event) {
        let Ok(turn) = Arc::clone(&self.0.waiting).try_acquire_owned() else {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let (inner, by) = (Arc::clone(&self.0), by.clone());
        tokio::spawn(async move {
            if let Err(error) = inner.write(&by, event).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "a refusal could not be written to the audit log");
            }
            drop(turn);
        });
    }

    /// How many were left out, since there were too many.
    pub fn left_out(&self) -> u64 {
        self.0.left_out.load(Ordering::Relaxed)
    }

    /// Waits until everything that was noted is written.
    pub async fn settle(&self) {
        // An error means that the semaphore is closed, which nobody does.
        let _ = self.0.waiting.acquire_many(WAITING_MAX).await;
    }
}

impl Inner {
    async fn write(&self, by: &Requester, event: Event) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Each has a window of its own: who has nothing keeps no refusal of a real key out.
        let window = match by.actor {
            Actor::Credential(_) | Actor::Provider(_) | Actor::System => None,
            Actor::KeyHolder => Some(&self.key_holders),
            Actor::Unknown => Some(&self.strangers),
        };
        if let Some(window) = window
            && !window.lock().await.admit(now)
        {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let recorded = tx.record(by, now, event, ()).await?;
        tx.commit(recorded).await
    }
}

impl Window {
    fn admit(&mut self, now: Timestamp) -> bool {
        if now.duration_since(self.since).as_secs() >= 60 || now < self.since {
            *self = Self {
                since: now,
                count: 0,
            };
        }
        self.count = self.count.saturating_add(1);
        self.count <= WRITTEN_A_MINUTE
    }
}
