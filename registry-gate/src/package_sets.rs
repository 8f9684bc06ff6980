//! One copy of each package set: whoever holds a set of the same names holds the same one,
//! tokens and snapshots alike. A set that nobody holds any more is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use manifest::{PackageSet, SetDigest};

/// Below this many entries there is nothing worth clearing away.
const CLEARED_FROM: usize = 64;

/// The sets that somebody holds. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct PackageSets(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    sets: HashMap<SetDigest, Weak<PackageSet>>,
    /// With so many entries, those without a set are cleared away. Twice as many as were left
    /// the last time, so that it costs every entry but little.
    clear_at: usize,
}

/// A set that is held, and whether nobody held it before.
pub(crate) struct Held {
    pub(crate) set: Arc<PackageSet>,
    pub(crate) is_new: bool,
}

impl PackageSets {
    /// The one copy of this set.
    pub(crate) fn hold(&self, set: PackageSet) -> Held {
        // A panic elsewhere cannot have left the map half-done.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = known.sets.get(&set.digest()).and_then(Weak::upgrade) {
            return Held { set, is_new: false };
        }
        if known.sets.len() >= known.clear_at {
            known.sets.retain(|_, set| set.strong_count() > 0);
            known.clear_at = CLEARED_FROM.max(2 * known.sets.len());
        }
        let set = Arc::new(set);
        known.sets.insert(set.digest(), Arc::downgrade(&set));
        Held { set, is_new: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str) -> PackageSet {
        std::iter::once(name.parse().unwrap()).collect()
    }

    #[test]
    fn equal_sets_are_one() {
        let sets = PackageSets::default();
        let (one, other, third) = (
            sets.hold(set("a")),
            sets.hold(set("a")),
            sets.hold(set("b")),
        );
        assert!(Arc::ptr_eq(&one.set, &other.set));
        assert!(one.is_new && !other.is_new && third.is_new);
        assert_eq!(Arc::strong_count(&third.set), 1);
    }

    #[test]
    fn a_set_that_nobody_holds_is_gone_and_so_is_its_entry() {
        let sets = PackageSets::default();
        let kept = sets.hold(set("kept"));
        let dropped = Arc::downgrade(&sets.hold(set("dropped")).set);
        assert!(dropped.upgrade().is_none());
        for number in 0..10_000 {
            sets.hold(set(&format!("short-lived-{number}")));
        }
        assert!(sets.0.lock().unwrap().sets.len() <= 2 * CLEARED_FROM);
        let again = sets.hold(set("kept"));
        assert!(Arc::ptr_eq(&kept.set, &again.set));
    }
}
