//! What a billing provider tells of subscriptions, and which tier follows from it.
//!
//! Events come late, twice and in any order. So of each subscription three pieces are kept: how
//! it stands, its newest invoice, and the checkout that it came from. Of each piece the greatest
//! is kept that was ever told, by an order that the events carry in themselves. So every order of
//! arrival leads to the same end, and an event that comes again changes nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who tells what was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Stripe.
    Stripe,
}

impl Provider {
    /// The provider as it is stored, and named in paths and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
        }
    }
}

/// How a subscription stands, whatever the provider's own words are (KUM-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has not begun, or nobody knows what it is.
    Incomplete,
    /// It is owed for, or rests.
    PastDue,
    /// It is tried out.
    Trialing,
    /// It is paid for.
    Active,
    /// It is over, for good.
    Canceled,
}

impl Status {
    /// The status as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::PastDue => "past_due",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::Canceled => "canceled",
        }
    }

    /// Whether it gives its tier (KUM-17).
    pub fn gives(self) -> bool {
        matches!(self, Self::Trialing | Self::Active)
    }
}

/// The event that told of something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// When it happened, by the provider's clock: whole seconds.
    pub at: Timestamp,
    /// Its id.
    pub event: String,
}

/// How a subscription stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Whose it is, where it says so itself.
    pub customer_id: Option<String>,
    /// The status.
    pub status: Status,
    /// What is bought, by the provider's ids.
    pub prices: Vec<String>,
    /// Until when it is paid, or will be.
    pub period_end: Option<Timestamp>,
    /// Whether this was said when it was made.
    pub is_first: bool,
    /// Who said it.
    pub source: Source,
}

/// An invoice of a subscription that was paid or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it was paid.
    pub paid: bool,
    /// Who said it.
    pub source: Source,
}

/// The checkout that a subscription came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// For whom.
    pub customer_id: String,
    /// Who said it.
    pub source: Source,
}

/// What an event tells of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// How it stands.
    Standing(Standing),
    /// What became of an invoice.
    Invoice(Invoice),
    /// Where it came from.
    Checkout(Checkout),
}

impl News {
    /// The event.
    pub fn source(&self) -> &Source {
        match self {
            Self::Standing(standing) => &standing.source,
            Self::Invoice(invoice) => &invoice.source,
            Self::Checkout(checkout) => &checkout.source,
        }
    }
}

/// All that is known of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id at the provider.
    pub id: String,
    /// How it stands.
    pub standing: Option<Standing>,
    /// Its newest invoice.
    pub invoice: Option<Invoice>,
    /// Where it came from.
    pub checkout: Option<Checkout>,
}

impl Standing {
    /// What is over stays so. Else the later one counts; of those told for the same second, one
    /// that is no longer the first, then the one that gives more, then the greater id.
    fn rank(&self) -> impl Ord + '_ {
        let over = self.status == Status::Canceled;
        let Source { at, event } = &self.source;
        (over, at, !self.is_first, self.status, event)
    }
}

impl Invoice {
    /// The newest invoice counts, and of one invoice what was said last; a payment that was made
    /// in the second in which one failed came after it.
    fn rank(&self) -> impl Ord + '_ {
        let Source { at, event } = &self.source;
        (self.created_at, at, self.paid, event)
    }
}

impl Checkout {
    fn rank(&self) -> impl Ord + '_ {
        &self.source
    }
}

impl Subscription {
    /// One that nothing is known of yet.
    pub fn unknown(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            standing: None,
            invoice: None,
            checkout: None,
        }
    }

    /// Takes what an event tells. Whether it was news.
    pub fn take(&mut self, news: News) -> bool {
        match news {
            News::Standing(new) => keep(&mut self.standing, new, |a, b| a.rank() < b.rank()),
            News::Invoice(new) => keep(&mut self.invoice, new, |a, b| a.rank() < b.rank()),
            News::Checkout(new) => keep(&mut self.checkout, new, |a, b| a.rank() < b.rank()),
        }
    }

    /// Whose it is: whom it names itself, or else the checkout that it came from.
    pub fn customer(&self) -> Option<&str> {
        let named = self.standing.as_ref().and_then(|s| s.customer_id.as_ref());
        let came_for = self.checkout.as_ref().map(|checkout| &checkout.customer_id);
        named.or(came_for).map(String::as_str)
    }

    /// How it stands: as was said last, but past due since an invoice failed after that.
    pub fn status(&self) -> Option<Status> {
        let standing = self.standing.as_ref()?;
        let failed = self
            .invoice
            .as_ref()
            .is_some_and(|invoice| !invoice.paid && invoice.source.at > standing.source.at);
        if failed && standing.status.gives() {
            return Some(Status::PastDue);
        }
        Some(standing.status)
    }

    /// What is bought, as long as it gives anything.
    pub fn given(&self) -> &[String] {
        match (&self.standing, self.status()) {
            (Some(standing), Some(status)) if status.gives() => &standing.prices,
            _ => &[],
        }
    }
}

/// Keeps the greater of two. Whether that is the new one.
fn keep<T>(kept: &mut Option<T>, new: T, less: impl Fn(&T, &T) -> bool) -> bool {
    let is_news = kept.as_ref().is_none_or(|old| less(old, &new));
    if is_news {
        *kept = Some(new);
    }
    is_news
}

#[cfg(test)]
mod tests {
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
}
