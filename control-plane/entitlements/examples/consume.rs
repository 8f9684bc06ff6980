//! How much can be taken from limits a second, beside what the same database makes of one bare
//! `UPDATE` of one row at a time in the same run:
//!
//! `consume SECONDS [POSTGRES-URL]`; without a URL on SQLite alone. On PostgreSQL it makes tables
//! of its own in that database. Every commit is flushed to the disk, unless the server says
//! otherwise. Prints, asserts nothing.

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use entitlements::meter::{Event, Meter, Metrics};
use entitlements::sql::Prefix;
use entitlements::{Clock, Limit};
use manifest::Aggregate;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::Mutex;

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Rows of the bare table, and subjects.
const ROWS: u64 = 10_000;
/// Connections, and so how many work at a time at most.
const CONNECTIONS: u32 = 16;
/// No client does more, however fast it goes.
const STEPS_MAX: u32 = 200_000;

const TABLE: &str = "CREATE TABLE bare_rows (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)";
const FILL: &str = "WITH RECURSIVE ids(id) AS (SELECT 0 UNION ALL \
    SELECT id + 1 FROM ids WHERE id < 9999) INSERT INTO bare_rows SELECT id, 0 FROM ids";
const BARE: &str = "UPDATE bare_rows SET value = value + 1 WHERE id = $1";

#[derive(Clone)]
enum Pool {
    /// Who changes it waits in turn, as in the meter.
    Sqlite(SqlitePool, Arc<Mutex<()>>),
    Postgres(PgPool),
}

impl Pool {
    async fn make(&self) -> Done<()> {
        for sql in ["DROP TABLE IF EXISTS bare_rows", TABLE, FILL] {
            match self {
                Self::Sqlite(pool, _) => {
                    sqlx::query(sql).execute(pool).await?;
                }
                Self::Postgres(pool) => {
                    sqlx::query(sql).execute(pool).await?;
                }
            }
        }
        Ok(())
    }

    async fn bare(&self, id: u64) -> Done<()> {
        let id = i64::try_from(id)?;
        match self {
            Self::Sqlite(pool, turn) => {
                let _turn = turn.lock().await;
                sqlx::query(BARE).bind(id).execute(pool).await?;
            }
            Self::Postgres(pool) => {
                sqlx::query(BARE).bind(id).execute(pool).await?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "a program whose result is its output")]
#[tokio::main]
async fn main() -> Done<()> {
    let mut arguments = env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    let dir = tempfile::tempdir()?;
    for (name, pool, meter) in all(&dir, arguments.next()).await? {
        pool.make().await?;
        meter.setup().await?;
        for clients in [1, 8, 64] {
            for (rows, spread) in [("random rows", ROWS), ("one row", 1)] {
                let pool = pool.clone();
                let bare = each_second(clients, time, spread, move |id| {
                    let pool = pool.clone();
                    async move { pool.bare(id).await }
                });
                let bare = bare.await?;
                let meter = meter.clone();
                let taken = each_second(clients, time, spread, move |id| {
                    let meter = meter.clone();
                    async move { take(&meter, id).await }
                });
                let taken = taken.await?;
                let ratio = taken / bare;
                println!(
                    "{name:<10} {clients:>2} clients, {rows:<11}: update {bare:>6.0}/s  \
                     check_and_consume {taken:>6.0}/s  ratio {ratio:.2}"
                );
            }
        }
    }
    Ok(())
}

/// Each database, bare and with a meter.
async fn all(
    dir: &tempfile::TempDir,
    postgres: Option<String>,
) -> Done<Vec<(&'static str, Pool, Meter)>> {
    let options = SqliteConnectOptions::new()
        .filename(dir.path().join("usage.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let sqlite = SqlitePoolOptions::new().max_connections(CONNECTIONS);
    let sqlite = sqlite.connect_with(options).await?;
    let metrics = Metrics::builder().metric("api_calls", "call", Aggregate::Sum);
    let metrics = metrics.build()?;
    let prefix = Prefix::parse("bench")?;
    let meter = Meter::sqlite(metrics.clone(), sqlite.clone(), &prefix, Clock::system());
    let mut all = vec![("sqlite", Pool::Sqlite(sqlite, Arc::default()), meter)];
    if let Some(url) = postgres {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
        let pool = pool.connect(&url).await?;
        let meter = Meter::postgres(metrics, pool.clone(), &prefix, Clock::system());
        all.push(("postgresql", Pool::Postgres(pool), meter));
    }
    Ok(all)
}

async fn take(meter: &Meter, id: u64) -> Done<()> {
    let (subject, event) = (format!("subject-{id}"), Event::quantity("api_calls", 1));
    let limit = Limit::Count(1_000_000_000);
    let taken = meter.check_and_consume(&subject, &event, limit).await?;
    if taken.allowed {
        Ok(())
    } else {
        Err("there was not enough".into())
    }
}

/// Has so many clients do a step again and again, and tells how many were done a second.
async fn each_second<F: Future<Output = Done<()>> + Send>(
    clients: u64,
    time: Duration,
    spread: u64,
    step: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Done<f64> {
    let done = Arc::new(AtomicU32::new(0));
    let begun = Instant::now();
    let clients = (0..clients).map(|client| {
        let (done, step) = (Arc::clone(&done), step.clone());
        tokio::spawn(async move {
            // Chance that comes out the same each time.
            let mut state = client.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            for _ in 0..STEPS_MAX {
                if begun.elapsed() >= time {
                    break;
                }
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                step((state >> 33) % spread).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    let done = done.load(Ordering::Relaxed);
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}
