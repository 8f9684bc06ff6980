//! The meter for those who have no transaction of their own: in memory or over a pool.

#[cfg(feature = "sql")]
mod pool;

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use manifest::Limit;

#[cfg(feature = "sql")]
use super::Amount;
use super::{
    Checked, Consumed, Event, Ledger, Memory, MeterError, Metrics, Receipt, Recorded, Usage, Window,
};
use crate::caps::{Cap, Wrapped};
use crate::{Clock, UsageError, UsageSource, Used};

/// Counts what subjects use. Cheap to clone.
#[derive(Clone)]
pub struct Meter {
    metrics: Metrics,
    store: Store,
    clock: Clock,
}

#[derive(Clone)]
enum Store {
    Memory(Memory),
    #[cfg(feature = "sql")]
    Sql(pool::Pool),
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

/// Does some work with a ledger, as one change.
macro_rules! change {
    ($meter:ident, |$ledger:ident| $work:expr) => {
        match &$meter.store {
            Store::Memory(memory) => {
                let change = memory.change(async |rows| {
                    let mut $ledger = Ledger::new(&$meter.metrics, rows);
                    $work
                });
                change.await
            }
            #[cfg(feature = "sql")]
            Store::Sql(pool) => {
                let mut change = pool.begin().await?;
                let mut $ledger = Ledger::new(&$meter.metrics, change.rows());
                let done = $work?;
                drop($ledger);
                change.commit().await?;
                Ok(done)
            }
        }
    };
}

/// Reads with a ledger.
macro_rules! read {
    ($meter:ident, |$ledger:ident| $work:expr) => {
        match &$meter.store {
            Store::Memory(memory) => {
                let change = memory.change(async |rows| {
                    let mut $ledger = Ledger::new(&$meter.metrics, rows);
                    $work
                });
                change.await
            }
            #[cfg(feature = "sql")]
            Store::Sql(pool) => {
                let mut reading = pool.read().await?;
                let mut $ledger = Ledger::new(&$meter.metrics, reading.rows());
                $work
            }
        }
    };
}

impl Meter {
    /// Counts in memory.
    pub fn in_memory(metrics: Metrics, memory: Memory, clock: Clock) -> Self {
        Self {
            metrics,
            store: Store::Memory(memory),
            clock,
        }
    }

    /// The metrics there are.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Records an event and returns what its metric amounts to (MET-6).
    pub async fn record(&self, subject: &str, event: &Event) -> Result<Recorded, MeterError> {
        let recorded = self
            .record_all(subject, std::slice::from_ref(event))
            .await?;
        // One event was given, so one comes back.
        recorded.into_iter().next().ok_or(MeterError::Nothing)
    }

    /// Records several events, all or none.
    pub async fn record_all(
        &self,
        subject: &str,
        events: &[Event],
    ) -> Result<Vec<Recorded>, MeterError> {
        let now = self.clock.now();
        change!(self, |ledger| ledger.record(subject, events, now).await)
    }

    /// Takes something from a limit if there is enough, in one step: however many ask at a time,
    /// no more is taken than the limit's cap lets pass.
    pub async fn check_and_consume(
        &self,
        subject: &str,
        event: &Event,
        limit: Limit,
    ) -> Result<Consumed, MeterError> {
        let now = self.clock.now();
        #[cfg(feature = "sql")]
        if self.is_one_statement(event) {
            // Nobody waits for a row that is held from one exchange to the next.
            return read!(self, |ledger| ledger
                .check_and_consume(subject, event, limit, now)
                .await);
        }
        change!(self, |ledger| ledger
            .check_and_consume(subject, event, limit, now)
            .await)
    }

    /// Takes back what was taken.
    pub async fn take_back(&self, receipt: &Receipt) -> Result<(), MeterError> {
        change!(self, |ledger| ledger.take_back(receipt).await)
    }

    /// What a metric amounts to in a window; in its own period that runs, when none is given.
    pub async fn used(
        &self,
        subject: &str,
        metric: &str,
        window: Option<Window>,
    ) -> Result<Usage, MeterError> {
        let now = self.clock.now();
        read!(self, |ledger| ledger
            .used(subject, metric, window, now)
            .await)
    }

    /// Whether less than a limit is used (MET-13). Not a step of its own with what follows
    /// (MET-16); [`Self::check_and_consume`] is.
    pub async fn check(
        &self,
        subject: &str,
        metric: &str,
        limit: u64,
    ) -> Result<Checked, MeterError> {
        let now = self.clock.now();
        read!(self, |ledger| ledger
            .check(subject, metric, limit, now)
            .await)
    }

    /// Every metric, also those that are not used (MET-14).
    pub async fn summary(
        &self,
        subject: &str,
        window: Option<Window>,
    ) -> Result<Vec<Usage>, MeterError> {
        let now = self.clock.now();
        read!(self, |ledger| ledger.summary(subject, window, now).await)
    }

    /// Makes the aggregates anew from the events, of one subject or of all (MET-15). Recording
    /// waits meanwhile.
    pub async fn rebuild(&self, subject: Option<&str>) -> Result<(), MeterError> {
        change!(self, |ledger| ledger.rebuild(subject).await)
    }

    /// Forgets events and idempotency keys from before a time. Aggregates stay.
    pub async fn prune(&self, until: Timestamp) -> Result<(), MeterError> {
        change!(self, |ledger| ledger.prune(until).await)
    }

    /// Does work that counts once it has succeeded (KUM-60). The cap is asked before; who asks at
    /// the same time may pass as well, so that a little more than the cap may be done. What
    /// [`Self::reserved`] does is exact.
    pub async fn counted<T, E>(
        &self,
        subject: &str,
        event: &Event,
        limit: Limit,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Wrapped<E>> {
        let metric = self.metrics.find(&event.metric)?;
        let usage = self.used(subject, &event.metric, None).await?;
        let cap = Cap::new(metric.cap, limit);
        cap.admit(&event.metric, usage.used)
            .map_err(Wrapped::Exceeded)?;
        let done = work.await.map_err(Wrapped::Failed)?;
        self.record(subject, event).await?;
        Ok(done)
    }

    /// Does work for which a place is taken before, and given back if it fails (KUM-60). Work that
    /// is given up half-way keeps its place.
    pub async fn reserved<T, E>(
        &self,
        subject: &str,
        event: &Event,
        limit: Limit,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Wrapped<E>> {
        let metric = self.metrics.find(&event.metric)?;
        let taken = self.check_and_consume(subject, event, limit).await?;
        if !taken.allowed {
            let cap = Cap::new(metric.cap, limit);
            let used = cap
                .ceiling()
                .map_or(taken.used, |most| most.max(taken.used));
            cap.admit(&event.metric, used).map_err(Wrapped::Exceeded)?;
        }
        match (work.await, &taken.receipt) {
            (Ok(done), _) => Ok(done),
            (Err(error), receipt) => {
                if let Some(receipt) = receipt {
                    self.take_back(receipt).await?;
                }
                Err(Wrapped::Failed(error))
            }
        }
    }
}

/// A limit counts the metric of its name (ENT-36).
#[async_trait]
impl UsageSource for Meter {
    async fn used(&self, subject: &str, metric: &str) -> Result<Used, UsageError> {
        let usage = Self::used(self, subject, metric, None).await;
        let usage = usage.map_err(UsageError::new)?;
        Ok(Used {
            amount: usage.used,
            unit: usage.unit,
        })
    }
}
