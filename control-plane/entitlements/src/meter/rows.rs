//! What a store of usage can do. [`super::Ledger`] holds the rules, so that they are the same
//! whatever the rows stand in.
//!
//! Locks are taken in one order everywhere: keys, then values, then aggregates, each in ascending
//! order; nothing after that is waited for. So no two changes wait for each other.

use std::sync::Arc;

use manifest::{Aggregate, Metric};

use super::{MeterError, Stretch};

/// A subject's aggregate of a metric in one bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Whose.
    pub(super) subject: String,
    /// Of what.
    pub(super) metric: Arc<str>,
    /// How it is counted. A metric that the vendor counts differently from now on meets none of
    /// the aggregates of before.
    pub(super) rule: String,
    /// The bucket's beginning, in microseconds since 1970.
    pub(super) from: i64,
    /// Its end.
    pub(super) to: i64,
}

impl Place {
    /// The bucket of a metric.
    pub(super) fn new(subject: &str, metric: &Metric, bucket: Stretch) -> Self {
        Self {
            subject: subject.to_owned(),
            metric: Arc::clone(&metric.name),
            rule: rule(metric),
            from: bucket.from.as_microsecond(),
            to: bucket.to.as_microsecond(),
        }
    }
}

/// How a metric is counted, as it is stored.
pub(super) fn rule(metric: &Metric) -> String {
    format!("{}/{}", metric.aggregate.as_str(), metric.period.as_str())
}

/// A key under which an event was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The event's metric.
    pub(super) metric: String,
    /// Its quantity or value.
    pub(super) amount: String,
    /// Its time.
    pub(super) at: i64,
}

/// An event that goes into an aggregate.
#[derive(Debug, Clone, Copy)]
pub struct Rise {
    /// How the aggregate takes it.
    pub(super) aggregate: Aggregate,
    /// How much.
    pub(super) quantity: i64,
    /// When.
    pub(super) at: i64,
    /// A sum above which nothing changes. Others have none.
    pub(super) ceiling: i64,
}

/// An aggregate after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// The aggregate.
    pub(super) value: i64,
    /// The event's number in it.
    pub(super) nth: i64,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// When.
    pub(super) at: i64,
    /// How it was counted at the time.
    pub(super) rule: String,
    /// Its number among those of its bucket.
    pub(super) nth: i64,
    /// How much.
    pub(super) quantity: i64,
    /// Which one.
    pub(super) value: Option<String>,
}

/// An event that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'e> {
    /// How much.
    pub(super) quantity: i64,
    /// Which one.
    pub(super) value: Option<&'e str>,
    /// When it is recorded.
    pub(super) recorded_at: i64,
}

/// An answer of a store.
pub(super) type Answer<T> = Result<T, MeterError>;

/// A place that rows stand in. Sealed: [`super::Memory`] and [`super::sql::SqlRows`] are two.
pub trait Rows: Send {
    /// Takes a key, or says that it is taken.
    fn take_key(
        &mut self,
        subject: &str,
        key: &str,
        row: &KeyRow,
        now: i64,
    ) -> impl Future<Output = Answer<bool>> + Send;
    /// What a key was taken for.
    fn key(
        &mut self,
        subject: &str,
        key: &str,
    ) -> impl Future<Output = Answer<Option<KeyRow>>> + Send;
    /// Gives a key back.
    fn drop_key(&mut self, subject: &str, key: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Notes a value, or says that it was noted.
    fn add_value(
        &mut self,
        place: &Place,
        value: &str,
    ) -> impl Future<Output = Answer<bool>> + Send;
    /// Takes a value back.
    fn drop_value(&mut self, place: &Place, value: &str)
    -> impl Future<Output = Answer<()>> + Send;
    /// Takes an event into an aggregate, unless that would pass the ceiling.
    fn raise(
        &mut self,
        place: &Place,
        rise: Rise,
    ) -> impl Future<Output = Answer<Option<Raised>>> + Send;
    /// Takes an event into an aggregate and keeps it, unless that would pass the ceiling.
    fn count(
        &mut self,
        place: &Place,
        rise: Rise,
        event: &NewEvent<'_>,
    ) -> impl Future<Output = Answer<Option<Raised>>> + Send
    where
        Self: Sized,
    {
        count_in_two(self, place, rise, event)
    }
    /// Takes a quantity out of a sum.
    fn lower(&mut self, place: &Place, quantity: i64) -> impl Future<Output = Answer<()>> + Send;
    /// An aggregate, 0 where nothing was recorded (KUM-57).
    fn value(&mut self, place: &Place) -> impl Future<Output = Answer<i64>> + Send;
    /// Marks an aggregate, or says that it is marked.
    fn mark(&mut self, place: &Place, now: i64) -> impl Future<Output = Answer<bool>> + Send;
    /// Keeps an event.
    fn add_event(
        &mut self,
        place: &Place,
        event: &EventRow,
        now: i64,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Forgets an event, or says that it is not there.
    fn drop_event(
        &mut self,
        place: &Place,
        at: i64,
        nth: i64,
    ) -> impl Future<Output = Answer<bool>> + Send;
    /// What the events of a stretch amount to.
    fn of_events(
        &mut self,
        place: &Place,
        aggregate: Aggregate,
    ) -> impl Future<Output = Answer<i64>> + Send;
    /// What the aggregates of whole buckets amount to. Different values are not asked for.
    fn of_buckets(
        &mut self,
        place: &Place,
        aggregate: Aggregate,
    ) -> impl Future<Output = Answer<i64>> + Send;
    /// From when on events are kept.
    fn horizon(&mut self) -> impl Future<Output = Answer<Option<i64>>> + Send;
    /// Forgets the events and keys from before a time, and the values of buckets that had ended.
    fn prune(&mut self, until: i64) -> impl Future<Output = Answer<()>> + Send;
    /// Keeps everyone else from recording until this change has ended.
    fn hold(&mut self) -> impl Future<Output = Answer<()>> + Send;
    /// Everyone of whom anything is kept.
    fn subjects(&mut self) -> impl Future<Output = Answer<Vec<String>>> + Send;
    /// Sets the aggregates from a bucket on to 0 and forgets their values.
    fn clear(&mut self, place: &Place) -> impl Future<Output = Answer<()>> + Send;
    /// Events of a subject and metric from a place's beginning on, after the last one that was
    /// read, in order.
    fn events(
        &mut self,
        place: &Place,
        after: Option<&EventRow>,
    ) -> impl Future<Output = Answer<Vec<EventRow>>> + Send;
    /// Sets an aggregate. Its events have numbers up to `nth`.
    fn put(
        &mut self,
        place: &Place,
        value: i64,
        last_at: i64,
        nth: i64,
    ) -> impl Future<Output = Answer<()>> + Send;
}

/// Takes an event into an aggregate, then keeps it.
pub(super) async fn count_in_two<R: Rows>(
    rows: &mut R,
    place: &Place,
    rise: Rise,
    event: &NewEvent<'_>,
) -> Answer<Option<Raised>> {
    let Some(raised) = rows.raise(place, rise).await? else {
        return Ok(None);
    };
    let row = EventRow {
        at: rise.at,
        rule: place.rule.clone(),
        nth: raised.nth,
        quantity: event.quantity,
        value: event.value.map(ToOwned::to_owned),
    };
    rows.add_event(place, &row, event.recorded_at).await?;
    Ok(Some(raised))
}
