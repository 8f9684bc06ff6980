//! How a change is made: one at a time, and many of them in one commit.
//!
//! A commit costs a flush of the disk, whoever waits for it. So one task per process, the keeper,
//! has the only connection for writing. It lends the open transaction to one change after the
//! other, as long as some are waiting, each between savepoints of its own, and commits once for
//! all of them; nobody is answered before that. A change that fails or is given up takes back its
//! own statements only. Whoever makes a change may go away at any moment: all that must not stop
//! half-way is done by the keeper.
//!
//! Other processes are kept out by the row of the audit counter, which the first statement of
//! every transaction holds. So the rules never race, on either engine.

use std::sync::Arc;

use jiff::Timestamp;
use metrics::counter;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot, watch};

use super::audit::{self, Head};
use super::engine::{Engine, WriteConn, answer};
use super::{Link, StoreError, counters};
use crate::changes::Changes;
use crate::domain::{Event, Requester};
use crate::metrics::{CHANGES, COMMITS};

/// So many changes share a commit at most: the first shall not wait for long, and PostgreSQL
/// keeps so many savepoints of a transaction at hand.
const CHANGES_MAX: u32 = 64;

const SAVEPOINT: &str = "SAVEPOINT change";
const NEXT_SAVEPOINT: &str = "RELEASE SAVEPOINT change; SAVEPOINT change";
const TAKE_BACK: &str = "ROLLBACK TO SAVEPOINT change";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// The way to make changes.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    orders: mpsc::UnboundedSender<Order>,
    chain: audit::Chain,
    changes: Changes,
}

/// What the keeper is asked for.
#[derive(Debug)]
enum Order {
    /// To lend the transaction.
    Change(Turn),
    /// To commit what is open, and to end.
    Close(oneshot::Sender<()>),
}

/// Who waits for the transaction.
type Turn = oneshot::Sender<Result<OwnedMutexGuard<Batch>, StoreError>>;

/// How a commit ended, once it has.
type Outcome = watch::Sender<Option<Result<(), Arc<StoreError>>>>;

/// The connection, and the transaction on it that several changes share.
#[derive(Debug)]
struct Batch {
    conn: WriteConn,
    /// The end of the audit log as the transaction sees it.
    head: Head,
    point: Point,
    /// How many changes stand in it.
    changes: u32,
    /// The newest number that is to be announced.
    announced: Option<i64>,
    outcome: Outcome,
}

/// Where a transaction stands.
#[derive(Debug)]
enum Point {
    /// Nobody had it yet.
    Fresh,
    /// A change is being made, or was given up. Before it, the head was this one.
    Open(Head),
    /// The last change is complete.
    Complete,
}

/// A change that is being made. Dropped, it is taken back.
pub struct Tx {
    batch: OwnedMutexGuard<Batch>,
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
    /// Starts the keeper, which lives until it is told to close or nobody can ask it any more.
    pub(super) fn new(engine: Engine, chain: audit::Chain, changes: Changes) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let keeper = Keeper {
            engine,
            chain: chain.clone(),
            changes: changes.clone(),
            orders: received,
            batch: None,
        };
        tokio::spawn(keeper.keep());
        Self {
            orders,
            chain,
            changes,
        }
    }

    /// Waits for its turn and begins a change.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let (turn, lent) = oneshot::channel();
        let order = Order::Change(turn);
        self.orders
            .send(order)
            .map_err(|_| StoreError::Interrupted)?;
        Ok(Tx {
            batch: lent.await.map_err(|_| StoreError::Interrupted)??,
            chain: self.chain.clone(),
            changes: self.changes.clone(),
            announced: None,
        })
    }

    /// Lets the changes that have begun or wait end, and no further one begin. Then closes every
    /// connection.
    pub(super) async fn close(&self) {
        let (closed, ended) = oneshot::channel();
        if self.orders.send(Order::Close(closed)).is_ok() {
            // An error means that it has ended as well.
            let _ = ended.await;
        }
    }
}

/// Has the connection.
struct Keeper {
    engine: Engine,
    chain: audit::Chain,
    changes: Changes,
    orders: mpsc::UnboundedReceiver<Order>,
    /// None before the first change and after a failure.
    batch: Option<Arc<Mutex<Batch>>>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut next = self.orders.recv().await;
        while let Some(order) = next {
            next = match order {
                Order::Change(turn) => self.serve(turn).await,
                Order::Close(closed) => {
                    self.orders.close();
                    // The last connection to SQLite brings the log into the file, if it may write.
                    self.engine.close().await;
                    if let Some(batch) = self.batch.take().and_then(Arc::into_inner) {
                        // Everything is committed; only a good-bye could fail.
                        let _ = batch.into_inner().conn.close().await;
                    }
                    let _ = closed.send(());
                    return;
                }
            };
            if next.is_none() {
                next = self.orders.recv().await;
            }
        }
    }

    /// Makes one transaction, for this turn and those that wait. Returns an order that it took
    /// and did not carry out.
    async fn serve(&mut self, first: Turn) -> Option<Order> {
        let batch = match self.begin().await {
            Ok(batch) => batch,
            Err(error) => return self.refuse(first, error),
        };
        let mut lent = Arc::clone(&batch).lock_owned().await;
        let mut turn = first;
        let order = loop {
            if let Err(error) = lent.prepare().await {
                // All that stands in the transaction is lost. A new one may fare better.
                self.batch = None;
                if lent.changes == 0 {
                    return self.refuse(turn, error);
                }
                lent.end(Err(error));
                return Some(Order::Change(turn));
            }
            // Whoever has gone gives it back at once.
            let _ = turn.send(Ok(lent));
            lent = Arc::clone(&batch).lock_owned().await;
            if lent.changes == CHANGES_MAX {
                break None;
            }
            match self.orders.try_recv() {
                Ok(Order::Change(next)) => turn = next,
                Ok(close) => break Some(close),
                Err(_) => break None,
            }
        };
        match lent.commit().await {
            Ok(()) => {
                self.changes.record(lent.head.sequence);
                if let Some(number) = lent.announced {
                    self.changes.announce(number);
                }
                lent.end(Ok(()));
            }
            Err(error) => {
                self.batch = None;
                lent.end(Err(error));
            }
        }
        order
    }

    /// Begins a transaction, on a new connection where there is none or the old one is no longer
    /// good.
    async fn begin(&mut self) -> Result<Arc<Mutex<Batch>>, StoreError> {
        let batch = match self.batch.take() {
            Some(batch) if batch.lock().await.conn.begin().await.is_ok() => batch,
            _ => {
                let mut conn = self.engine.write().await?;
                conn.begin().await?;
                Arc::new(Mutex::new(Batch::on(conn)))
            }
        };
        batch.lock().await.start(&self.chain).await?;
        self.batch = Some(Arc::clone(&batch));
        Ok(batch)
    }

    /// Tells one, and all who wait by now, that nothing can be changed. Else each would wait for
    /// the others to find that out.
    fn refuse(&mut self, turn: Turn, error: StoreError) -> Option<Order> {
        let error = Arc::new(error);
        let mut turn = turn;
        loop {
            let _ = turn.send(Err(StoreError::Shared(Arc::clone(&error))));
            match self.orders.try_recv() {
                Ok(Order::Change(next)) => turn = next,
                Ok(close) => return Some(close),
                Err(_) => return None,
            }
        }
    }
}

impl Batch {
    fn on(conn: WriteConn) -> Self {
        Self {
            conn,
            head: Head::start(),
            point: Point::Fresh,
            changes: 0,
            announced: None,
            outcome: watch::Sender::new(None),
        }
    }

    /// Keeps other processes out of the transaction that has begun, and sees where the log ends.
    async fn start(&mut self, chain: &audit::Chain) -> Result<(), StoreError> {
        let newest = answer(counters::hold(self.conn.link(), counters::AUDIT)).await?;
        // Nobody else has written since: the end is where this process left it.
        if newest != self.head.sequence {
            self.head = chain.head(&mut self.conn, newest).await?;
        }
        self.point = Point::Fresh;
        self.changes = 0;
        self.announced = None;
        self.outcome = watch::Sender::new(None);
        Ok(())
    }

    /// Takes back what a change that was given up has left, and makes ready for the next one.
    async fn prepare(&mut self) -> Result<(), StoreError> {
        match self.point {
            Point::Fresh => self.conn.run(SAVEPOINT).await?,
            Point::Open(_) => return self.take_back().await,
            Point::Complete => self.conn.run(NEXT_SAVEPOINT).await?,
        }
        self.point = Point::Open(self.head.clone());
        Ok(())
    }

    /// Goes back to the savepoint, which stays.
    async fn take_back(&mut self) -> Result<(), StoreError> {
        if let Point::Open(before) = &self.point {
            // What a statement complained of that was given up half-way shows only now.
            if self.conn.run(TAKE_BACK).await.is_err() {
                self.conn.run(TAKE_BACK).await?;
            }
            self.head.clone_from(before);
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.take_back().await?;
        if self.changes == 0 {
            return self.conn.run(ROLLBACK).await;
        }
        let newest = self.head.sequence;
        answer(counters::set(self.conn.link(), counters::AUDIT, newest)).await?;
        if self.announced.is_some() {
            self.conn.tell_replicas().await?;
        }
        self.conn.run(COMMIT).await?;
        counter!(COMMITS).increment(1);
        counter!(CHANGES).increment(self.changes.into());
        Ok(())
    }

    /// Tells everyone in it how it ended.
    fn end(&mut self, result: Result<(), StoreError>) {
        self.outcome.send_replace(Some(result.map_err(Arc::new)));
    }
}

impl Tx {
    /// What to run a statement on.
    pub fn link(&mut self) -> Link<'_> {
        self.batch.conn.link()
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
            .append(batch.conn.link(), &batch.head, requester, now, event)
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
    /// last used, how far a webhook has been told, which kept answers are outdated, what was
    /// downloaded or used.
    pub async fn commit_notes(self) -> Result<(), StoreError> {
        self.finish().await
    }

    /// Gives the change up, and returns once everything that it saw lasts.
    pub async fn settled(self) -> Result<(), StoreError> {
        self.outcome().await
    }

    async fn finish(mut self) -> Result<(), StoreError> {
        // From here on it stands in the transaction of all.
        let batch = &mut *self.batch;
        batch.point = Point::Complete;
        batch.changes += 1;
        batch.announced = self.announced.or(batch.announced);
        let (changes, announced) = (self.changes.clone(), self.announced);
        self.outcome().await?;
        if let Some(number) = announced {
            changes.delivery(number).await;
        }
        Ok(())
    }

    /// Gives the transaction back and waits for its end.
    async fn outcome(self) -> Result<(), StoreError> {
        let mut outcome = self.batch.outcome.subscribe();
        drop(self);
        let ended = outcome.wait_for(Option::is_some).await;
        match ended.map_err(|_| StoreError::Interrupted)?.as_ref() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(StoreError::Shared(Arc::clone(error))),
            None => Err(StoreError::Interrupted),
        }
    }
}
