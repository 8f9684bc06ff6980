//! The meter: what subjects use, counted by metric and period.
//!
//! A [`Meter`] is told of [`Event`]s and keeps, for each subject, metric and *bucket* (a stretch
//! of the calendar in UTC), one aggregate: the total, the highest, the last, or how many
//! different ones. Everything is whole numbers; what would pass 2^63 - 1 is an error and counts
//! nothing.
//!
//! - [`Meter::record`] counts, [`Meter::used`] and [`Meter::summary`] read,
//!   [`Meter::check_and_consume`] takes from a limit in one step.
//! - An event may be told twice under the same idempotency key, which is a subject's own.
//! - [`Window::Current`] is the bucket that runs; [`Window::Rolling`] ends now. They differ on
//!   purpose.
//! - Events are kept for [`Meter::rebuild`] and for windows other than a metric's own buckets.
//!   [`Meter::prune`] forgets those from before a time, together with the idempotency keys that
//!   were first used before it. From then on events of that time are refused, windows that reach
//!   into it are answered only in whole buckets, and a rebuild leaves the aggregates of buckets
//!   that began before it as they are. Nothing that was counted is lost.
//! - A metric whose aggregate or period the vendor changes starts anew; a rebuild counts the
//!   events that are kept into it.
//!
//! The rules are in [`Ledger`], over rows in memory or in a database. Who has a transaction of
//! their own runs a [`Ledger`] in it, on [`sql::SqlRows`]; for others there is [`Meter`].

mod error;
mod event;
mod ledger;
mod memory;
mod metrics;
mod rows;
#[cfg(feature = "sql")]
pub mod sql;
mod store;
#[cfg(test)]
#[cfg(feature = "sql")]
mod tests;
mod window;

pub use error::MeterError;
pub use event::{
    AHEAD_MAX, Amount, Checked, Consumed, Event, Receipt, Recorded, TEXT_BYTES_MAX, Usage,
};
pub use ledger::Ledger;
pub use memory::Memory;
pub use metrics::{Metrics, MetricsBuilder, MetricsError};
pub use rows::Rows;
pub use store::Meter;
pub use window::{NoWindow, Stretch, Window};
