//! What is kept: rebuilding from events, and forgetting them.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

/// Events of all metrics, some of them told twice.
fn some_events() -> impl Strategy<Value = Vec<(bool, Event)>> {
    let start = time("2026-11-21T12:00:00Z").as_microsecond();
    let event = (
        0..5_usize,
        0..40_u64,
        0..90_i64,
        0..3_u8,
        any::<bool>(),
        any::<bool>(),
    );
    let event = event.prop_map(move |(metric, amount, hours, key, is_now, is_other)| {
        let name = ["api_calls", "peak", "stored", "seats", "mails"][metric];
        let event = match name {
            "seats" => Event::value(name, &format!("u-{}", amount % 7)),
            _ => Event::quantity(name, amount),
        };
        let at = Timestamp::from_microsecond(start - hours * 3_600_000_000).unwrap();
        let event = if is_now { event } else { event.at(at) };
        let event = match key {
            0 => event.once(&format!("{name}-{amount}")),
            _ => event,
        };
        (is_other, event)
    });
    prop::collection::vec(event, 1..60)
}

#[tokio::test]
async fn met_15_a_rebuild_makes_the_same_aggregates_again_on_every_store() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..8 {
        let events = some_events().new_tree(&mut runner).unwrap().current();
        let mut seen = Vec::new();
        for bench in each().await {
            for (is_other, event) in &events {
                let subject = if *is_other { "s-2" } else { "s-1" };
                bench.meter.record(subject, event).await.unwrap();
            }
            let before = bench.all().await;
            bench.meter.rebuild(Some("s-1")).await.unwrap();
            assert_eq!(bench.all().await, before);
            bench.meter.rebuild(None).await.unwrap();
            assert_eq!(bench.all().await, before);
            // Counting goes on from there, with the values of before.
            for (_, event) in &events {
                let event = Event {
                    key: None,
                    ..event.clone()
                };
                bench.meter.record("s-1", &event).await.unwrap();
            }
            let after = bench.all().await;
            bench.meter.rebuild(None).await.unwrap();
            assert_eq!(bench.all().await, after);
            seen.push((before, after));
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
    }
}

#[tokio::test]
async fn met_15_what_was_spoilt_is_mended_for_one_subject_or_for_all() {
    for bench in each().await {
        let Some(database) = &bench.database else {
            continue;
        };
        for subject in ["s-1", "s-2"] {
            for event in [
                Event::quantity("api_calls", 5),
                Event::quantity("peak", 6),
                Event::quantity("stored", 7),
                Event::value("seats", "u-1"),
                Event::value("seats", "u-2"),
            ] {
                bench.meter.record(subject, &event).await.unwrap();
            }
        }
        let good = bench.all().await;
        database
            .run("UPDATE of_a_test_usage SET value = value + 40")
            .await;
        database
            .run("UPDATE of_a_test_usage_values SET value = 'nobody' WHERE value = 'u-2'")
            .await;
        bench.meter.rebuild(Some("s-1")).await.unwrap();
        let (first, second) = (
            bench.used("seats").await,
            bench.meter.used("s-2", "seats", None),
        );
        assert_eq!((first, second.await.unwrap().used), (2, 42));
        database.run("DELETE FROM of_a_test_usage").await;
        bench.meter.rebuild(None).await.unwrap();
        assert_eq!(bench.all().await, good);
        for value in ["u-1", "u-2", "u-2"] {
            let event = Event::value("seats", value);
            assert_eq!(bench.meter.record("s-2", &event).await.unwrap().used, 2);
        }
    }
}

/// A rebuild never loses what is recorded while it runs.
#[tokio::test(flavor = "multi_thread")]
async fn met_15_recording_goes_on_beside_a_rebuild() {
    for bench in each().await {
        let spawned = (0..40).map(|nth: u64| {
            let meter = bench.meter.clone();
            tokio::spawn(async move {
                if nth.is_multiple_of(8) {
                    return meter.rebuild(None).await.unwrap();
                }
                let events = [
                    Event::value("seats", &format!("u-{}", nth % 5)),
                    Event::quantity("api_calls", 1),
                    Event::quantity("mails", 1).once(&format!("k-{nth}")),
                ];
                meter.record_all("s-1", &events).await.unwrap();
            })
        });
        for done in futures_util::future::join_all(spawned).await {
            done.unwrap();
        }
        for _ in 0..2 {
            let used = (
                bench.used("seats").await,
                bench.used("api_calls").await,
                bench.used("mails").await,
            );
            assert_eq!(used, (5, 35, 35));
            bench.meter.rebuild(None).await.unwrap();
        }
    }
}

#[tokio::test]
async fn met_7_8_15_what_is_forgotten_is_refused_and_what_was_counted_stays() {
    for bench in each().await {
        let meter = &bench.meter;
        let old = Event::quantity("api_calls", 4)
            .at(time("2026-08-03T00:00:00Z"))
            .once("old");
        let seat = Event::value("seats", "u-1").at(time("2026-08-03T00:00:00Z"));
        let edge = Event::quantity("api_calls", 5).at(time("2026-09-20T00:00:00Z"));
        let mail = Event::quantity("mails", 6).at(time("2026-09-20T00:00:00Z"));
        bench.move_to("2026-09-20T00:00:00Z");
        for event in [&old, &seat, &edge, &mail] {
            meter.record("s-1", event).await.unwrap();
        }
        bench.move_to("2026-11-21T12:00:00Z");
        bench.add("api_calls", 1).await;
        // Events of August and of the first half of September go.
        meter.prune(time("2026-09-15T00:00:00Z")).await.unwrap();
        let whole = "2026-08-01T00:00:00Z/2026-12-01T00:00:00Z";
        let august = "2026-08-01T00:00:00Z/2026-09-01T00:00:00Z";
        for _ in 0..2 {
            assert_eq!(bench.used_in("api_calls", whole).await, 10);
            assert_eq!(bench.used_in("seats", august).await, 1);
            meter.rebuild(None).await.unwrap();
        }
        let part = Window::Range(Stretch {
            from: time("2026-08-02T00:00:00Z"),
            to: time("2026-09-01T00:00:00Z"),
        });
        for window in [part, "90 days".parse().unwrap()] {
            let error = meter
                .used("s-1", "api_calls", Some(window))
                .await
                .unwrap_err();
            assert!(matches!(error, MeterError::Forgotten(_)), "{error}");
        }
        // Different ones of several buckets are counted from events.
        let many = Window::Range(Stretch {
            from: time("2026-08-01T00:00:00Z"),
            to: time("2026-10-01T00:00:00Z"),
        });
        let error = meter.used("s-1", "seats", Some(many)).await.unwrap_err();
        assert!(matches!(error, MeterError::Forgotten(_)), "{error}");
        assert_eq!(bench.used_in("mails", "67 days").await, 6);
        // The key is kept from when it was used, and its event cannot come again either.
        assert!(
            meter
                .record("s-1", &old)
                .await
                .unwrap_err()
                .to_string()
                .contains("too long ago")
        );
        let late = Event::quantity("api_calls", 1).at(time("2026-09-14T23:59:59Z"));
        assert!(matches!(
            meter.record("s-1", &late).await,
            Err(MeterError::TooOld { .. })
        ));
        let late = late.at(time("2026-09-15T00:00:00Z"));
        assert_eq!(meter.record("s-1", &late).await.unwrap().used, 6);
        // What is forgotten stays so.
        meter.prune(time("2026-09-01T00:00:00Z")).await.unwrap();
        let late = late.at(time("2026-09-14T23:59:59Z"));
        assert!(matches!(
            meter.record("s-1", &late).await,
            Err(MeterError::TooOld { .. })
        ));
        let reused = Event::quantity("peak", 1).once("old");
        let error = meter.record("s-1", &reused).await.unwrap_err();
        assert!(matches!(error, MeterError::KeyReused(_)), "{error}");
        meter
            .prune(time("2026-09-20T00:00:00.000001Z"))
            .await
            .unwrap();
        assert!(!meter.record("s-1", &reused).await.unwrap().repeated);
    }
}

/// A vendor counts by day what was counted by month.
#[tokio::test]
async fn met_15_a_metric_that_is_counted_differently_starts_anew_until_it_is_rebuilt() {
    let declared = |period| {
        let metrics = Metrics::builder()
            .metric("calls", "call", Aggregate::Sum)
            .per(period);
        metrics.build().unwrap()
    };
    let now = Clock::by(|| time("2026-11-01T12:00:00Z"));
    let memory = Memory::default();
    let meter = |period| Meter::in_memory(declared(period), memory.clone(), now.clone());
    let event = Event::quantity("calls", 3);
    meter(Period::Month).record("s-1", &event).await.unwrap();
    let by_day = meter(Period::Day);
    // The day begins when the month did; what was counted for that is not this.
    assert_eq!(by_day.record("s-1", &event).await.unwrap().used, 3);
    by_day.rebuild(None).await.unwrap();
    assert_eq!(by_day.record("s-1", &event).await.unwrap().used, 9);
}
