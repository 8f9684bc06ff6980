//! What subjects may do, as it was settled a moment ago.
//!
//! Nothing stale is ever kept (ENT-45). Each subject falls to one of a fixed number of counters,
//! and a change of the subject raises its counter. What was read carries the counter as it stood
//! before the read began, and is good only while the counter still stands there: so a read that
//! was overtaken by a change is not good from the start, whenever it arrives. Subjects that share
//! a counter are read once too often, and that is all.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use jiff::{SignedDuration, Timestamp};
use quick_cache::sync::Cache as Entries;
use tokio::sync::OnceCell;

use crate::driver::Change;
use crate::resolve::Effective;
use crate::service::Error;

/// How many counters of changes there are.
const COUNTERS: usize = 1024;

/// What subjects may do, for a while.
pub(crate) struct Cache {
    life: SignedDuration,
    entries: Entries<Arc<str>, Entry>,
    flights: Mutex<HashMap<Flight, Arc<Landing>>>,
    counters: Box<[AtomicU64]>,
    /// Of changes that concern all subjects.
    everything: AtomicU64,
    hasher: RandomState,
}

#[derive(Clone)]
struct Entry {
    effective: Arc<Effective>,
    stamp: Stamp,
    read_at: Timestamp,
}

/// How often a subject had changed when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stamp {
    counter: usize,
    subject: u64,
    everything: u64,
}

/// A read that others wait for too: of a subject that has not changed since.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Flight {
    subject: Arc<str>,
    stamp: Stamp,
}

type Landing = OnceCell<Result<Arc<Effective>, Error>>;

impl Cache {
    /// Keeps up to `subjects` for that long each; for no time at all when `life` is 0.
    pub(crate) fn new(life: SignedDuration, subjects: usize) -> Self {
        Self {
            life,
            entries: Entries::new(subjects),
            flights: Mutex::default(),
            counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(),
            everything: AtomicU64::new(0),
            hasher: RandomState::default(),
        }
    }

    /// What the subject may do: what is kept, or else what `read` gives. Those who ask for the
    /// same subject at the same time share one read, and its failure too.
    pub(crate) async fn get(
        &self,
        subject: &str,
        now: Timestamp,
        read: impl Future<Output = Result<Arc<Effective>, Error>>,
    ) -> Result<Arc<Effective>, Error> {
        if self.life <= SignedDuration::ZERO {
            return read.await;
        }
        if let Some(effective) = self.kept(subject, now) {
            return Ok(effective);
        }
        let flight = Flight {
            subject: subject.into(),
            stamp: self.stamp(subject),
        };
        let landing = Arc::clone(self.flights().entry(flight.clone()).or_default());
        let mut seat = Seat {
            cache: self,
            flight: &flight,
            landing: Some(landing),
        };
        let landing = seat.landing.get_or_insert_default();
        landing
            .get_or_init(|| async {
                let effective = read.await?;
                let entry = Entry {
                    effective: Arc::clone(&effective),
                    stamp: flight.stamp,
                    read_at: now,
                };
                self.entries.insert(Arc::clone(&flight.subject), entry);
                Ok(effective)
            })
            .await
            .clone()
    }

    /// What is kept of the subject, as long as it is good.
    pub(crate) fn kept(&self, subject: &str, now: Timestamp) -> Option<Arc<Effective>> {
        let entry = self.entries.get(subject)?;
        self.is_good(&entry, now).then_some(entry.effective)
    }

    /// Has nothing be good any more that was read, or is being read, of what has changed.
    pub(crate) fn forget(&self, change: Change<'_>) {
        match change {
            Change::Subject(subject) => {
                if let Some(counter) = self.counters.get(self.counter(subject)) {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                self.entries.remove(subject);
            }
            Change::Everything => {
                self.everything.fetch_add(1, Ordering::SeqCst);
                self.entries.clear();
            }
        }
    }

    fn is_good(&self, entry: &Entry, now: Timestamp) -> bool {
        let age = now.duration_since(entry.read_at);
        let young = age >= SignedDuration::ZERO && age < self.life;
        young && entry.stamp == self.now(entry.stamp.counter)
    }

    fn stamp(&self, subject: &str) -> Stamp {
        self.now(self.counter(subject))
    }

    fn now(&self, counter: usize) -> Stamp {
        let subject = self.counters.get(counter);
        Stamp {
            counter,
            subject: subject.map_or(0, |counter| counter.load(Ordering::SeqCst)),
            everything: self.everything.load(Ordering::SeqCst),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "any bits of the hash will do"
    )]
    fn counter(&self, subject: &str) -> usize {
        self.hasher.hash_one(subject) as usize % COUNTERS
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Flight, Arc<Landing>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for a flight.
struct Seat<'c> {
    cache: &'c Cache,
    flight: &'c Flight,
    landing: Option<Arc<Landing>>,
}

impl Drop for Seat<'_> {
    /// Clears away a flight that has landed, or that nobody waits for any more. Whoever comes now
    /// finds what was kept, or begins one of their own.
    fn drop(&mut self) {
        let mut flights = self.cache.flights();
        let Some(landing) = self.landing.take() else {
            return;
        };
        let over = landing.initialized();
        let mine = |other: &Arc<Landing>| Arc::ptr_eq(other, &landing);
        if !flights.get(self.flight).is_some_and(mine) {
            return;
        }
        drop(landing);
        let waiting = flights.get(self.flight).map_or(0, Arc::strong_count);
        if over || waiting <= 1 {
            flights.remove(self.flight);
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("life", &self.life)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}
