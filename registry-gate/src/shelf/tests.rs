//! One load at a time, shared by all who wait, and never older than an invalidation.

use std::sync::atomic::AtomicUsize;

use activation_token::clock::SettableClock;
use tokio::sync::Notify;

use super::*;

const BOUNDS: Bounds<usize> = Bounds {
    names: 10,
    bytes: 100,
    weigh: |_| 40,
};

struct Fixture {
    shelf: Arc<Shelf<usize, &'static str>>,
    clock: Arc<SettableClock>,
    name: PackageName,
    /// Loads begun.
    begun: Arc<AtomicUsize>,
    /// Lets one load end.
    gate: Arc<Notify>,
}

impl Fixture {
    fn new() -> Self {
        let clock = Arc::new(SettableClock::at(Timestamp::UNIX_EPOCH));
        let fresh_for = SignedDuration::from_secs(10);
        Self {
            shelf: Arc::new(Shelf::new(BOUNDS, fresh_for, clock.clone())),
            clock,
            name: "@acme/order".parse().unwrap(),
            begun: Arc::default(),
            gate: Arc::default(),
        }
    }

    /// Asks; a load gives the number of the load, or fails.
    fn ask(&self, good: bool) -> tokio::task::JoinHandle<Loaded<usize, &'static str>> {
        let (asked, name) = (Arc::clone(&self.shelf), self.name.clone());
        let (begun, gate) = (Arc::clone(&self.begun), Arc::clone(&self.gate));
        tokio::spawn(async move {
            let load = async |_| {
                let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                gate.notified().await;
                if good {
                    Ok(Some(Arc::new(number)))
                } else {
                    Err("no")
                }
            };
            asked.get(&name, load).await
        })
    }

    /// Lets everybody go on until all of them wait for something.
    async fn settle(&self) {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

fn number(loaded: Loaded<usize, &'static str>) -> usize {
    *loaded.unwrap().unwrap()
}

#[tokio::test]
async fn many_who_ask_share_one_load_until_it_is_old() {
    let fixture = Fixture::new();
    let asked: Vec<_> = (0..50).map(|_| fixture.ask(true)).collect();
    fixture.settle().await;
    fixture.gate.notify_one();
    for ask in asked {
        assert_eq!(number(ask.await.unwrap()), 1);
    }
    assert_eq!(number(fixture.ask(true).await.unwrap()), 1);
    assert_eq!(fixture.begun(), 1);

    fixture.clock.advance_seconds(10);
    fixture.gate.notify_one();
    assert_eq!(number(fixture.ask(true).await.unwrap()), 2);
    fixture.clock.advance_seconds(-5);
    fixture.gate.notify_one();
    assert_eq!(number(fixture.ask(true).await.unwrap()), 3);
}

#[tokio::test]
async fn a_failure_is_shared_and_not_kept() {
    let fixture = Fixture::new();
    let asked: Vec<_> = (0..50).map(|_| fixture.ask(false)).collect();
    fixture.settle().await;
    fixture.gate.notify_one();
    for ask in asked {
        assert_eq!(ask.await.unwrap(), Err("no"));
    }
    assert_eq!(fixture.begun(), 1);
    fixture.gate.notify_one();
    assert_eq!(number(fixture.ask(true).await.unwrap()), 2);
}

#[tokio::test]
async fn who_asks_after_an_invalidation_never_gets_what_was_being_loaded_before() {
    let fixture = Fixture::new();
    let before = fixture.ask(true);
    fixture.settle().await;
    fixture.shelf.invalidate(&fixture.name);
    let after = fixture.ask(true);
    fixture.settle().await;
    fixture.gate.notify_one();
    assert_eq!(number(before.await.unwrap()), 1);
    fixture.gate.notify_one();
    assert_eq!(number(after.await.unwrap()), 2);
    // The old state was not kept either.
    assert_eq!(number(fixture.ask(true).await.unwrap()), 2);
}

#[tokio::test]
async fn a_leader_that_goes_away_is_replaced() {
    let fixture = Fixture::new();
    let leader = fixture.ask(true);
    fixture.settle().await;
    let follower = fixture.ask(true);
    fixture.settle().await;
    leader.abort();
    fixture.settle().await;
    fixture.gate.notify_one();
    assert_eq!(number(follower.await.unwrap()), 2);
}

/// Asks for a name, and tells whether something was there to load it from.
async fn had_last(fixture: &Fixture, name: &str) -> bool {
    let (name, mut had) = (name.parse().unwrap(), false);
    fixture.clock.advance_seconds(1);
    let load = |last: Option<Arc<usize>>| {
        had = last.is_some();
        std::future::ready(Ok(Some(last.unwrap_or_default())))
    };
    fixture.shelf.invalidate(&name);
    fixture.shelf.get(&name, load).await.unwrap();
    had
}

#[tokio::test]
async fn what_is_old_goes_when_there_are_too_many_bytes_and_in_need_all_of_it() {
    let fixture = Fixture::new();
    let taken = || fixture.shelf.taken.load(Ordering::SeqCst);
    assert!(!had_last(&fixture, "a").await);
    fixture.clock.advance_seconds(10);
    assert!(!had_last(&fixture, "b").await);
    assert!(had_last(&fixture, "b").await);
    assert_eq!(taken(), 80);
    // `a` is old, and goes for `c`.
    assert!(!had_last(&fixture, "c").await);
    assert_eq!(taken(), 80);
    assert!(had_last(&fixture, "b").await);
    assert!(had_last(&fixture, "c").await);
    // Nothing is old: all goes.
    assert!(!had_last(&fixture, "a").await);
    assert_eq!(taken(), 0);
    assert!(!had_last(&fixture, "b").await);
}
