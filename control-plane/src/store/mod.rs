//! ROWS. SQL once, two engines.
//!
//! A store function holds one constant SQL text in the dialect that SQLite and PostgreSQL share
//! and runs it through `on!`, which expands to one arm per engine. Every line on which the two
//! differ is in `engine`. A write transaction can be committed only together with its audit
//! row ([`Tx::commit`]), and is announced only after that.

pub mod audit;
pub mod boxes;
mod counters;
pub mod credentials;
mod engine;
pub mod licenses;

use std::fmt;

pub use engine::{Conn, Link, Store, Tx};

/// Runs the same expression on whichever engine the link leads to.
macro_rules! on {
    ($link:expr, |$connection:ident| $body:expr) => {
        match $link {
            $crate::store::Link::Sqlite($connection) => $body,
            $crate::store::Link::Postgres($connection) => $body,
        }
    };
}
use on;

/// A struct that is read from the columns of its fields' names, on both engines.
macro_rules! row {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        $visibility struct $name { $($field: $type),* }
        row!(@ $name sqlx::sqlite::SqliteRow: $($field)*);
        row!(@ $name sqlx::postgres::PgRow: $($field)*);
    };
    (@ $name:ident $row:ty: $($field:ident)*) => {
        impl<'r> sqlx::FromRow<'r, $row> for $name {
            fn from_row(row: &'r $row) -> sqlx::Result<Self> {
                use sqlx::Row;
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}
use row;

/// The store failed: a fault, never the caller's doing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not do it.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date, or is newer than this program.
    #[error("the database's schema does not fit this version of Tollgate")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row that this program would never have written.
    #[error("table `{table}`, row `{row}`: column `{column}` holds what Tollgate never writes")]
    Inconsistent {
        /// Where.
        table: &'static str,
        /// Which row, by its key.
        row: String,
        /// Which column.
        column: &'static str,
    },
    /// The database does not promise what is asked of it.
    #[error("the database does not run with `{0}`, so a change could be lost")]
    Unsafe(&'static str),
}

/// Makes [`StoreError::Inconsistent`] for one row.
fn inconsistent<'a>(
    table: &'static str,
    row: &'a impl fmt::Display,
) -> impl Fn(&'static str) -> StoreError + 'a {
    move |column| StoreError::Inconsistent {
        table,
        row: row.to_string(),
        column,
    }
}

/// Microseconds since 1970, as times are stored.
fn time(microseconds: i64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(microseconds).ok()
}
