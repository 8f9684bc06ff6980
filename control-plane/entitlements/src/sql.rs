//! SQL once, two engines: the dialect that SQLite and PostgreSQL share.
//!
//! A function of this crate that touches a database runs its statements on a [`Link`] that it is
//! given, so that they can stand in a transaction of the caller's. None of them begins or ends
//! one, and none reads a clock. Those that take several statements say so: their caller provides
//! the transaction.
//!
//! | Table | Holds | Written by |
//! |---|---|---|
//! | `…_overrides` | one row for each key that a subject has set | [`overrides`] |
//! | `…_add_ons` | a subject's add-ons, in order | [`add_ons`] |
//! | `…_switches` | one row for each feature that was ever switched for all | [`switches`] |
//! | `…_assignments` | a subject's tier | [`assignments`], our own drivers only |
//! | `…_subjects` | when a subject came to be | [`subjects`], our own drivers only |
//!
//! Who keeps tiers in a table of their own makes the first three ([`SHARED_TABLES`]), loads a
//! subject by [`load()`] and sets [`Stored::tier`](crate::Stored) and `created_at` by itself.

pub mod add_ons;
pub mod assignments;
mod load;
pub mod overrides;
mod setup;
pub mod subjects;
pub mod switches;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};

pub use load::{load, snapshot};
pub use setup::{OWN_TABLES, SHARED_TABLES, setup};

/// The database failed, or holds what this crate never writes.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The database could not do it.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A row that this crate would never have written.
    #[error(
        "a table of entitlements: row `{row}`: column `{column}` holds what is never written there"
    )]
    Inconsistent {
        /// Which row, by its key.
        row: String,
        /// Which column.
        column: &'static str,
    },
}

/// What a statement runs on.
#[derive(Debug)]
pub enum Link<'c> {
    /// SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// PostgreSQL.
    Postgres(&'c mut PgConnection),
}

impl Link<'_> {
    /// The same link for one more statement.
    pub fn again(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(connection) => Link::Postgres(connection),
        }
    }
}

/// Runs the same expression on whichever engine the link leads to.
#[macro_export]
macro_rules! on {
    ($link:expr, |$connection:ident| $body:expr) => {
        match $link {
            $crate::sql::Link::Sqlite($connection) => $body,
            $crate::sql::Link::Postgres($connection) => $body,
        }
    };
}

/// What the names of all tables begin with: `entitlement` unless chosen otherwise (ENT-49).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// A prefix that is no SQL name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot begin the name of a table: use 1 to 40 lower-case letters, digits and `_`, a letter first"
)]
pub struct NotAPrefix(String);

impl Prefix {
    /// Reads a prefix.
    pub fn parse(text: &str) -> Result<Self, NotAPrefix> {
        let good = (1..=40).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAPrefix(text.to_owned()))
        }
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("entitlement".to_owned())
    }
}

impl Prefix {
    /// A statement about tables of this prefix: each `{p}` of the text becomes it. Safe, because
    /// a prefix is a plain SQL name and values are bound.
    fn statement(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(text.replace("{p}", &self.0))
    }
}

fn inconsistent(row: &str, column: &'static str) -> SqlError {
    SqlError::Inconsistent {
        row: row.to_owned(),
        column,
    }
}

fn time(row: &str, column: &'static str, microseconds: i64) -> Result<Timestamp, SqlError> {
    Timestamp::from_microsecond(microseconds).map_err(|_| inconsistent(row, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ent_49_a_prefix_is_a_plain_name() {
        assert_eq!(Prefix::default().as_str(), "entitlement");
        assert!(Prefix::parse("plans_2").is_ok());
        let long = "x".repeat(41);
        for bad in ["", "2nd", "a-b", "A", "a; DROP TABLE b", "é", &long] {
            assert!(Prefix::parse(bad).is_err(), "{bad}");
        }
    }
}
