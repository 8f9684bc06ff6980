//! What a meter is told, and what it answers.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use manifest::{Aggregate, Limit, Metric};

use super::{MeterError, Stretch};
use crate::caps::CapState;

/// Names, values and keys have 1 to so many bytes.
pub const TEXT_BYTES_MAX: usize = 200;
/// Clocks may differ: so far ahead of the meter's an event may lie.
pub const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// Something was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Of which metric.
    pub metric: String,
    /// How much.
    pub amount: Amount,
    /// When; now if not given (MET-8).
    pub at: Option<Timestamp>,
    /// The same event again counts nothing, as long as its key is kept (MET-7).
    pub key: Option<String>,
}

/// How much was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// So much: for a sum, a highest or a last one.
    Quantity(u64),
    /// This one: where different ones are counted.
    Value(String),
}

impl Event {
    /// So much of a metric was used, now.
    pub fn quantity(metric: &str, quantity: u64) -> Self {
        Self::new(metric, Amount::Quantity(quantity))
    }

    /// This one was seen, now.
    pub fn value(metric: &str, value: &str) -> Self {
        Self::new(metric, Amount::Value(value.to_owned()))
    }

    fn new(metric: &str, amount: Amount) -> Self {
        Self {
            metric: metric.to_owned(),
            amount,
            at: None,
            key: None,
        }
    }

    /// The same event at another time.
    #[must_use]
    pub fn at(self, at: Timestamp) -> Self {
        let at = Some(at);
        Self { at, ..self }
    }

    /// The same event under a key, which counts once.
    #[must_use]
    pub fn once(self, key: &str) -> Self {
        let key = Some(key.to_owned());
        Self { key, ..self }
    }
}

/// What a metric amounts to after an event (MET-6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The metric.
    pub metric: Arc<str>,
    /// Its aggregate in the event's bucket.
    pub used: u64,
    /// What one of it is called.
    pub unit: Arc<str>,
    /// The event's bucket.
    pub bucket: Stretch,
    /// Whether the event was recorded before, and counted nothing now.
    pub repeated: bool,
}

/// Whether something could be taken, and was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Whether it was taken, now or under the same key before.
    pub allowed: bool,
    /// The metric's aggregate now.
    pub used: u64,
    /// The limit.
    pub limit: Limit,
    /// What is left of the limit; none when it is unlimited.
    pub remaining: Option<u64>,
    /// What one is called.
    pub unit: Arc<str>,
    /// How the limit stood when this was asked.
    pub state: CapState,
    /// Whether this is the first soft hit of the bucket, of which somebody should be told
    /// (KUM-58).
    pub notify: bool,
    /// The bucket.
    pub bucket: Stretch,
    /// What takes it back; none where nothing was taken.
    pub receipt: Option<Receipt>,
}

/// What takes back something that was taken from a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub(super) place: super::rows::Place,
    pub(super) at: i64,
    pub(super) nth: i64,
    pub(super) quantity: i64,
    pub(super) key: Option<String>,
}

/// How much is used of a limit (MET-13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whether less than the limit is used.
    pub allowed: bool,
    /// How much is used.
    pub used: u64,
    /// What is left.
    pub remaining: u64,
    /// The limit.
    pub limit: u64,
    /// What one is called.
    pub unit: Arc<str>,
}

/// What a metric amounts to in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The metric.
    pub metric: Arc<str>,
    /// How much.
    pub used: u64,
    /// What one is called.
    pub unit: Arc<str>,
    /// From when to when.
    pub stretch: Stretch,
}

/// An event that keeps the rules.
pub(super) struct Checkable<'e> {
    pub(super) metric: &'e Metric,
    /// Microseconds since 1970.
    pub(super) at: i64,
    /// 1 where different values are counted.
    pub(super) quantity: i64,
    pub(super) value: Option<&'e str>,
    pub(super) key: Option<&'e str>,
}

impl<'e> Checkable<'e> {
    /// Holds an event against its metric (MET-5).
    pub(super) fn new(
        event: &'e Event,
        metric: &'e Metric,
        now: Timestamp,
    ) -> Result<Self, MeterError> {
        let name = || metric.name.to_string();
        let (quantity, value) = match (&event.amount, metric.aggregate) {
            (Amount::Value(value), Aggregate::Unique) => (1, Some(value.as_str())),
            (Amount::Quantity(_), Aggregate::Unique) => return Err(MeterError::NeedsValue(name())),
            (Amount::Quantity(quantity), _) => {
                let quantity = i64::try_from(*quantity);
                (quantity.map_err(|_| MeterError::Overflow(name()))?, None)
            }
            (Amount::Value(_), _) => return Err(MeterError::NeedsQuantity(name())),
        };
        for (what, text) in [("value", value), ("idempotency key", event.key.as_deref())] {
            if text.is_some_and(|text| !check_text(text)) {
                return Err(MeterError::Text(what));
            }
        }
        let at = event.at.unwrap_or(now);
        if at.duration_since(now) > AHEAD_MAX {
            return Err(MeterError::Ahead(at));
        }
        Ok(Self {
            metric,
            at: at.as_microsecond(),
            quantity,
            value,
            key: event.key.as_deref(),
        })
    }

    /// What the same event again must have in common.
    pub(super) fn amount(&self) -> String {
        self.value
            .map_or_else(|| self.quantity.to_string(), ToOwned::to_owned)
    }
}

/// Whether a text can be stored, on every engine.
pub(super) fn check_text(text: &str) -> bool {
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}
