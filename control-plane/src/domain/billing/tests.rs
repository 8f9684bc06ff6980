//! What counts, whatever comes when.

use proptest::prelude::*;

use super::*;

fn source(at: i64, event: usize) -> Source {
    Source {
        at: Timestamp::from_second(at).unwrap(),
        event: format!("evt_{event}"),
    }
}

fn standing(at: i64, event: usize, status: Status) -> Standing {
    Standing {
        customer_id: Some("c-1".into()),
        status,
        prices: vec!["price_1".into()],
        period_end: None,
        is_first: false,
        source: source(at, event),
    }
}

fn invoice(at: i64, event: usize, paid: bool) -> Invoice {
    Invoice {
        created_at: Timestamp::from_second(at).unwrap(),
        paid,
        source: source(at, event),
    }
}

fn after(news: impl IntoIterator<Item = News>) -> Subscription {
    let mut subscription = Subscription::unknown("sub_1");
    for news in news {
        subscription.take(news);
    }
    subscription
}

/// News of few seconds, so that many fall into the same one. The id is given later.
fn any_news() -> impl Strategy<Value = News> {
    let status = prop::sample::select(vec![
        Status::Incomplete,
        Status::PastDue,
        Status::Trialing,
        Status::Active,
        Status::Canceled,
    ]);
    let customer = prop::option::of(prop::sample::select(vec!["c-1".to_owned(), "c-2".into()]));
    let stands = (0..4_i64, status, customer, any::<bool>(), 0..3_usize).prop_map(
        |(at, status, customer_id, is_first, price)| {
            News::Standing(Standing {
                customer_id,
                is_first,
                prices: vec![format!("price_{price}")],
                ..standing(at, 0, status)
            })
        },
    );
    let pays = (0..3_i64, 0..4_i64, any::<bool>()).prop_map(|(made, at, paid)| {
        News::Invoice(Invoice {
            created_at: Timestamp::from_second(made).unwrap(),
            ..invoice(at, 0, paid)
        })
    });
    let comes = (0..4_i64, prop::sample::select(vec!["c-1", "c-3"])).prop_map(|(at, for_)| {
        News::Checkout(Checkout {
            customer_id: for_.into(),
            source: source(at, 0),
        })
    });
    prop_oneof![4 => stands, 2 => pays, 1 => comes]
}

fn with_id(mut news: News, nth: usize) -> News {
    let source = match &mut news {
        News::Standing(standing) => &mut standing.source,
        News::Invoice(invoice) => &mut invoice.source,
        News::Checkout(checkout) => &mut checkout.source,
    };
    source.event = format!("evt_{nth}");
    news
}

proptest! {
    #[test]
    fn kum_22_whatever_the_order_and_however_often_events_come_the_end_is_the_same(
        (news, other) in prop::collection::vec(any_news(), 1..9).prop_flat_map(|news| {
            let news: Vec<News> = news
                .into_iter()
                .enumerate()
                .map(|(nth, news)| with_id(news, nth))
                .collect();
            let twice = [news.clone(), news.clone()].concat();
            (Just(news), Just(twice).prop_shuffle())
        })
    ) {
        let mut end = after(news.clone());
        prop_assert_eq!(&end, &after(other));
        for news in news {
            prop_assert!(!end.take(news), "old news are none");
        }
    }
}

#[test]
fn the_later_event_counts_and_an_end_is_for_good() {
    let late = |event, status| News::Standing(standing(9, event, status));
    let early = |event, status| News::Standing(standing(5, event, status));
    for (news, status) in [
        (
            vec![late(1, Status::PastDue), early(2, Status::Active)],
            Status::PastDue,
        ),
        (
            vec![early(1, Status::PastDue), late(2, Status::Active)],
            Status::Active,
        ),
        (
            vec![early(1, Status::Canceled), late(2, Status::Active)],
            Status::Canceled,
        ),
    ] {
        assert_eq!(after(news).status(), Some(status));
    }
}

#[test]
fn of_one_second_what_was_said_first_does_not_count() {
    let first = |status| Standing {
        is_first: true,
        ..standing(5, 9, status)
    };
    for (first_status, status) in [
        (Status::Incomplete, Status::Active),
        (Status::Active, Status::PastDue),
    ] {
        let updated = News::Standing(standing(5, 1, status));
        let subscription = after([updated, News::Standing(first(first_status))]);
        assert_eq!(subscription.status(), Some(status));
    }
}

#[test]
fn kum_24_a_failed_payment_takes_the_tier_until_it_is_made_good_and_moves_no_end() {
    let end = Timestamp::from_second(1_000).unwrap();
    let active = News::Standing(Standing {
        period_end: Some(end),
        ..standing(5, 1, Status::Active)
    });
    let mut subscription = after([active]);
    assert_eq!(subscription.given(), ["price_1"]);
    // Told for the same second, the subscription knew.
    subscription.take(News::Invoice(invoice(5, 2, false)));
    assert_eq!(subscription.status(), Some(Status::Active));
    subscription.take(News::Invoice(invoice(7, 3, false)));
    assert_eq!(subscription.status(), Some(Status::PastDue));
    assert!(subscription.given().is_empty());
    assert_eq!(
        subscription.standing.as_ref().unwrap().period_end,
        Some(end)
    );

    let mut paid = subscription.clone();
    paid.take(News::Invoice(Invoice {
        source: source(8, 4),
        ..invoice(7, 4, true)
    }));
    assert_eq!(paid.status(), Some(Status::Active));
    // An older invoice that is paid does not make the newest one good.
    let mut older = subscription.clone();
    older.take(News::Invoice(Invoice {
        source: source(8, 5),
        ..invoice(6, 5, true)
    }));
    assert_eq!(older.status(), Some(Status::PastDue));
    let mut told = subscription;
    told.take(News::Standing(standing(8, 6, Status::Active)));
    assert_eq!(told.status(), Some(Status::Active));
}

#[test]
fn a_payment_alone_gives_nothing() {
    let paid = News::Invoice(invoice(9, 2, true));
    assert_eq!(after([paid.clone()]).status(), None);
    for status in [Status::PastDue, Status::Incomplete, Status::Canceled] {
        let subscription = after([News::Standing(standing(5, 1, status)), paid.clone()]);
        assert_eq!(subscription.status(), Some(status));
        assert!(subscription.given().is_empty());
    }
}

#[test]
fn whom_a_subscription_names_counts_more_than_where_it_came_from() {
    let checkout = News::Checkout(Checkout {
        customer_id: "c-9".into(),
        source: source(9, 2),
    });
    let named = News::Standing(standing(5, 1, Status::Active));
    let unnamed = News::Standing(Standing {
        customer_id: None,
        ..standing(6, 3, Status::Active)
    });
    assert_eq!(
        after([named.clone(), checkout.clone()]).customer(),
        Some("c-1")
    );
    assert_eq!(after([unnamed.clone(), checkout]).customer(), Some("c-9"));
    assert_eq!(after([named, unnamed]).customer(), None);
}
