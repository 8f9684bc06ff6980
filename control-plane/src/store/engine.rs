//! Every line on which SQLite and PostgreSQL differ: opening, pragmas, how a write begins.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Postgres, SqlStr, Sqlite, Transaction};

use super::{StoreError, audit, counters};
use crate::changes::Changes;
use crate::domain::{Event, Requester};

const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "licenses", include_str!("migrations/0001_licenses.sql"))];

/// Connections for reading at the same time. SQLite writes through one of its own.
const READERS: u32 = 8;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The database, and the news that something in it changed.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    changes: Changes,
}

#[derive(Debug, Clone)]
enum Engine {
    Sqlite { read: SqlitePool, write: SqlitePool },
    Postgres(PgPool),
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

/// A write transaction. Dropped, it rolls back.
#[derive(Debug)]
pub struct Tx {
    inner: TxInner,
    changes: Changes,
}

#[derive(Debug)]
enum TxInner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Store {
    /// Opens the SQLite file, makes it where it is missing, and brings its schema up to date.
    pub async fn open_sqlite(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged change survives a power cut, not only a crash.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |size| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .test_before_acquire(false)
        };
        let write = pool(1).connect_with(options.clone()).await?;
        assert_durable(&write).await?;
        migrator().run(&write).await?;
        let read = pool(READERS).connect_with(options.read_only(true)).await?;
        Self::new(Engine::Sqlite { read, write }).await
    }

    /// Connects to PostgreSQL and brings the schema up to date.
    pub async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        // Each connection is tried before its use: a server that was restarted costs no request.
        let options = PgPoolOptions::new().max_connections(READERS);
        let pool = options.connect(url).await?;
        migrator().run(&pool).await?;
        Self::new(Engine::Postgres(pool)).await
    }

    async fn new(engine: Engine) -> Result<Self, StoreError> {
        let newest = counters::value(engine.read().await?.link(), counters::CHANGE).await?;
        let changes = Changes::starting_at(newest);
        Ok(Self { engine, changes })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Conn, StoreError> {
        self.engine.read().await
    }

    /// The number of the newest change that concerns gates.
    pub async fn newest_change(&self) -> Result<i64, StoreError> {
        counters::value(self.read().await?.link(), counters::CHANGE).await
    }

    /// Begins a write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let inner = match &self.engine {
            // A deferred transaction that reads first fails at once when another one writes.
            Engine::Sqlite { write, .. } => {
                TxInner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?)
            }
            Engine::Postgres(pool) => TxInner::Postgres(pool.begin().await?),
        };
        Ok(Tx {
            inner,
            changes: self.changes.clone(),
        })
    }

    /// Word of changes that concern gates.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Waits for running statements and closes every connection.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }
}

impl Engine {
    async fn read(&self) -> Result<Conn, StoreError> {
        Ok(match self {
            Self::Sqlite { read, .. } => Conn::Sqlite(read.acquire().await?),
            Self::Postgres(pool) => Conn::Postgres(pool.acquire().await?),
        })
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

impl Tx {
    /// What to run a statement on.
    pub fn link(&mut self) -> Link<'_> {
        match &mut self.inner {
            TxInner::Sqlite(transaction) => Link::Sqlite(transaction),
            TxInner::Postgres(transaction) => Link::Postgres(transaction),
        }
    }

    /// Writes the audit row and commits: there is no other way to make a change last. Then
    /// announces it.
    pub async fn commit(
        mut self,
        requester: &Requester,
        now: Timestamp,
        event: Event,
    ) -> Result<(), StoreError> {
        let change = if event.concerns_gates {
            Some(counters::next(self.link(), counters::CHANGE).await?)
        } else {
            None
        };
        audit::append(&mut self, requester, now, event).await?;
        match self.inner {
            TxInner::Sqlite(transaction) => transaction.commit().await?,
            TxInner::Postgres(transaction) => transaction.commit().await?,
        }
        if let Some(number) = change {
            self.changes.announce(number).await;
        }
        Ok(())
    }
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
