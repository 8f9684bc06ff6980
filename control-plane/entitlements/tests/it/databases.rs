//! New, empty databases, one for each test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use entitlements::driver::{Driver, Memory, Postgres, Sqlite};
use entitlements::sql::{Link, Prefix};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _};
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

/// A driver that keeps nothing yet, and how to open it once more.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    kept: Kept,
}

enum Kept {
    Memory(Memory),
    Sqlite(TempDir),
    Postgres(Box<PgConnectOptions>),
}

impl Place {
    /// One for each driver.
    pub(crate) async fn each() -> [Self; 3] {
        let place = |name, kept| Self { name, kept };
        [
            place("memory", Kept::Memory(Memory::new())),
            place("sqlite", Kept::Sqlite(TempDir::new().unwrap())),
            Self::postgres().await,
        ]
    }

    pub(crate) async fn postgres() -> Self {
        Self {
            name: "postgres",
            kept: Kept::Postgres(Box::new(new_postgres().await)),
        }
    }

    /// How many connections listen for changes on this PostgreSQL.
    pub(crate) async fn listeners(&self) -> i64 {
        self.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'").await
    }

    /// Ends all connections that listen.
    pub(crate) async fn cut_listeners(&self) {
        let cut = self.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'").await;
        assert!(cut > 0);
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let Kept::Postgres(options) = &self.kept else {
            panic!("it is not PostgreSQL");
        };
        let mut connection = options.connect().await.unwrap();
        let counted = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        counted.unwrap()
    }

    /// A driver over what is kept here, as another process would open it.
    pub(crate) async fn open(&self) -> Arc<dyn Driver> {
        match &self.kept {
            Kept::Memory(memory) => Arc::new(memory.clone()),
            Kept::Sqlite(dir) => {
                let file = dir.path().join("entitlements.db");
                Arc::new(Sqlite::open(file, Prefix::default()).await.unwrap())
            }
            Kept::Postgres(options) => {
                let url = options.to_url_lossy();
                let driver = Postgres::connect(url.as_str(), Prefix::default()).await;
                Arc::new(driver.unwrap())
            }
        }
    }
}

/// A new database on the server that `ci/postgres` started.
async fn new_postgres() -> PgConnectOptions {
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
