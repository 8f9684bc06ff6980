//! New, empty databases, one for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use entitlements::sql::Link;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tempfile::TempDir;

/// A connection to a database of its own.
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connection {
    pub(crate) fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(connection) => Link::Postgres(connection),
        }
    }

    /// One on each engine, and what to keep until the end.
    pub(crate) async fn each() -> [(Self, Option<TempDir>); 2] {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("test.db");
        let sqlite = SqliteConnectOptions::new().filename(file);
        let sqlite = sqlite.create_if_missing(true).connect().await.unwrap();
        let postgres = new_postgres().await.connect().await.unwrap();
        [
            (Self::Sqlite(sqlite), Some(dir)),
            (Self::Postgres(postgres), None),
        ]
    }
}

/// A new database on the server that `ci/postgres` started.
pub(crate) async fn new_postgres() -> PgConnectOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("TOLLGATE_TEST_POSTGRES_URL").expect(
        "TOLLGATE_TEST_POSTGRES_URL names no PostgreSQL; run `ci/test`, or `ci/postgres start DIR` and set it",
    );
    let server: PgConnectOptions = server.parse().expect("a URL of PostgreSQL");
    // Ids of processes come again; with the time, none meets another.
    let time = entitlements::Clock::system().now().as_microsecond();
    let (process, nth) = (std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
    let name = format!("entitlements_{process}_{nth}_{time}");
    let mut connection = server.connect().await.expect("PostgreSQL runs");
    let sql = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    server.database(&name)
}
