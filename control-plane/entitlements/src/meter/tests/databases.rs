//! Meters on real databases.

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

use super::super::sql::{Tables, schema};
use super::*;
use crate::sql::Prefix;

/// Keeps a database.
pub(in super::super) enum Database {
    Sqlite(
        SqlitePool,
        #[expect(dead_code, reason = "lives as long as the database")] tempfile::TempDir,
    ),
    Postgres(PgPool),
}

impl Database {
    /// Runs a statement of the test's own.
    pub(in super::super) async fn run(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool, _) => sqlx::query(sql)
                .execute(pool)
                .await
                .unwrap()
                .rows_affected(),
            Self::Postgres(pool) => sqlx::query(sql)
                .execute(pool)
                .await
                .unwrap()
                .rows_affected(),
        }
    }

    /// The one number that a query gives.
    pub(in super::super) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        let (number,) = match self {
            Self::Sqlite(pool, _) => sqlx::query_as(sql).fetch_one(pool).await.unwrap(),
            Self::Postgres(pool) => sqlx::query_as(sql).fetch_one(pool).await.unwrap(),
        };
        number
    }
}

fn prefix() -> Prefix {
    Prefix::parse("of_a_test").unwrap()
}

/// A meter on an SQLite file and one on PostgreSQL.
pub(super) async fn each() -> Vec<Bench> {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(dir.path().join("usage.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(std::time::Duration::from_secs(30));
    let sqlite = SqlitePoolOptions::new().max_connections(8);
    let sqlite = sqlite.connect_with(options).await.unwrap();
    let mut all = vec![];
    let mut bench = Bench::with(|clock| Meter::sqlite(metrics(), sqlite.clone(), &prefix(), clock));
    bench.database = Some(Database::Sqlite(sqlite, dir));
    all.push(bench);

    let postgres = new_postgres_database().await;
    let mut bench =
        Bench::with(|clock| Meter::postgres(metrics(), postgres.clone(), &prefix(), clock));
    bench.database = Some(Database::Postgres(postgres));
    all.push(bench);
    for bench in &all {
        bench.meter.setup().await.unwrap();
    }
    all
}

async fn new_postgres_database() -> PgPool {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let server = std::env::var("TOLLGATE_TEST_POSTGRES_URL").expect(
        "TOLLGATE_TEST_POSTGRES_URL names no PostgreSQL; run `ci/test`, or `ci/postgres start DIR` and set it",
    );
    let nth = NEXT.fetch_add(1, Ordering::SeqCst);
    let process = std::process::id();
    // Ids of processes come again; with the time, none meets another.
    let time = Clock::system().now().as_microsecond();
    let name = format!("meter_{process}_{nth}_{time}");
    let admin = PgPool::connect(&server).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
    sqlx::query(create).execute(&admin).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    PgPool::connect(&format!("{base}/{name}")).await.unwrap()
}

#[tokio::test]
async fn ent_42_the_tables_are_made_once_however_often_and_by_however_many_it_is_asked() {
    for bench in each().await {
        let database = bench.database.as_ref().unwrap();
        bench.add("api_calls", 1).await;
        let all = futures_of(8, || bench.meter.setup()).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(bench.used("api_calls").await, 1);
        assert_eq!(
            database
                .number("SELECT COUNT(*) FROM of_a_test_usage")
                .await,
            1
        );
    }
    let other = Prefix::parse("other").unwrap();
    assert!(
        schema(&other)
            .iter()
            .all(|sql| sql.contains(" other_usage") && !sql.contains('{'))
    );
}

/// Every statement can be prepared on both engines, also those that a test has no way to.
#[tokio::test]
async fn every_statement_is_of_both_dialects() {
    for bench in each().await {
        let tables = Tables::new(&prefix());
        for (name, sql) in tables.statements() {
            let prepared = match bench.database.as_ref().unwrap() {
                Database::Sqlite(..) if ["hold", "add_with_event"].contains(&name) => Ok(()),
                Database::Sqlite(pool, _) => {
                    sqlx::Executor::prepare(pool, AssertSqlSafe(sql).into_sql_str())
                        .await
                        .map(drop)
                }
                Database::Postgres(pool) => {
                    sqlx::Executor::prepare(pool, AssertSqlSafe(sql).into_sql_str())
                        .await
                        .map(drop)
                }
            };
            assert!(prepared.is_ok(), "{name}: {prepared:?}");
        }
    }
}

use sqlx::SqlSafeStr;

/// The results of so many at a time.
pub(in super::super) async fn futures_of<T, F: Future<Output = T>>(
    many: usize,
    make: impl Fn() -> F,
) -> Vec<T> {
    futures_util::future::join_all((0..many).map(|_| make())).await
}
