//! Every line on which SQLite and PostgreSQL differ: opening, pragmas, how a write begins.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection, Postgres, SqlStr, Sqlite, Transaction};

use super::StoreError;

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "licenses", include_str!("migrations/0001_licenses.sql")),
    (
        2,
        "licensing",
        include_str!("migrations/0002_licensing.sql"),
    ),
];

/// Connections for reading at the same time. Writing has one of its own.
const READERS: u32 = 8;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Whoever asks while the database is gone is told so after this time.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A writer elsewhere that hangs may not hold up everybody: milliseconds.
const POSTGRES_LIMITS: [(&str, &str); 3] = [
    ("lock_timeout", "10000"),
    ("statement_timeout", "20000"),
    ("idle_in_transaction_session_timeout", "20000"),
];

/// The pools of one database.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    /// An SQLite file.
    Sqlite { read: SqlitePool, write: SqlitePool },
    /// A PostgreSQL server.
    Postgres { read: PgPool, write: PgPool },
}

/// A connection for reading.
#[derive(Debug)]
pub enum Conn {
    /// To SQLite.
    Sqlite(PoolConnection<Sqlite>),
    /// To PostgreSQL.
    Postgres(PoolConnection<Postgres>),
}

/// What a store function runs its statement on.
#[derive(Debug)]
pub enum Link<'c> {
    /// SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// PostgreSQL.
    Postgres(&'c mut PgConnection),
}

/// A transaction of the database itself, in which the changes of several callers may stand.
#[derive(Debug)]
pub(super) enum Inner {
    /// Of SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// Of PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

impl Engine {
    /// Opens the SQLite file, makes it where it is missing, and brings its schema up to date.
    pub(super) async fn open_sqlite(file: &Path) -> Result<Self, StoreError> {
        let options = sqlite_options(file).create_if_missing(true);
        let pool = |size| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
        };
        let write = pool(1).connect_with(options.clone()).await?;
        assert_durable(&write).await?;
        migrator().run(&write).await?;
        let read = pool(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self::Sqlite { read, write })
    }

    /// Connects to PostgreSQL and brings the schema up to date.
    pub(super) async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse()?;
        let options = options.options(POSTGRES_LIMITS);
        // The pool would try again and again, and hide the reason.
        PgConnection::connect_with(&options).await?.close().await?;
        // Each connection is tried before its use: a server that was restarted costs no request.
        let pool = |size| {
            PgPoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
        };
        let write = pool(1).connect_with(options.clone()).await?;
        migrator().run(&write).await?;
        let read = pool(READERS).connect_with(options).await?;
        Ok(Self::Postgres { read, write })
    }

    /// A connection for reading.
    pub(super) async fn read(&self) -> Result<Conn, StoreError> {
        let connection = match self {
            Self::Sqlite { read, .. } => read.acquire().await.map(Conn::Sqlite),
            Self::Postgres { read, .. } => read.acquire().await.map(Conn::Postgres),
        };
        connection.map_err(StoreError::Unreachable)
    }

    /// Begins a transaction for writing.
    pub(super) async fn begin(&self) -> Result<Inner, StoreError> {
        let transaction = match self {
            // A deferred transaction that reads first fails at once when another one writes.
            Self::Sqlite { write, .. } => {
                write.begin_with("BEGIN IMMEDIATE").await.map(Inner::Sqlite)
            }
            Self::Postgres { write, .. } => write.begin().await.map(Inner::Postgres),
        };
        transaction.map_err(StoreError::Unreachable)
    }

    /// Waits for running statements and closes every connection.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres { read, write } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

impl Conn {
    /// What to run a statement on.
    pub fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(connection) => Link::Postgres(connection),
        }
    }
}

impl Inner {
    /// What to run a statement on.
    pub(super) fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(transaction) => Link::Sqlite(transaction),
            Self::Postgres(transaction) => Link::Postgres(transaction),
        }
    }

    /// Makes everything in it last.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}

fn sqlite_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged change survives a power cut, not only a crash.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|&(version, description, sql)| {
        Migration::new(
            version,
            description.into(),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

async fn assert_durable(pool: &SqlitePool) -> Result<(), StoreError> {
    let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode")
        .fetch_one(pool)
        .await?;
    let (synchronous,): (i64,) = sqlx::query_as("PRAGMA synchronous").fetch_one(pool).await?;
    if mode != "wal" {
        return Err(StoreError::Unsafe("journal_mode = WAL"));
    }
    if synchronous < 2 {
        return Err(StoreError::Unsafe("synchronous = FULL"));
    }
    Ok(())
}
