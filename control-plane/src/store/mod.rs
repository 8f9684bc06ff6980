//! ROWS. SQL once, two engines.
//!
//! A store function holds one constant SQL text in the dialect that SQLite and PostgreSQL share
//! and runs it through `on!`, which expands to one arm per engine. Every line on which the two
//! differ is in `engine`. Functions that write demand a [`Tx`], which can be committed only
//! together with its audit row, and is announced only after that.

pub mod audit;
pub mod boxes;
pub mod copy;
mod counters;
pub mod credentials;
pub mod customers;
pub mod deliveries;
pub mod downloads;
mod engine;
pub mod entitlements;
pub mod facts;
pub mod flag_overrides;
pub mod gauges;
pub mod kept_answers;
pub mod licenses;
pub mod premium;
mod replicas;
mod schema;
pub mod signing_keys;
pub mod subscriptions;
pub mod usage;
pub mod webhooks;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use activation_token::credential::HashKey;
use engine::Engine;
use writer::Writer;

use crate::changes::Changes;
pub use ::entitlements::sql::Link;
pub use engine::Conn;
pub use schema::Schema;
pub use writer::{Recorded, Tx};

/// An open database. It can be read; [`Store`] writes.
#[derive(Debug, Clone)]
pub struct Database(Engine);

/// The database, and the news that something in it changed.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    writer: Writer,
    chain: audit::Chain,
    changes: Changes,
}

impl Database {
    /// Opens the SQLite file, makes it where it is missing, and brings its schema up to date.
    pub async fn open_sqlite(file: &Path) -> Result<Self, StoreError> {
        Engine::open_sqlite(file).await.map(Self)
    }

    /// Connects to PostgreSQL and brings the schema up to date.
    pub async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        Engine::open_postgres(url).await.map(Self)
    }

    /// Opens an SQLite file that is there, for reading alone and also beside a server. Its schema
    /// stays what it is.
    pub async fn look_sqlite(file: &Path) -> Result<Self, StoreError> {
        Engine::look_sqlite(file).await.map(Self)
    }

    /// Connects to PostgreSQL for reading alone. The schema stays what it is.
    pub async fn look_postgres(url: &str) -> Result<Self, StoreError> {
        Engine::look_postgres(url).await.map(Self)
    }

    /// Its schema, unless it is one that this program does not know.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        Schema::of(self.0.read().await?.link()).await
    }

    /// Fails when the schema is not exactly this program's.
    pub async fn expect_current(&self) -> Result<(), StoreError> {
        let schema = self.schema().await?;
        if !schema.pending.is_empty() {
            return Err(StoreError::Older(schema.version));
        }
        Ok(())
    }

    /// The number of the newest change that concerns gates.
    pub async fn newest_change(&self) -> Result<i64, StoreError> {
        counters::value(self.read().await?.link(), counters::CHANGE).await
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Conn, StoreError> {
        self.0.read().await
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Whether nothing was ever written.
    pub async fn is_new(&self) -> Result<bool, StoreError> {
        let rows = counters::value(self.0.read().await?.link(), counters::AUDIT).await?;
        Ok(rows == 0)
    }
}

impl Store {
    /// Writes to a database, with the key that chains its audit log.
    pub async fn new(database: Database, hash_key: &HashKey) -> Result<Self, StoreError> {
        let newest = counters::value(database.0.read().await?.link(), counters::CHANGE).await?;
        let changes = Changes::starting_at(newest);
        let chain = audit::Chain::new(hash_key);
        Ok(Self {
            writer: Writer::new(database.0.clone(), chain.clone(), changes.clone()),
            database,
            chain,
            changes,
        })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Conn, StoreError> {
        self.database.0.read().await
    }

    /// Begins a change. One is made at a time.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.writer.begin().await
    }

    /// The number of the newest change that concerns gates.
    pub async fn newest_change(&self) -> Result<i64, StoreError> {
        counters::value(self.read().await?.link(), counters::CHANGE).await
    }

    /// Word of changes that concern gates.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// What chains the audit log.
    pub fn chain(&self) -> &audit::Chain {
        &self.chain
    }

    /// Lets running changes end and closes every connection.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

use ::entitlements::on;

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
    /// There is no connection to the database, or it takes no change.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database's schema could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A later release was at work here.
    #[error(
        "the database has schema version {version}, and this Tollgate knows only those up to {knows}\n  \
         hint: run the later release again, or restore a backup from before the upgrade"
    )]
    Newer {
        /// What the database has.
        version: i64,
        /// The newest that this program has.
        knows: i64,
    },
    /// What was applied is not what this program would have applied.
    #[error(
        "migration {0} of the database is not the one of this Tollgate: one of them was edited\n  \
         hint: run the release that made this database, or restore a backup"
    )]
    OtherMigration(i64),
    /// An earlier release made it, and what asks may not bring it up to date.
    #[error(
        "the database has schema version {0}, which is older than this Tollgate needs\n  \
         hint: run `tollgate migrate` first"
    )]
    Older(i64),
    /// Asked of PostgreSQL what only an SQLite file can do.
    #[error("the database is not an SQLite file")]
    NotSqlite,
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
    /// The commit that this change shared with others failed.
    #[error("the change was not made")]
    Shared(#[source] Arc<StoreError>),
    /// The program ended before the change was made.
    #[error("the change was interrupted")]
    Interrupted,
    /// The database does not promise what is asked of it.
    #[error("the database does not run with `{0}`, so a change could be lost")]
    Unsafe(&'static str),
}

impl StoreError {
    /// Whether the database was gone, overloaded or going down: nothing is wrong with the
    /// request, and it may be sent again later.
    pub fn is_outage(&self) -> bool {
        use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Protocol, WorkerCrashed};
        /// Connection trouble, too little memory or disk, shutdown, a lock that was not had, a
        /// deadlock, and a server that is standing by.
        const POSTGRES: [&str; 8] = ["08", "53", "57P", "58", "55P03", "40P01", "25006", "57014"];
        /// Busy, read-only, an error of the disk, a full disk, a file that cannot be opened.
        const SQLITE: [&str; 5] = ["5", "8", "10", "13", "14"];
        match self {
            Self::Shared(error) => error.is_outage(),
            // Whatever the server says: it may have been moved, or be closed to us for a while.
            Self::Interrupted
            | Self::Unreachable(_)
            | Self::Database(Io(_) | PoolClosed | PoolTimedOut | Protocol(_) | WorkerCrashed) => {
                true
            }
            Self::Database(Database(error)) => error.code().is_some_and(|code| {
                // Extended result codes of SQLite carry the plain one in their low byte.
                let plain = code
                    .parse::<u32>()
                    .ok()
                    .map(|code| (code & 0xff).to_string());
                if code.len() == 5
                    && error
                        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                        .is_some()
                {
                    POSTGRES.iter().any(|class| code.starts_with(class))
                } else {
                    plain.is_some_and(|plain| SQLITE.contains(&plain.as_str()))
                }
            }),
            _ => false,
        }
    }
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
