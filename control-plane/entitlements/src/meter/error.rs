//! Why a meter did not do what it was asked.

use jiff::Timestamp;

use crate::NotASubject;

/// Why usage was not recorded or read.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// No such metrics (MET-3).
    #[error(
        "unknown metric {}; the metrics are {}",
        listed(unknown),
        listed(known)
    )]
    UnknownMetric {
        /// What was asked for.
        unknown: Vec<String>,
        /// What there is.
        known: Vec<String>,
    },
    /// A metric that counts different values got a quantity (MET-5).
    #[error("metric `{0}` counts different values; give a value, not a quantity")]
    NeedsValue(String),
    /// A metric of quantities got a value (MET-5).
    #[error("metric `{0}` counts quantities; give a quantity, not a value")]
    NeedsQuantity(String),
    /// A number too large to be counted. Nothing was.
    #[error("metric `{0}` would pass 2^63 - 1, the most that is counted; give less at a time")]
    Overflow(String),
    /// A subject that cannot be one.
    #[error(transparent)]
    NotASubject(#[from] NotASubject),
    /// A text that cannot be stored.
    #[error("the {0} has 1 to 200 bytes and no control characters")]
    Text(&'static str),
    /// An event in the future.
    #[error("{0} lies ahead; an event lies at most 5 minutes after the meter's clock")]
    Ahead(Timestamp),
    /// An event from before what is kept.
    #[error("{at} is too long ago; events from before {until} are no longer taken")]
    TooOld {
        /// The event's time.
        at: Timestamp,
        /// How far back events are taken.
        until: Timestamp,
    },
    /// A window that reaches beyond the events that are kept.
    #[error(
        "events from before {0} are no longer kept; ask for a later window, or for whole periods of the metric"
    )]
    Forgotten(Timestamp),
    /// A window that nothing lies in.
    #[error("a window ends after it begins")]
    EmptyWindow,
    /// A time that no calendar has.
    #[error("the time lies outside of the years -9999 to 9999")]
    OutOfTime,
    /// A key that another event was recorded under.
    #[error("the idempotency key `{0}` was used for another event; choose a new one")]
    KeyReused(String),
    /// Nothing can be taken from a metric that keeps a highest or a last one.
    #[error("metric `{0}` keeps a level, from which nothing can be taken; record it instead")]
    NotConsumable(String),
    /// Nothing was to be taken.
    #[error("take at least 1; to see what is left, check")]
    Nothing,
    /// The database failed.
    #[cfg(feature = "sql")]
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A row that a meter would never have written.
    #[error("the usage of `{subject}` holds what a meter never writes: metric `{metric}`")]
    Damaged {
        /// Whose.
        subject: String,
        /// Of what.
        metric: String,
    },
}

impl MeterError {
    /// Whether something broke, rather than that the question was wrong.
    pub fn is_fault(&self) -> bool {
        match self {
            #[cfg(feature = "sql")]
            Self::Database(_) => true,
            Self::Damaged { .. } => true,
            _ => false,
        }
    }
}

/// Names as people read them.
fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let quoted = names.iter().map(|name| format!("`{name}`"));
    quoted.collect::<Vec<_>>().join(", ")
}
