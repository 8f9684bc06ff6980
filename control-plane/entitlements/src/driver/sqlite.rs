//! Entitlements in an SQLite file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Sqlite as Engine, Transaction};

use super::{Change, Driver, DriverError, statements};
use crate::sql::{self, Link, Prefix};
use crate::stored::{
    After, Assignment, Configured, Overrides, SetSwitch, Stored, Switch, Switched, Switches,
};

/// Connections for reading at the same time. Writing has one of its own.
const READERS: u32 = 8;
/// How long a writer waits for one of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps entitlements in an SQLite file. What another process changes there shows here when what
/// is cached has lived its life.
#[derive(Debug, Clone)]
pub struct Sqlite {
    read: SqlitePool,
    write: SqlitePool,
    prefix: Prefix,
}

impl Sqlite {
    /// Opens the file, and makes it where it is missing.
    pub async fn open(file: impl AsRef<Path>, prefix: Prefix) -> Result<Self, DriverError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged change survives a power cut, not only a crash.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections| {
            let pool = SqlitePoolOptions::new().max_connections(connections);
            pool.test_before_acquire(false)
        };
        // The writer makes the file that the readers open.
        let write = pool(1).connect_with(options.clone()).await?;
        let read = pool(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self {
            read,
            write,
            prefix,
        })
    }

    async fn read(&self) -> Result<PoolConnection<Engine>, DriverError> {
        Ok(self.read.acquire().await?)
    }

    /// One that reads first would fail at once when another one writes: so all write from the
    /// start.
    async fn begin(&self) -> Result<Transaction<'static, Engine>, DriverError> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn end(
        &self,
        tx: Transaction<'static, Engine>,
        _change: Change<'_>,
    ) -> Result<(), DriverError> {
        Ok(tx.commit().await?)
    }
}

fn link(connection: &mut SqliteConnection) -> Link<'_> {
    Link::Sqlite(connection)
}

statements!(Sqlite, {});
