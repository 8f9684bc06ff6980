//! What was downloaded since this was written down last: in memory, for a moment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use manifest::PackageName;

/// So many releases, each with the license it was downloaded with, are noted at most: it takes a
/// disk that cannot be written for a while.
const NOTED_MAX: usize = 100_000;

/// A release, and the license that it was downloaded with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Release {
    pub(crate) license_id: Box<str>,
    pub(crate) customer_id: Box<str>,
    pub(crate) package: PackageName,
    pub(crate) version: Box<str>,
}

/// How often each was downloaded.
pub(crate) type Counts = HashMap<Release, u64>;

/// The place for them.
#[derive(Default)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    told_full: AtomicBool,
}

impl Tally {
    /// Notes a download, and returns 1 if there is no room for it.
    pub(crate) fn note(&self, release: Release) -> u64 {
        let lost = add(&mut self.counts(), release, 1);
        self.tell_full(lost);
        lost
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts().is_empty()
    }

    /// Begins anew.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts())
    }

    /// Notes again what was taken, and returns for how much there was no room.
    pub(crate) fn give_back(&self, taken: Counts) -> u64 {
        let mut counts = self.counts();
        let lost = taken
            .into_iter()
            .map(|(release, count)| add(&mut counts, release, count))
            .sum();
        drop(counts);
        self.tell_full(lost);
        lost
    }

    fn tell_full(&self, lost: u64) {
        if lost > 0 && !self.told_full.swap(true, Ordering::Relaxed) {
            tracing::error!("there is no room in memory for more downloads; some are not counted");
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(counts: &mut Counts, release: Release, count: u64) -> u64 {
    if let Some(sum) = counts.get_mut(&release) {
        *sum = sum.saturating_add(count);
        return 0;
    }
    if counts.len() >= NOTED_MAX {
        return count;
    }
    counts.insert(release, count);
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(nth: usize) -> Release {
        Release {
            license_id: format!("lic_{nth}").into(),
            customer_id: "cus_1".into(),
            package: "@acme/order".parse().unwrap(),
            version: "1.0.0".into(),
        }
    }

    #[test]
    fn what_is_known_counts_on_when_there_is_no_room_for_more() {
        let tally = Tally::default();
        for nth in 0..NOTED_MAX {
            assert_eq!(tally.note(release(nth)), 0);
        }
        assert_eq!(tally.note(release(NOTED_MAX)), 1);
        assert_eq!(tally.note(release(7)), 0);
        let taken = tally.take();
        assert_eq!((taken.len(), taken[&release(7)]), (NOTED_MAX, 2));
        // What is given back is added to what came meanwhile.
        tally.note(release(7));
        assert_eq!(tally.give_back(taken), 0);
        assert_eq!(tally.take()[&release(7)], 3);
        assert!(tally.is_empty());
    }
}
