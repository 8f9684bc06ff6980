//! Copies of an SQLite database. PostgreSQL has tools of its own for this.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Sqlite, pool::PoolConnection};

use super::{Conn, Database, StoreError};

const COPY: &str = "VACUUM INTO $1";
const INTEGRITY: &str = "PRAGMA integrity_check(1)";
const REFERENCES: &str = "SELECT COUNT(*) FROM pragma_foreign_key_check";
const SETTLE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

impl Database {
    /// Writes the database as it stands now into a file that is empty. Others may go on writing
    /// meanwhile; the copy has what was committed when it began.
    pub async fn copy_into(&self, file: &Path) -> Result<(), StoreError> {
        let mut connection = self.sqlite().await?;
        let name = file.to_string_lossy();
        let copy = sqlx::query(COPY).bind(&*name);
        copy.execute(&mut *connection).await?;
        Ok(())
    }

    /// Whether the file is whole, or else what is wrong with it first.
    pub async fn integrity(&self) -> Result<Result<(), String>, StoreError> {
        let mut connection = self.sqlite().await?;
        let query = sqlx::query_as::<_, (String,)>(INTEGRITY);
        let (found,) = query.fetch_one(&mut *connection).await?;
        if found != "ok" {
            return Ok(Err(found));
        }
        let query = sqlx::query_as::<_, (i64,)>(REFERENCES);
        let (dangling,) = query.fetch_one(&mut *connection).await?;
        if dangling > 0 {
            return Ok(Err(format!(
                "{dangling} row(s) refer to rows that are not there"
            )));
        }
        Ok(Ok(()))
    }

    async fn sqlite(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        match self.read().await? {
            Conn::Sqlite(connection) => Ok(connection),
            Conn::Postgres(_) => Err(StoreError::NotSqlite),
        }
    }
}

/// Brings what a process left in the write-ahead log into the SQLite file itself.
pub async fn settle(file: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new().filename(file);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query(SETTLE).execute(&mut connection).await?;
    Ok(connection.close().await?)
}
