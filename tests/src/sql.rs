//! A connection of the test's own to a database under test: what an earlier release, an
//! administrator or an attacker does to it.

use std::path::Path;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Postgres, Row, Sqlite};

/// A connection.
#[derive(Debug)]
pub enum Sql {
    /// To an SQLite file.
    Sqlite(SqliteConnection),
    /// To PostgreSQL.
    Postgres(PgConnection),
}

/// A value of the two types that the schema has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// A TEXT.
    Text(Option<String>),
    /// A BIGINT.
    Int(Option<i64>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(ToOwned::to_owned))
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Cell {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl Sql {
    /// Opens an SQLite file as every release does, and makes it where it is missing.
    pub async fn sqlite(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
            .busy_timeout(std::time::Duration::from_secs(10));
        let connection = SqliteConnection::connect_with(&options).await;
        Self::Sqlite(connection.expect("an SQLite file"))
    }

    /// Connects to PostgreSQL.
    pub async fn postgres(url: &str) -> Self {
        Self::Postgres(PgConnection::connect(url).await.expect("a PostgreSQL"))
    }

    /// Begins a change, as every release does on this engine.
    pub async fn begin(&mut self) {
        match self {
            Self::Sqlite(_) => self.run("BEGIN IMMEDIATE", &[]).await,
            Self::Postgres(_) => self.run("BEGIN", &[]).await,
        };
    }

    /// Makes it last.
    pub async fn commit(&mut self) {
        self.run("COMMIT", &[]).await;
    }

    /// Runs a statement and tells how many rows it changed.
    pub async fn run(&mut self, sql: &str, values: &[Cell]) -> u64 {
        self.attempt(sql, values)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs a statement that may fail.
    pub async fn attempt(&mut self, sql: &str, values: &[Cell]) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(c) => {
                let result = bind_sqlite(sql, values).execute(c).await?;
                result.rows_affected()
            }
            Self::Postgres(c) => bind_postgres(sql, values).execute(c).await?.rows_affected(),
        })
    }

    /// Runs a query and returns its rows.
    pub async fn rows(&mut self, sql: &str, values: &[Cell]) -> Vec<Vec<Cell>> {
        let rows = match self {
            Self::Sqlite(c) => bind_sqlite(sql, values)
                .fetch_all(c)
                .await
                .map(|rows| rows.iter().map(sqlite_cells).collect()),
            Self::Postgres(c) => bind_postgres(sql, values)
                .fetch_all(c)
                .await
                .map(|rows| rows.iter().map(postgres_cells).collect()),
        };
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The one number that a query gives.
    pub async fn number(&mut self, sql: &str, values: &[Cell]) -> i64 {
        match self.rows(sql, values).await.as_slice() {
            [row] => match row.as_slice() {
                [Cell::Int(Some(number))] => *number,
                row => panic!("{sql}: {row:?}"),
            },
            rows => panic!("{sql}: {rows:?}"),
        }
    }
}

fn bind_sqlite<'q>(sql: &str, values: &[Cell]) -> Query<'q, Sqlite, SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    values
        .iter()
        .fold(query, |query, value| match value.clone() {
            Cell::Text(text) => query.bind(text),
            Cell::Int(number) => query.bind(number),
        })
}

fn bind_postgres<'q>(sql: &str, values: &[Cell]) -> Query<'q, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    values
        .iter()
        .fold(query, |query, value| match value.clone() {
            Cell::Text(text) => query.bind(text),
            Cell::Int(number) => query.bind(number),
        })
}

fn sqlite_cells(row: &SqliteRow) -> Vec<Cell> {
    let cell = |nth| match row.try_get::<Option<i64>, _>(nth) {
        Ok(number) => Cell::Int(number),
        Err(_) => Cell::Text(row.get(nth)),
    };
    (0..row.len()).map(cell).collect()
}

fn postgres_cells(row: &PgRow) -> Vec<Cell> {
    let cell = |nth| match row.try_get::<Option<i64>, _>(nth) {
        Ok(number) => Cell::Int(number),
        Err(_) => Cell::Text(row.get(nth)),
    };
    (0..row.len()).map(cell).collect()
}
