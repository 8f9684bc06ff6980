//! One suite over every store: in memory, on SQLite and on PostgreSQL.

mod caps;
mod counting;
mod databases;
mod kept;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use manifest::{Aggregate, CapProfile, Limit, Period};

use super::*;
use crate::Clock;

/// A meter, its time, and what its database needs to live.
pub(super) struct Bench {
    pub(super) meter: Meter,
    now: Arc<AtomicI64>,
    pub(super) database: Option<databases::Database>,
}

pub(super) fn metrics() -> Metrics {
    Metrics::builder()
        .metric("api_calls", "call", Aggregate::Sum)
        .metric("peak", "connection", Aggregate::Max)
        .metric("stored", "byte", Aggregate::Last)
        .metric("seats", "user", Aggregate::Unique)
        .metric("mails", "mail", Aggregate::Sum)
        .per(Period::Day)
        .capped(CapProfile::Burstable)
        .build()
        .unwrap()
}

impl Bench {
    fn with(open: impl FnOnce(Clock) -> Meter) -> Self {
        let now = Arc::new(AtomicI64::new(
            time("2026-11-21T12:00:00Z").as_microsecond(),
        ));
        let reads = Arc::clone(&now);
        let clock =
            Clock::by(move || Timestamp::from_microsecond(reads.load(Ordering::SeqCst)).unwrap());
        Self {
            meter: open(clock),
            now,
            database: None,
        }
    }

    pub(super) fn move_to(&self, text: &str) {
        self.now
            .store(time(text).as_microsecond(), Ordering::SeqCst);
    }

    /// Records a quantity, now.
    pub(super) async fn add(&self, metric: &str, quantity: u64) -> u64 {
        let event = Event::quantity(metric, quantity);
        self.meter.record("s-1", &event).await.unwrap().used
    }

    pub(super) async fn used(&self, metric: &str) -> u64 {
        self.meter.used("s-1", metric, None).await.unwrap().used
    }

    pub(super) async fn used_in(&self, metric: &str, window: &str) -> u64 {
        let window = match window.split_once('/') {
            Some((from, to)) => Window::Range(Stretch {
                from: time(from),
                to: time(to),
            }),
            None => window.parse().unwrap(),
        };
        self.meter
            .used("s-1", metric, Some(window))
            .await
            .unwrap()
            .used
    }

    /// Everything there is to see of every subject.
    pub(super) async fn all(&self) -> String {
        let mut all = Vec::new();
        for subject in ["s-1", "s-2"] {
            for window in [None, Some("day"), Some("year"), Some("30 days")] {
                let window = window.map(|text| text.parse().unwrap());
                let usage = self.meter.summary(subject, window).await.unwrap();
                all.push(format!("{usage:?}"));
            }
        }
        all.join("\n")
    }
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A new meter on each store.
pub(super) async fn each() -> Vec<Bench> {
    let memory = |clock| Meter::in_memory(metrics(), Memory::default(), clock);
    let mut all = vec![Bench::with(memory)];
    all.extend(databases::each().await);
    all
}

/// What a caller of axum needs.
#[tokio::test]
async fn everything_can_be_asked_from_any_task() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    for bench in each().await {
        let event = Event::quantity("api_calls", 1);
        let meter = bench.meter.clone();
        sent(meter.record("s-1", &event)).await.unwrap();
        sent(meter.check_and_consume("s-1", &event, Limit::Count(9)))
            .await
            .unwrap();
        sent(meter.summary("s-1", None)).await.unwrap();
        sent(meter.rebuild(None)).await.unwrap();
        sent(meter.prune(time("2026-01-01T00:00:00Z")))
            .await
            .unwrap();
        let work = async { Ok::<_, std::fmt::Error>(()) };
        sent(meter.reserved("s-1", &event, Limit::Unlimited, work))
            .await
            .unwrap();
        assert_eq!(
            crate::Usage::used(&meter, "s-1", "api_calls")
                .await
                .unwrap()
                .amount,
            3
        );
    }
}
