//! Counting: aggregates, keys, times, and taking from a limit.

use super::*;
use futures_util::future::join_all;

#[tokio::test]
async fn met_3_an_unknown_metric_is_an_error_that_lists_those_there_are() {
    for bench in each().await {
        let meter = &bench.meter;
        let events = [
            Event::quantity("api_calls", 1),
            Event::quantity("apicalls", 1),
            Event::quantity("seat", 1),
        ];
        let error = meter
            .record_all("s-1", &events)
            .await
            .unwrap_err()
            .to_string();
        let expected = "unknown metric `apicalls`, `seat`; the metrics are `api_calls`, `peak`, \
            `stored`, `seats`, `mails`";
        assert_eq!(error, expected);
        for error in [
            meter.used("s-1", "apicalls", None).await.unwrap_err(),
            meter.check("s-1", "apicalls", 1).await.unwrap_err(),
            meter
                .check_and_consume("s-1", &events[1], Limit::Unlimited)
                .await
                .unwrap_err(),
        ] {
            assert!(matches!(error, MeterError::UnknownMetric { .. }), "{error}");
        }
        // None of the three was recorded.
        assert_eq!(bench.used("api_calls").await, 0);
    }
}

#[tokio::test]
async fn met_4_sum_adds_max_keeps_the_highest_last_the_latest_and_unique_counts_different_ones() {
    for bench in each().await {
        assert_eq!(
            [
                bench.add("api_calls", 2).await,
                bench.add("api_calls", 3).await
            ],
            [2, 5]
        );
        let peaks = [4, 9, 1];
        for (peak, highest) in peaks.into_iter().zip([4, 9, 9]) {
            assert_eq!(bench.add("peak", peak).await, highest);
        }
        let stored = async |quantity, at| {
            let event = Event::quantity("stored", quantity).at(time(at));
            bench.meter.record("s-1", &event).await.unwrap().used
        };
        assert_eq!(stored(70, "2026-11-20T10:00:00Z").await, 70);
        assert_eq!(stored(50, "2026-11-20T11:00:00Z").await, 50);
        // It comes late, and is older.
        assert_eq!(stored(90, "2026-11-20T10:30:00Z").await, 50);
        // Of two of one time, the one that was told later holds.
        assert_eq!(stored(40, "2026-11-20T11:00:00Z").await, 40);
        for (value, count) in [("u-1", 1), ("u-2", 2), ("u-1", 2)] {
            let event = Event::value("seats", value);
            assert_eq!(bench.meter.record("s-1", &event).await.unwrap().used, count);
        }
        // Nobody else's.
        assert_eq!(
            bench.meter.used("s-2", "seats", None).await.unwrap().used,
            0
        );
    }
}

#[tokio::test]
async fn met_5_different_ones_need_a_value_and_the_others_a_quantity() {
    for bench in each().await {
        let meter = &bench.meter;
        let error = meter
            .record("s-1", &Event::quantity("seats", 1))
            .await
            .unwrap_err();
        assert!(matches!(error, MeterError::NeedsValue(_)), "{error}");
        for metric in ["api_calls", "peak", "stored"] {
            let error = meter
                .record("s-1", &Event::value(metric, "7"))
                .await
                .unwrap_err();
            assert!(matches!(error, MeterError::NeedsQuantity(_)), "{error}");
        }
        for text in ["", "a\nb", &"x".repeat(257)] {
            let error = meter
                .record(text, &Event::quantity("peak", 1))
                .await
                .unwrap_err();
            assert!(matches!(error, MeterError::NotASubject(_)), "{error}");
            for event in [
                Event::value("seats", text),
                Event::quantity("peak", 1).once(text),
            ] {
                let error = meter.record("s-1", &event).await.unwrap_err();
                assert!(matches!(error, MeterError::Text(_)), "{error}");
            }
        }
        // What a sum of whole numbers cannot hold is an error, and counts nothing.
        let most = u64::try_from(i64::MAX).unwrap();
        assert_eq!(bench.add("api_calls", most).await, most);
        for quantity in [1, most, u64::MAX] {
            let event = Event::quantity("api_calls", quantity);
            let error = meter.record("s-1", &event).await.unwrap_err();
            assert!(matches!(error, MeterError::Overflow(_)), "{error}");
            let consumed = meter
                .check_and_consume("s-1", &event, Limit::Unlimited)
                .await;
            assert!(
                matches!(consumed, Err(MeterError::Overflow(_))),
                "{consumed:?}"
            );
        }
        let batch = [Event::quantity("peak", 5), Event::quantity("api_calls", 1)];
        meter.record_all("s-1", &batch).await.unwrap_err();
        assert_eq!(
            (bench.used("api_calls").await, bench.used("peak").await),
            (most, 0)
        );
        // The month before is as full; both together are too many.
        let before = Event::quantity("api_calls", most).at(time("2026-10-10T00:00:00Z"));
        meter.record("s-1", &before).await.unwrap();
        for window in ["60 days", "year"] {
            let total = meter
                .used("s-1", "api_calls", Some(window.parse().unwrap()))
                .await;
            assert!(matches!(total, Err(MeterError::Overflow(_))), "{total:?}");
        }
    }
}

#[tokio::test]
async fn met_6_recording_returns_the_aggregate_of_the_bucket_with_its_unit() {
    for bench in each().await {
        let events = [
            Event::quantity("mails", 2),
            Event::value("seats", "u-1"),
            Event::quantity("mails", 3),
            Event::quantity("mails", 7).at(time("2026-11-20T23:59:59Z")),
        ];
        let recorded = bench.meter.record_all("s-1", &events).await.unwrap();
        let shown = recorded
            .iter()
            .map(|one| (&*one.metric, one.used, &*one.unit));
        let expected = [
            ("mails", 2, "mail"),
            ("seats", 1, "user"),
            ("mails", 5, "mail"),
            ("mails", 7, "mail"),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        let day = Stretch {
            from: time("2026-11-20T00:00:00Z"),
            to: time("2026-11-21T00:00:00Z"),
        };
        assert_eq!(recorded[3].bucket, day);
    }
}

#[tokio::test]
async fn met_7_a_key_counts_once_for_a_subject_and_never_for_another_event() {
    for bench in each().await {
        let meter = &bench.meter;
        let event = Event::quantity("mails", 2).once("k-1");
        let record = async |subject, event: &Event| {
            let recorded = meter.record(subject, event).await.unwrap();
            (recorded.used, recorded.repeated)
        };
        assert_eq!(record("s-1", &event).await, (2, false));
        assert_eq!(record("s-1", &event).await, (2, true));
        assert_eq!(record("s-2", &event).await, (2, false));
        bench.add("mails", 5).await;
        // On the next day it is still the event of this one.
        bench.move_to("2026-11-22T12:00:00Z");
        assert_eq!(record("s-1", &event).await, (7, true));
        assert_eq!(bench.used("mails").await, 0);
        for other in [
            Event::quantity("mails", 3).once("k-1"),
            Event::quantity("api_calls", 2).once("k-1"),
        ] {
            let error = meter.record("s-1", &other).await.unwrap_err();
            assert!(matches!(error, MeterError::KeyReused(_)), "{error}");
        }
        // Twice in one batch is once.
        let twice = [
            Event::value("seats", "u-1").once("k-2"),
            Event::value("seats", "u-1").once("k-2"),
        ];
        let recorded = meter.record_all("s-1", &twice).await.unwrap();
        assert_eq!([recorded[0].repeated, recorded[1].repeated], [false, true]);
        // A batch that is refused takes no keys.
        let batch = [
            Event::quantity("mails", 1).once("k-3"),
            Event::quantity("mails", u64::MAX),
        ];
        meter.record_all("s-1", &batch).await.unwrap_err();
        let batch = [
            Event::quantity("mails", 1).once("k-3"),
            Event::quantity("mails", 1),
            Event::quantity("mails", i64::MAX.unsigned_abs()),
        ];
        meter.record_all("s-1", &batch).await.unwrap_err();
        assert_eq!(record("s-1", &batch[0]).await, (1, false));

        let told = join_all((0..50).map(|_| {
            let event = Event::quantity("api_calls", 1).once("at-once");
            async move { meter.record("s-1", &event).await.unwrap() }
        }));
        let told = told.await;
        assert!(told.iter().all(|recorded| recorded.used == 1), "{told:?}");
        assert_eq!(told.iter().filter(|recorded| !recorded.repeated).count(), 1);
    }
}

#[tokio::test]
async fn met_8_an_event_of_another_time_counts_then() {
    for bench in each().await {
        let event = Event::quantity("mails", 4);
        let late = event.clone().at(time("2026-11-19T08:00:00+01:00"));
        bench.meter.record("s-1", &late).await.unwrap();
        assert_eq!(bench.used("mails").await, 0);
        assert_eq!(
            bench
                .used_in("mails", "2026-11-19T00:00:00Z/2026-11-20T00:00:00Z")
                .await,
            4
        );
        // Clocks may differ a little.
        let ahead = event.clone().at(time("2026-11-21T12:05:00Z"));
        bench.meter.record("s-1", &ahead).await.unwrap();
        let ahead = event.at(time("2026-11-21T12:05:00.000001Z"));
        let error = bench.meter.record("s-1", &ahead).await.unwrap_err();
        assert!(matches!(error, MeterError::Ahead(_)), "{error}");
    }
}

#[tokio::test]
async fn met_10_12_windows_of_the_calendar_roll_differently_and_ranges_are_half_open() {
    for bench in each().await {
        for (at, quantity) in [
            ("2026-10-31T23:59:59.999999Z", 1),
            ("2026-11-01T00:00:00Z", 10),
            ("2026-11-20T12:00:00Z", 100),
            ("2026-11-21T12:00:00Z", 1000),
        ] {
            for metric in ["api_calls", "peak", "stored"] {
                let event = Event::quantity(metric, quantity).at(time(at));
                bench.meter.record("s-1", &event).await.unwrap();
            }
            let event = Event::value("seats", &format!("u-{}", quantity % 99)).at(time(at));
            bench.meter.record("s-1", &event).await.unwrap();
        }
        let read = async |window| {
            let mut all = Vec::new();
            for metric in ["api_calls", "peak", "stored", "seats"] {
                all.push(bench.used_in(metric, window).await);
            }
            all
        };
        for (window, expected) in [
            // Its own bucket, then one of another period, which ends in the future.
            ("month", [1110, 1000, 1000, 2]),
            ("day", [1000, 1000, 1000, 1]),
            ("year", [1111, 1000, 1000, 2]),
            // Now belongs to it, and so does its beginning.
            ("1 day", [1100, 1000, 1000, 2]),
            ("23 hours", [1000, 1000, 1000, 1]),
            ("1 month", [1111, 1000, 1000, 2]),
            // Whole buckets, and others.
            ("2026-10-01T00:00:00Z/2026-11-01T00:00:00Z", [1, 1, 1, 1]),
            (
                "2026-10-01T00:00:00Z/2026-12-01T00:00:00Z",
                [1111, 1000, 1000, 2],
            ),
            (
                "2026-11-20T12:00:00Z/2026-11-21T12:00:00Z",
                [100, 100, 100, 1],
            ),
            ("2026-11-02T00:00:00Z/2026-11-03T00:00:00Z", [0, 0, 0, 0]),
        ] {
            assert_eq!(read(window).await, expected, "{window}");
        }
    }
}

#[tokio::test]
async fn met_13_a_check_allows_strictly_below_the_limit_alone() {
    for bench in each().await {
        bench.add("api_calls", 9).await;
        let check = async |limit| {
            let checked = bench.meter.check("s-1", "api_calls", limit).await.unwrap();
            (checked.allowed, checked.used, checked.remaining)
        };
        assert_eq!(check(10).await, (true, 9, 1));
        assert_eq!(check(9).await, (false, 9, 0));
        assert_eq!(check(4).await, (false, 9, 0));
    }
}

#[tokio::test]
async fn met_14_a_summary_has_every_metric() {
    for bench in each().await {
        bench.add("peak", 3).await;
        let summary = bench.meter.summary("s-1", None).await.unwrap();
        let shown = summary.iter().map(|usage| (&*usage.metric, usage.used));
        let expected = [
            ("api_calls", 0),
            ("peak", 3),
            ("stored", 0),
            ("seats", 0),
            ("mails", 0),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        assert_eq!(summary[4].stretch.from, time("2026-11-21T00:00:00Z"));
        assert_eq!(summary[0].stretch.from, time("2026-11-01T00:00:00Z"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn met_16_checking_and_then_recording_may_pass_a_limit_and_consuming_never_does() {
    for bench in each().await {
        let meter = &bench.meter;
        let event = Event::quantity("api_calls", 1);
        // Both have checked before either records.
        let checked = join_all([(); 2].map(|()| meter.check("s-1", "api_calls", 1))).await;
        assert!(
            checked
                .iter()
                .all(|checked| checked.as_ref().unwrap().allowed)
        );
        meter.record("s-1", &event).await.unwrap();
        // What is returned tells the one who was too late.
        assert_eq!(meter.record("s-1", &event).await.unwrap().used, 2);

        for round in 0..5 {
            let subject = format!("race-{round}");
            let places = 7;
            let asked = (0..50).map(|_| {
                let (meter, event, subject) = (meter.clone(), event.clone(), subject.clone());
                tokio::spawn(async move {
                    meter
                        .check_and_consume(&subject, &event, Limit::Count(places))
                        .await
                })
            });
            let asked = join_all(asked).await;
            let consumed = asked.into_iter().map(|one| one.unwrap().unwrap());
            let (allowed, denied): (Vec<_>, Vec<_>) = consumed.partition(|one| one.allowed);
            assert_eq!((allowed.len(), denied.len()), (7, 43));
            let mut used: Vec<u64> = allowed.iter().map(|one| one.used).collect();
            used.sort_unstable();
            assert_eq!(used, [1, 2, 3, 4, 5, 6, 7]);
            assert!(
                denied
                    .iter()
                    .all(|one| one.used == 7 && one.remaining == Some(0))
            );
            let used = meter.used(&subject, "api_calls", None).await.unwrap();
            assert_eq!(used.used, 7);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn met_16_exactly_as_many_different_ones_get_a_place_as_there_are() {
    for bench in each().await {
        let meter = &bench.meter;
        let asked = (0..50).map(|nth| {
            let (meter, event) = (meter.clone(), Event::value("seats", &format!("u-{nth}")));
            tokio::spawn(async move {
                let consumed = meter
                    .check_and_consume("s-1", &event, Limit::Count(9))
                    .await;
                (event, consumed.unwrap())
            })
        });
        let asked: Vec<_> = join_all(asked)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            asked
                .iter()
                .filter(|(_, consumed)| consumed.allowed)
                .count(),
            9
        );
        for (event, consumed) in &asked {
            // Who has a place keeps it; who has none gets none.
            let again = meter
                .check_and_consume("s-1", event, Limit::Count(9))
                .await
                .unwrap();
            assert_eq!((again.allowed, again.used), (consumed.allowed, 9));
        }
        meter.rebuild(None).await.unwrap();
        assert_eq!(bench.used("seats").await, 9);
    }
}

#[tokio::test]
async fn ent_32_33_34_consuming_tells_what_is_used_and_left_and_denies_at_the_limit() {
    for bench in each().await {
        let meter = &bench.meter;
        let take = async |quantity, limit| {
            let event = Event::quantity("api_calls", quantity);
            let consumed = meter.check_and_consume("s-1", &event, limit).await.unwrap();
            (consumed.allowed, consumed.used, consumed.remaining)
        };
        assert_eq!(take(1, Limit::Count(0)).await, (false, 0, Some(0)));
        assert_eq!(take(3, Limit::Count(5)).await, (true, 3, Some(2)));
        // All or nothing.
        assert_eq!(take(3, Limit::Count(5)).await, (false, 3, Some(2)));
        assert_eq!(take(2, Limit::Count(5)).await, (true, 5, Some(0)));
        assert_eq!(take(1, Limit::Count(5)).await, (false, 5, Some(0)));
        assert_eq!(take(9, Limit::Unlimited).await, (true, 14, None));
        // A limit that was lowered.
        assert_eq!(take(1, Limit::Count(5)).await, (false, 14, Some(0)));

        let keyed = Event::quantity("api_calls", 1).once("k-1");
        let take = async |limit| {
            let consumed = meter.check_and_consume("s-1", &keyed, limit).await.unwrap();
            (consumed.allowed, consumed.used, consumed.receipt.is_some())
        };
        // Who was denied may ask again under the same key.
        assert_eq!(take(Limit::Count(14)).await, (false, 14, false));
        assert_eq!(take(Limit::Count(15)).await, (true, 15, true));
        assert_eq!(take(Limit::Count(15)).await, (true, 15, false));
        let nothing = Event::quantity("api_calls", 0);
        let error = meter
            .check_and_consume("s-1", &nothing, Limit::Unlimited)
            .await
            .unwrap_err();
        assert!(matches!(error, MeterError::Nothing), "{error}");
        for metric in ["peak", "stored"] {
            let event = Event::quantity(metric, 1);
            let error = meter
                .check_and_consume("s-1", &event, Limit::Unlimited)
                .await
                .unwrap_err();
            assert!(matches!(error, MeterError::NotConsumable(_)), "{error}");
        }
    }
}

#[tokio::test]
async fn ent_32_33_34_36_37_a_limit_of_entitlements_counts_the_metric_of_its_name() {
    use crate::{By, Catalog, Entitlements, TierGrants};
    for bench in each().await {
        let catalog = Catalog::builder()
            .tier(
                TierGrants::new("basic")
                    .limit("api_calls", Limit::Count(3))
                    .limit("sso", Limit::Count(1)),
            )
            .tier(TierGrants::new("growth").limit("api_calls", Limit::Unlimited))
            .default_tier("basic")
            .build()
            .unwrap();
        let driver = Arc::new(crate::driver::Memory::new());
        let builder = Entitlements::builder(driver, catalog);
        let entitlements = builder.usage(Arc::new(bench.meter.clone())).build();
        let check = async || {
            let check = entitlements.check("s-1", "api_calls").await.unwrap();
            assert_eq!((&*check.unit, &*check.feature), ("call", "api_calls"));
            (check.allowed, check.used, check.remaining, check.limit)
        };
        assert_eq!(check().await, (true, 0, Some(3), Limit::Count(3)));
        bench.add("api_calls", 3).await;
        assert_eq!(check().await, (false, 3, Some(0), Limit::Count(3)));
        bench.add("api_calls", 4).await;
        assert_eq!(check().await, (false, 7, Some(0), Limit::Count(3)));
        entitlements
            .assign("s-1", "growth", By::hand("ann"))
            .await
            .unwrap();
        assert_eq!(check().await, (true, 7, None, Limit::Unlimited));
        let error = entitlements
            .check("s-1", "sso")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("unknown metric `sso`; the metrics are"),
            "{error}"
        );
    }
}
