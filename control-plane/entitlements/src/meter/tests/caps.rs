//! Caps over a meter.

use futures_util::future::join_all;

use super::*;
use crate::caps::{Cap, CapState, Wrapped};

/// Mails are counted by day, with a soft cap at 11 and a hard one at 12 of 10.
const LIMIT: Limit = Limit::Count(10);

async fn take(meter: &Meter, quantity: u64) -> Consumed {
    let event = Event::quantity("mails", quantity);
    meter.check_and_consume("s-1", &event, LIMIT).await.unwrap()
}

#[tokio::test]
async fn kum_57_58_the_first_soft_hit_of_a_period_notifies_once() {
    for bench in each().await {
        let meter = &bench.meter;
        // Nothing was counted: that is 0.
        let first = take(meter, 11).await;
        assert_eq!(
            (first.allowed, first.state, first.notify),
            (true, CapState::Ok, false)
        );
        let soft = take(meter, 1).await;
        assert_eq!(
            (soft.allowed, soft.state, soft.notify),
            (true, CapState::Soft, true)
        );
        let hard = take(meter, 1).await;
        assert_eq!(
            (hard.allowed, hard.state, hard.notify),
            (false, CapState::Hard, false)
        );
        // A rebuild forgets nothing of it.
        meter.rebuild(None).await.unwrap();
        let event = Event::quantity("mails", 1);
        for state in [CapState::Ok, CapState::Soft] {
            // Soft from 13 on: somebody was told already.
            let wider = meter
                .check_and_consume("s-1", &event, Limit::Count(11))
                .await;
            let wider = wider.unwrap();
            assert_eq!((wider.state, wider.notify), (state, false));
        }
        // A new period starts fresh.
        bench.move_to("2026-11-22T00:00:00Z");
        take(meter, 11).await;
        assert!(take(meter, 1).await.notify);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kum_58_of_soft_hits_at_the_same_time_one_notifies() {
    for bench in each().await {
        bench.add("mails", 990).await;
        let asked = (0..30).map(|_| {
            let meter = bench.meter.clone();
            tokio::spawn(async move {
                let event = Event::quantity("mails", 1);
                meter
                    .check_and_consume("s-1", &event, Limit::Count(900))
                    .await
                    .unwrap()
            })
        });
        let asked: Vec<_> = join_all(asked)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(
            asked
                .iter()
                .all(|one| one.allowed && one.state == CapState::Soft)
        );
        assert_eq!(asked.iter().filter(|one| one.notify).count(), 1);
    }
}

#[tokio::test]
async fn kum_59_a_window_that_rolls_sums_events_and_notifies_each_time() {
    for bench in each().await {
        let meter = &bench.meter;
        for (at, quantity) in [("2026-11-12T00:00:00Z", 50), ("2026-11-15T00:00:00Z", 7)] {
            let event = Event::quantity("mails", quantity).at(time(at));
            meter.record("s-1", &event).await.unwrap();
        }
        bench.add("mails", 4).await;
        let cap = Cap::new(CapProfile::Burstable, LIMIT);
        let window: Window = "7 days".parse().unwrap();
        for _ in 0..2 {
            let usage = meter.used("s-1", "mails", Some(window)).await.unwrap();
            let admitted = cap.admit_rolling(&usage).unwrap();
            assert_eq!(
                (usage.used, admitted.state, admitted.notify),
                (11, CapState::Soft, true)
            );
        }
        let usage = meter
            .used("s-1", "mails", Some("10 days".parse().unwrap()))
            .await
            .unwrap();
        assert_eq!(cap.admit_rolling(&usage).unwrap_err().current, 61);
    }
}

#[tokio::test]
async fn kum_60_work_is_counted_once_it_has_succeeded() {
    for bench in each().await {
        let meter = &bench.meter;
        let event = Event::quantity("mails", 1);
        let limit = Limit::Count(1);
        let counted = async |result: Result<u8, &'static str>| {
            meter.counted("s-1", &event, limit, async { result }).await
        };
        assert!(matches!(
            counted(Err("broke")).await,
            Err(Wrapped::Failed("broke"))
        ));
        assert_eq!(bench.used("mails").await, 0);
        assert_eq!(counted(Ok(7)).await.unwrap(), 7);
        assert_eq!(bench.used("mails").await, 1);
        // Found at 1, which lies below 1.1.
        counted(Ok(7)).await.unwrap();
        let mut began = false;
        let refused = meter.counted("s-1", &event, limit, async {
            began = true;
            Ok::<_, &str>(())
        });
        let Err(Wrapped::Exceeded(refused)) = refused.await else {
            panic!("it passed");
        };
        assert_eq!(
            (&*refused.cap, refused.limit, refused.current),
            ("mails", 1, 2)
        );
        assert!(!began);
        assert_eq!(bench.used("mails").await, 2);
    }
}

#[tokio::test]
async fn kum_60_a_reserved_place_is_given_back_when_the_work_fails() {
    for bench in each().await {
        let meter = &bench.meter;
        let event = Event::quantity("api_calls", 2).once("k-1");
        let reserved = async |result: Result<u8, &'static str>| {
            meter
                .reserved("s-1", &event, Limit::Count(2), async { result })
                .await
        };
        for _ in 0..2 {
            assert!(matches!(
                reserved(Err("broke")).await,
                Err(Wrapped::Failed("broke"))
            ));
            assert_eq!(bench.used("api_calls").await, 0);
        }
        assert_eq!(reserved(Ok(7)).await.unwrap(), 7);
        assert_eq!(bench.used("api_calls").await, 2);
        // It was done before under this key, and takes nothing again; nor does its failure give
        // back what the first one took.
        assert!(matches!(
            reserved(Err("broke")).await,
            Err(Wrapped::Failed("broke"))
        ));
        assert_eq!(bench.used("api_calls").await, 2);
        let other = Event::quantity("api_calls", 1);
        let mut began = false;
        let work = async {
            began = true;
            Ok::<_, &str>(())
        };
        let refused = meter.reserved("s-1", &other, Limit::Count(2), work).await;
        assert!(matches!(refused, Err(Wrapped::Exceeded(_))), "{refused:?}");
        assert!(!began);
        // What was given back is in no event either.
        meter.rebuild(Some("s-1")).await.unwrap();
        assert_eq!(bench.used("api_calls").await, 2);
        // A receipt is good once.
        let taken = meter
            .check_and_consume("s-1", &other, Limit::Unlimited)
            .await
            .unwrap();
        for _ in 0..2 {
            meter
                .take_back(taken.receipt.as_ref().unwrap())
                .await
                .unwrap();
            assert_eq!(bench.used("api_calls").await, 2);
        }
    }
}

#[tokio::test]
async fn kum_62_counters_are_a_subjects_and_a_metrics_own() {
    for bench in each().await {
        take(&bench.meter, 12).await;
        let event = Event::quantity("mails", 1);
        let other = bench
            .meter
            .check_and_consume("s-2", &event, LIMIT)
            .await
            .unwrap();
        assert_eq!((other.allowed, other.used), (true, 1));
        assert_eq!(bench.used("api_calls").await, 0);
    }
}
