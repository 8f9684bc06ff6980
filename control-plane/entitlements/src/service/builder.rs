//! Puts the service together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::{Entitlements, Shared};
use crate::cache::Cache;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::driver::{Driver, Listener};
use crate::ports::{IsPremium, Usage};

/// How long what was read is good, unless chosen otherwise (ENT-43).
const CACHE_LIFE: Duration = Duration::from_secs(10);
/// How many subjects are kept, unless chosen otherwise.
const CACHE_SUBJECTS: usize = 100_000;

/// A service that is being put together.
#[must_use]
pub struct EntitlementsBuilder {
    driver: Arc<dyn Driver>,
    catalog: Catalog,
    cache_life: Duration,
    cache_subjects: usize,
    clock: Clock,
    usage: Option<Arc<dyn Usage>>,
    premium: Option<Arc<dyn IsPremium>>,
}

impl EntitlementsBuilder {
    pub(super) fn new(driver: Arc<dyn Driver>, catalog: Catalog) -> Self {
        Self {
            driver,
            catalog,
            cache_life: CACHE_LIFE,
            cache_subjects: CACHE_SUBJECTS,
            clock: Clock::system(),
            usage: None,
            premium: None,
        }
    }

    /// How long what was read of a subject is good: 10 seconds unless chosen otherwise. With 0
    /// every question reads what is stored (ENT-43).
    pub fn cache_life(mut self, life: Duration) -> Self {
        self.cache_life = life;
        self
    }

    /// How many subjects are kept at most: 100,000 unless chosen otherwise.
    pub fn cache_subjects(mut self, subjects: usize) -> Self {
        self.cache_subjects = subjects;
        self
    }

    /// Where the present comes from: the machine's clock unless chosen otherwise.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Who says what was used. Without, nothing can be checked (ENT-35).
    pub fn usage(mut self, usage: Arc<dyn Usage>) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Who says which subjects are premium. Without, none is.
    pub fn premium(mut self, premium: Arc<dyn IsPremium>) -> Self {
        self.premium = Some(premium);
        self
    }

    /// Makes the service. On PostgreSQL it begins to listen for changes of other processes, on
    /// the runtime it is called in.
    pub fn build(self) -> Entitlements {
        let life = SignedDuration::try_from(self.cache_life).unwrap_or(SignedDuration::MAX);
        let cache = Arc::new(Cache::new(life, self.cache_subjects));
        let watching = self.driver.watch(Listener(Arc::downgrade(&cache)));
        Entitlements(Arc::new(Shared {
            driver: self.driver,
            catalog: self.catalog,
            cache,
            clock: self.clock,
            usage: self.usage,
            premium: self.premium,
            _watching: watching,
        }))
    }
}

impl fmt::Debug for EntitlementsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntitlementsBuilder")
            .field("driver", &self.driver)
            .field("catalog", &self.catalog)
            .field("cache_life", &self.cache_life)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Entitlements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entitlements")
            .field("driver", &self.0.driver)
            .field("catalog", &self.0.catalog)
            .field("cache", &self.0.cache)
            .finish_non_exhaustive()
    }
}
