//! Packages of a registry kept ready in memory, and how long each is good for.

use std::sync::Arc;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::packument::Package;

/// How long a package is taken for current before the registry is asked again.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// How long an old state is served while the registry is asked: whoever waits for a release that
/// was just published waits no longer than this, and nobody else waits at all.
const STALE: SignedDuration = SignedDuration::from_mins(5);
/// How long it is remembered that there is no such package: short, for it may be published now.
const MISSING: SignedDuration = SignedDuration::from_secs(10);
/// How long a registry that failed is left alone, when an old state is there.
const COOL_DOWN: SignedDuration = SignedDuration::from_secs(5);
/// Memory for packages kept ready, in bytes, roughly. The rest is read again from disk.
const READY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A package and the `ETag` under which the registry knows this state of it.
pub(crate) struct Shown {
    pub(crate) package: Arc<Package>,
    pub(super) etag: Option<HeaderValue>,
}

/// What the registry said last about a name.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) shown: Option<Arc<Shown>>,
    pub(super) at: Timestamp,
    /// When it failed, if it did so since.
    pub(super) failed_at: Option<Timestamp>,
}

/// Whether what is known can be served.
pub(super) enum Age {
    Fresh,
    /// Served while it is asked for again.
    Stale,
    Old,
}

impl Known {
    /// How old it is now.
    pub(super) fn age(&self, now: Timestamp) -> Age {
        let within = |since: Timestamp, limit: SignedDuration| {
            let age = now.duration_since(since);
            // A clock that was set back makes everything old.
            !age.is_negative() && age < limit
        };
        if let (Some(failed_at), Some(_)) = (self.failed_at, &self.shown) {
            return if within(failed_at, COOL_DOWN) {
                Age::Fresh
            } else {
                Age::Stale
            };
        }
        match &self.shown {
            Some(_) if within(self.at, FRESH) => Age::Fresh,
            Some(_) if within(self.at, STALE) => Age::Stale,
            None if within(self.at, MISSING) => Age::Fresh,
            _ => Age::Old,
        }
    }
}

/// About what is known takes in memory.
#[derive(Clone)]
pub(super) struct Weight;

impl Weighter<PackageName, Known> for Weight {
    fn weight(&self, name: &PackageName, known: &Known) -> u64 {
        const BASE: usize = 128;
        let shown = known.shown.as_ref();
        let package = shown.map_or(0, |shown| shown.package.bytes());
        (BASE + name.as_str().len() + package) as u64
    }
}

/// In few parts, since what is larger than a part is not kept.
pub(super) fn ready() -> Cache<PackageName, Known, Weight> {
    let options = OptionsBuilder::new()
        .estimated_items_capacity(4096)
        .weight_capacity(READY_BYTES_MAX)
        .shards(2)
        .build();
    match options {
        Ok(options) => Cache::with_options(
            options,
            Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        // Only for want of a capacity.
        Err(_) => Cache::with_weighter(4096, READY_BYTES_MAX, Weight),
    }
}
