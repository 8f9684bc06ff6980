//! SQL once, two engines: the dialect that SQLite and PostgreSQL share.
//!
//! A function of this crate that touches a database runs its statements on a [`Link`] that it is
//! given, so that they can stand in a transaction of the caller's.

use sqlx::{PgConnection, SqliteConnection};

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
