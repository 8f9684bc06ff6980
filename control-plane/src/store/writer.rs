//! How a change is made: one at a time, and many of them in one commit.
//!
//! A commit costs a flush of the disk, whoever waits for it. So a transaction of the database is
//! passed on from one change to the next that is waiting, each between savepoints of its own, and
//! committed once for all of them; nobody is answered before that. A change that fails or is
//! given up takes back its own statements only.
//!
//! The writer of one process is serialized by a lock here, and against other processes by
//! the row of the audit counter, which the first statement of every transaction touches. So the
//! rules never race, on either engine.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, watch};

use super::audit::{self, Head};
use super::engine::{Engine, Inner};
use super::{Link, StoreError, counters, on};
use crate::changes::Changes;
use crate::domain::{Event, Requester};

const SAVEPOINT: &str = "SAVEPOINT change";
const RELEASE: &str = "RELEASE SAVEPOINT change";
const ROLLBACK: &str = "ROLLBACK TO SAVEPOINT change";

/// The way to make changes.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    engine: Engine,
    chain: audit::Chain,
    changes: Changes,
    slot: Arc<Mutex<Option<Batch>>>,
}

/// A transaction that several changes share.
#[derive(Debug)]
struct Batch {
    inner: Inner,
    /// The end of the audit log as this transaction sees it.
    head: Head,
    /// The head before the change that is being made.
    head_before: Option<Head>,
    /// Whether gates must hear of something in it.
    concerns_gates: bool,
    outcome: watch::Sender<Option<Result<(), Arc<StoreError>>>>,
}

/// A change that is being made. Dropped, it is taken back.
pub struct Tx {
    batch: OwnedMappedMutexGuard<Option<Batch>, Batch>,
    chain: audit::Chain,
    changes: Changes,
    announced: Option<i64>,
}

/// A value and the proof that its change stands in the audit log. Made by [`Tx::record`] alone,
/// and the only thing that [`Tx::commit`] takes.
#[derive(Debug)]
#[must_use = "a change lasts only when it is committed"]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    /// What the change brought.
    pub fn value(&self) -> &T {
        &self.0
    }

    /// What the change brought, for a change that is part of another one's proof.
    pub(crate) fn into_value(self) -> T {
        self.0
    }

    /// The same proof with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Recorded<U> {
        Recorded(change(self.0))
    }
}

impl Writer {
    pub(super) fn new(engine: Engine, chain: audit::Chain, changes: Changes) -> Self {
        Self {
            engine,
            chain,
            changes,
            slot: Arc::default(),
        }
    }

    /// Waits for its turn and begins a change.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let mut slot = Arc::clone(&self.slot).lock_owned().await;
        if let Some(batch) = slot.as_mut()
            && let Err(error) = batch.prepare().await
        {
            // The transaction is lost, with all that stands in it. A new one may fare better.
            if let Some(batch) = slot.take() {
                batch.fail(error);
            }
        }
        if slot.is_none() {
            let mut batch = self.open().await?;
            batch.prepare().await?;
            *slot = Some(batch);
            // Queues behind everyone who waits by now: these share the transaction.
            tokio::spawn(commit_batch(Arc::clone(&self.slot)));
        }
        let batch =
            OwnedMutexGuard::try_map(slot, Option::as_mut).map_err(|_| StoreError::Interrupted)?;
        Ok(Tx {
            batch,
            chain: self.chain.clone(),
            changes: self.changes.clone(),
            announced: None,
        })
    }

    async fn open(&self) -> Result<Batch, StoreError> {
        let mut inner = self.engine.begin().await?;
        let newest = counters::hold(inner.link(), counters::AUDIT).await?;
        let head = self.chain.head(&mut inner, newest).await?;
        Ok(Batch {
            inner,
            head,
            head_before: None,
            concerns_gates: false,
            outcome: watch::Sender::new(None),
        })
    }

    /// Lets the change that is being made end, and no further one begin.
    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        if let Some(batch) = slot.take() {
            batch.commit().await;
        }
    }
}

/// Commits what stands in the transaction when its turn comes.
async fn commit_batch(slot: Arc<Mutex<Option<Batch>>>) {
    let mut slot = slot.lock_owned().await;
    if let Some(batch) = slot.take() {
        batch.commit().await;
    }
}

impl Batch {
    /// Takes back what a change that was given up has left, and sets the next one's savepoint.
    async fn prepare(&mut self) -> Result<(), StoreError> {
        self.undo().await?;
        run(self.inner.link(), SAVEPOINT).await?;
        self.head_before = Some(self.head.clone());
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), StoreError> {
        if let Some(head) = self.head_before.take() {
            run(self.inner.link(), ROLLBACK).await?;
            run(self.inner.link(), RELEASE).await?;
            self.head = head;
        }
        Ok(())
    }

    async fn commit(mut self) {
        let written = async {
            self.undo().await?;
            counters::set(self.inner.link(), counters::AUDIT, self.head.sequence).await?;
            if self.concerns_gates {
                self.inner.tell_replicas().await?;
            }
            Ok(())
        };
        match written.await {
            Ok(()) => {
                let result = self.inner.commit().await.map_err(Arc::new);
                self.outcome.send_replace(Some(result));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Tells everyone in it that it is lost. The transaction rolls back by itself.
    fn fail(self, error: StoreError) {
        self.outcome.send_replace(Some(Err(Arc::new(error))));
    }
}

async fn run(link: Link<'_>, sql: &'static str) -> Result<(), StoreError> {
    on!(link, |c| sqlx::query(sql).execute(c).await.map(drop))?;
    Ok(())
}

impl Tx {
    /// What to run a statement on.
    pub fn link(&mut self) -> Link<'_> {
        self.batch.inner.link()
    }

    /// The number of the newest audit row, as this transaction sees it.
    pub fn newest_row(&self) -> i64 {
        self.batch.head.sequence
    }

    /// Writes an audit row, and numbers the change where it concerns gates. A change can be
    /// committed only with what this returns.
    pub async fn record<T>(
        &mut self,
        requester: &Requester,
        now: Timestamp,
        event: Event,
        value: T,
    ) -> Result<Recorded<T>, StoreError> {
        if event.concerns_gates && self.announced.is_none() {
            self.announced = Some(counters::next(self.link(), counters::CHANGE).await?);
        }
        let batch = &mut *self.batch;
        batch.head = self
            .chain
            .append(batch.inner.link(), &batch.head, requester, now, event)
            .await?;
        Ok(Recorded(value))
    }

    /// Has the next change that concerns gates numbered above `number`: they may have seen that
    /// many in a database that is no longer here, and never go back.
    pub async fn skip_changes(&mut self, number: i64) -> Result<(), StoreError> {
        let newest = counters::value(self.link(), counters::CHANGE).await?;
        counters::set(self.link(), counters::CHANGE, newest.max(number)).await
    }

    /// Makes the change last, then announces it.
    pub async fn commit<T>(self, recorded: Recorded<T>) -> Result<T, StoreError> {
        self.finish().await?;
        Ok(recorded.0)
    }

    /// Makes notes last that change nothing about what anybody may do: when a credential was
    /// last used, how far a webhook has been told, which kept answers are outdated.
    pub async fn commit_notes(self) -> Result<(), StoreError> {
        self.finish().await
    }

    async fn finish(mut self) -> Result<(), StoreError> {
        run(self.link(), RELEASE).await?;
        // From here on it stands in the transaction of all.
        self.batch.head_before = None;
        self.batch.concerns_gates |= self.announced.is_some();
        let (changes, announced) = (self.changes.clone(), self.announced);
        let row = self.newest_row();
        let mut outcome = self.batch.outcome.subscribe();
        drop(self);
        let ended = outcome.wait_for(Option::is_some).await;
        match ended.map_err(|_| StoreError::Interrupted)?.as_ref() {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(StoreError::Shared(Arc::clone(error))),
            None => return Err(StoreError::Interrupted),
        }
        changes.record(row);
        if let Some(number) = announced {
            changes.announce(number).await;
        }
        Ok(())
    }
}
