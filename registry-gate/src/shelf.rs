//! A place for things that are loaded by package name, kept for a while and then loaded again,
//! bounded in names and in bytes; that there is nothing under a name is kept likewise. However many
//! ask, one load runs per name, and those who waited share what came of it, a failure too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use activation_token::clock::Clock;
use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

/// See the module.
pub(crate) struct Shelf<T, E> {
    slots: Cache<PackageName, Arc<Slot<T, E>>>,
    bounds: Bounds<T>,
    /// How many bytes are taken.
    taken: Arc<AtomicUsize>,
    fresh_for: SignedDuration,
    clock: Arc<dyn Clock>,
}

/// How much is kept.
pub(crate) struct Bounds<T> {
    pub(crate) names: usize,
    pub(crate) bytes: usize,
    /// About what one thing takes in memory.
    pub(crate) weigh: fn(&T) -> usize,
}

/// What a load gives: a thing, or that there is none, or why nobody knows.
type Loaded<T, E> = Result<Option<Arc<T>>, E>;

struct Slot<T, E> {
    latest: ArcSwapOption<Outcome<T, E>>,
    /// Held by the one who loads.
    loading: Mutex<()>,
    /// Raised by every invalidation. What was loaded under a lower number may be too old.
    generation: AtomicU64,
    /// How many loads have ended.
    loads: AtomicU64,
}

struct Outcome<T, E> {
    result: Loaded<T, E>,
    at: Timestamp,
    generation: u64,
    _room: Room,
}

/// Bytes that are taken for as long as this lives.
struct Room {
    bytes: usize,
    taken: Arc<AtomicUsize>,
}

impl<T, E: Clone> Shelf<T, E> {
    /// Each thing is loaded again once it is older than `fresh_for`.
    pub(crate) fn new(bounds: Bounds<T>, fresh_for: SignedDuration, clock: Arc<dyn Clock>) -> Self {
        Self {
            slots: Cache::new(bounds.names),
            bounds,
            taken: Arc::default(),
            fresh_for,
            clock,
        }
    }

    /// What is there under this name, or what `load` makes of what was there last.
    pub(crate) async fn get<F>(
        &self,
        name: &PackageName,
        load: impl FnOnce(Option<Arc<T>>) -> F,
    ) -> Loaded<T, E>
    where
        F: Future<Output = Loaded<T, E>>,
    {
        let slot = self.slot(name);
        if let Some(result) = self.fresh(&slot) {
            return result;
        }
        let loads_seen = slot.loads.load(Ordering::SeqCst);
        let turn = slot.loading.lock().await;
        if let Some(result) = self.loaded_meanwhile(&slot, loads_seen) {
            return result;
        }

        let generation = slot.generation.load(Ordering::SeqCst);
        let last = slot.latest.load_full();
        let last = last.and_then(|outcome| outcome.result.clone().ok().flatten());
        let at = self.clock.now();
        let result = load(last).await;
        slot.latest.store(Some(Arc::new(Outcome {
            result: result.clone(),
            at,
            generation,
            _room: self.room(&result),
        })));
        slot.loads.fetch_add(1, Ordering::SeqCst);
        drop(turn);
        self.keep_to_bounds();
        result
    }

    /// Makes sure that nobody who asks from now on gets what was loaded, or began to be loaded,
    /// before.
    pub(crate) fn invalidate(&self, name: &PackageName) {
        if let Some(slot) = self.slots.get(name) {
            slot.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn room(&self, result: &Loaded<T, E>) -> Room {
        let thing = result.as_ref().ok().and_then(Option::as_deref);
        let bytes = thing.map_or(0, self.bounds.weigh);
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        let taken = Arc::clone(&self.taken);
        Room { bytes, taken }
    }

    /// Forgets what is old when there is too much, and everything if that is not enough: whatever
    /// is asked for again is loaded again.
    fn keep_to_bounds(&self) {
        let too_much = || self.taken.load(Ordering::Relaxed) > self.bounds.bytes;
        for old_alone in [true, false] {
            if !too_much() {
                return;
            }
            for (_, slot) in self.slots.iter() {
                if !old_alone || self.fresh(&slot).is_none() {
                    slot.latest.store(None);
                }
            }
        }
    }

    fn slot(&self, name: &PackageName) -> Arc<Slot<T, E>> {
        if let Some(slot) = self.slots.get(name) {
            return slot;
        }
        let empty = || Ok::<_, std::convert::Infallible>(Arc::new(Slot::empty()));
        match self.slots.get_or_insert_with(name, empty) {
            Ok(slot) => slot,
            Err(never) => match never {},
        }
    }

    /// What was loaded last, if it is no failure and young enough.
    fn fresh(&self, slot: &Slot<T, E>) -> Option<Loaded<T, E>> {
        let outcome = slot.latest.load();
        let outcome = outcome.as_deref()?;
        let age = self.clock.now().duration_since(outcome.at);
        // A clock that was set back makes everything old.
        let young = !age.is_negative() && age < self.fresh_for;
        let good = outcome.result.is_ok() && young && slot.is_current(outcome);
        good.then(|| outcome.result.clone())
    }

    /// What somebody else's load gave while we waited for our turn.
    fn loaded_meanwhile(&self, slot: &Slot<T, E>, loads_seen: u64) -> Option<Loaded<T, E>> {
        if slot.loads.load(Ordering::SeqCst) == loads_seen {
            return self.fresh(slot);
        }
        let outcome = slot.latest.load();
        let outcome = outcome
            .as_deref()
            .filter(|outcome| slot.is_current(outcome))?;
        Some(outcome.result.clone())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl<T, E> Slot<T, E> {
    fn empty() -> Self {
        Self {
            latest: ArcSwapOption::empty(),
            loading: Mutex::new(()),
            generation: AtomicU64::new(0),
            loads: AtomicU64::new(0),
        }
    }

    fn is_current(&self, outcome: &Outcome<T, E>) -> bool {
        outcome.generation == self.generation.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests;
