//! What a cache must never do, and what others are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use entitlements::driver::{Driver, DriverError, Memory};
use entitlements::{
    After, Assignment, By, Configured, Entitlements, Error, Overrides, SetSwitch, Stored, Switch,
    Switched, Switches,
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::databases::Place;
use crate::world::{Hands, catalog, service};

/// A driver whose reads see what is stored, and arrive only when they are let through.
#[derive(Debug)]
struct Held {
    memory: Memory,
    holding: AtomicBool,
    failing: AtomicBool,
    reads: AtomicU64,
    seen: Semaphore,
    through: Semaphore,
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is gone")]
struct Gone;

impl Held {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(),
            holding: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            seen: Semaphore::new(0),
            through: Semaphore::new(0),
        })
    }

    fn hold(&self, on: bool) {
        self.holding.store(on, Ordering::SeqCst);
    }

    /// Waits until so many reads have seen what is stored.
    async fn seen(&self, reads: u32) {
        self.seen.acquire_many(reads).await.unwrap().forget();
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Driver for Held {
    async fn load(&self, subject: &str) -> Result<(Stored, Switches), DriverError> {
        let held = self.holding.load(Ordering::SeqCst);
        let loaded = self.memory.load(subject).await;
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.seen.add_permits(1);
        if held {
            self.through.acquire().await.unwrap().forget();
        }
        if self.failing.load(Ordering::SeqCst) {
            return Err(DriverError::new(Gone));
        }
        loaded
    }

    async fn setup(&self) -> Result<(), DriverError> {
        self.memory.setup().await
    }

    async fn create(&self, subject: &str, now: Timestamp) -> Result<bool, DriverError> {
        self.memory.create(subject, now).await
    }

    async fn assignment(&self, subject: &str) -> Result<Option<Assignment>, DriverError> {
        self.memory.assignment(subject).await
    }

    async fn assign(
        &self,
        subject: &str,
        assignment: &Assignment,
    ) -> Result<Option<Assignment>, DriverError> {
        self.memory.assign(subject, assignment).await
    }

    async fn unassign(&self, subject: &str, now: Timestamp) -> Result<bool, DriverError> {
        self.memory.unassign(subject, now).await
    }

    async fn merge_overrides(
        &self,
        subject: &str,
        overrides: &Overrides,
        now: Timestamp,
    ) -> Result<(), DriverError> {
        self.memory.merge_overrides(subject, overrides, now).await
    }

    async fn clear_overrides(
        &self,
        subject: &str,
        keys: Option<&[Arc<str>]>,
        now: Timestamp,
    ) -> Result<bool, DriverError> {
        self.memory.clear_overrides(subject, keys, now).await
    }

    async fn set_add_ons(
        &self,
        subject: &str,
        add_ons: &[Arc<str>],
        now: Timestamp,
    ) -> Result<(), DriverError> {
        self.memory.set_add_ons(subject, add_ons, now).await
    }

    async fn subjects(
        &self,
        after: Option<After<'_>>,
        limit: u32,
    ) -> Result<Vec<Configured>, DriverError> {
        self.memory.subjects(after, limit).await
    }

    async fn switches(&self) -> Result<Vec<Switch>, DriverError> {
        self.memory.switches().await
    }

    async fn set_switch(
        &self,
        switch: SetSwitch<'_>,
        now: Timestamp,
    ) -> Result<Option<Switched>, DriverError> {
        self.memory.set_switch(switch, now).await
    }
}

/// A service over held reads, and a cache that lives until it is told better.
fn held() -> (Arc<Held>, Hands, Entitlements) {
    let (driver, hands) = (Held::new(), Hands::at(0));
    let all = service(driver.clone(), &hands);
    let all = all.cache_life(Duration::from_secs(1_000_000)).build();
    (driver, hands, all)
}

fn ask(all: &Entitlements) -> tokio::task::JoinHandle<Result<bool, Error>> {
    let all = all.clone();
    tokio::spawn(async move { all.can("acme", "sso").await })
}

/// A change that lets `sso` be answered otherwise.
async fn change(all: &Entitlements, nth: usize) {
    let by = By::hand("ann");
    match nth {
        0 => drop(all.assign("acme", "growth", by).await.unwrap()),
        1 => {
            let set = Overrides::default().feature("sso", true);
            all.override_("acme", set).await.unwrap();
        }
        _ => {
            // Off for all, then on again: what is read must be what is stored after both.
            all.set_switch("sso", false, "ann", None).await.unwrap();
            all.assign("acme", "growth", by).await.unwrap();
            all.set_switch("sso", true, "ann", None).await.unwrap();
        }
    }
}

#[tokio::test]
async fn ent_45_a_read_that_a_change_overtakes_is_not_kept() {
    for nth in 0..3 {
        let (driver, hands, all) = held();
        // Warm with the old value, then outdated, so that the next question reads.
        assert!(!all.can("acme", "sso").await.unwrap());
        driver.seen(1).await;
        hands.advance(1_000_000);
        driver.hold(true);
        let slow = ask(&all);
        driver.seen(1).await;
        // It has seen the old tier, and is under way. Now the tier changes.
        driver.hold(false);
        change(&all, nth).await;
        // Nobody waits for the slow one: whoever asks now reads for themselves.
        assert!(all.can("acme", "sso").await.unwrap(), "change {nth}");
        driver.through.add_permits(1);
        assert!(!slow.await.unwrap().unwrap());
        // It arrived last, and is not kept.
        assert!(all.can("acme", "sso").await.unwrap(), "change {nth}");
    }
}

#[tokio::test]
async fn ent_45_also_when_the_slow_read_arrives_before_anybody_asks() {
    for nth in 0..3 {
        let (driver, _hands, all) = held();
        driver.hold(true);
        let slow = ask(&all);
        driver.seen(1).await;
        driver.hold(false);
        change(&all, nth).await;
        driver.through.add_permits(1);
        assert!(!slow.await.unwrap().unwrap());
        assert!(all.can("acme", "sso").await.unwrap(), "change {nth}");
    }
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_read_and_its_failure() {
    for failing in [false, true] {
        let (driver, _hands, all) = held();
        driver.hold(true);
        driver.failing.store(failing, Ordering::SeqCst);
        let asking: Vec<_> = (0..50).map(|_| ask(&all)).collect();
        driver.seen(1).await;
        tokio::task::yield_now().await;
        driver.through.add_permits(1);
        for asked in asking {
            assert_eq!(asked.await.unwrap().is_err(), failing);
        }
        assert_eq!(driver.reads(), 1);
        // A failure is not kept.
        driver.hold(false);
        driver.failing.store(false, Ordering::SeqCst);
        assert!(!all.can("acme", "sso").await.unwrap());
        assert_eq!(driver.reads(), if failing { 2 } else { 1 });
    }
}

#[tokio::test]
async fn whoever_gives_up_leaves_the_read_to_the_others() {
    let (driver, _hands, all) = held();
    driver.hold(true);
    let (first, second) = (ask(&all), ask(&all));
    driver.seen(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    driver.seen(1).await;
    driver.through.add_permits(1);
    assert!(!second.await.unwrap().unwrap());
    assert_eq!(driver.reads(), 2);
}

#[tokio::test]
async fn a_change_that_fails_or_is_given_up_leaves_nothing_stale() {
    let (driver, _hands, all) = held();
    assert!(!all.can("acme", "sso").await.unwrap());
    // Somebody else's change, and one of ours that changes nothing: what is kept goes anyway.
    let other = service(driver.clone(), &Hands::at(0)).build();
    other
        .assign("acme", "growth", By::hand("bob"))
        .await
        .unwrap();
    assert!(!all.can("acme", "sso").await.unwrap());
    assert!(all.assign("acme", "gold", By::hand("ann")).await.is_err());
    assert!(all.can("acme", "sso").await.unwrap());
}

#[tokio::test]
async fn kum_39_49_on_postgresql_other_processes_are_told() {
    let place = Place::postgres().await;
    let hands = Hands::at(0);
    let here = service(place.open().await, &hands).build();
    here.setup().await.unwrap();
    let there = service(place.open().await, &hands).build();
    assert!(!there.can("acme", "sso").await.unwrap());
    assert!(!there.can("other", "sso").await.unwrap());
    // The hands stand still: nothing that is kept there grows old.
    here.assign("acme", "growth", By::hand("ann"))
        .await
        .unwrap();
    until(&there, "acme", true).await;
    assert!(!there.can("other", "sso").await.unwrap());
    here.set_switch("sso", false, "ann", None).await.unwrap();
    until(&there, "acme", false).await;
    here.set_switch("sso", true, "ann", None).await.unwrap();
    until(&there, "acme", true).await;
    here.unassign("acme").await.unwrap();
    until(&there, "acme", false).await;
    let set = Overrides::default().feature("sso", true);
    here.override_("acme", set).await.unwrap();
    until(&there, "acme", true).await;
}

#[tokio::test]
async fn on_postgresql_listening_goes_on_after_the_connection_is_lost() {
    let place = Place::postgres().await;
    let hands = Hands::at(0);
    let here = service(place.open().await, &hands).build();
    here.setup().await.unwrap();
    let there = service(place.open().await, &hands).build();
    here.assign("acme", "growth", By::hand("ann"))
        .await
        .unwrap();
    until(&there, "acme", true).await;
    place.cut_listeners().await;
    here.unassign("acme").await.unwrap();
    until(&there, "acme", false).await;
    here.assign("acme", "growth", By::hand("ann"))
        .await
        .unwrap();
    until(&there, "acme", true).await;
}

#[tokio::test]
async fn on_postgresql_nobody_listens_for_a_service_that_is_gone() {
    let place = Place::postgres().await;
    let driver = place.open().await;
    let gone = Entitlements::builder(driver, catalog("basic")).build();
    gone.setup().await.unwrap();
    while place.listeners().await == 0 {
        tokio::task::yield_now().await;
    }
    drop(gone);
    while place.listeners().await > 0 {
        tokio::task::yield_now().await;
    }
}

/// Waits until `sso` is answered so. The test runner ends what waits for ever.
async fn until(all: &Entitlements, subject: &str, can: bool) {
    while all.can(subject, "sso").await.unwrap() != can {
        tokio::task::yield_now().await;
    }
}
