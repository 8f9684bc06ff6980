//! Every line on which SQLite and PostgreSQL differ: opening, pragmas, how a write begins.

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Postgres, Sqlite};

use super::{Link, StoreError, on, schema};

/// Connections for reading at the same time. Writing has one of its own.
const READERS: u32 = 8;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Whoever asks while the database is gone is told so after this time.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A server that answers nothing at all any more is given up, later than it would give up itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);
/// A connection that was good so short a time ago is good.
const TRIED_FOR: Duration = Duration::from_secs(1);
/// A writer elsewhere that hangs may not hold up everybody: milliseconds.
const POSTGRES_LIMITS: [(&str, &str); 3] = [
    ("lock_timeout", "10000"),
    ("statement_timeout", "20000"),
    ("idle_in_transaction_session_timeout", "20000"),
];

/// Where PostgreSQL tells of changes.
const CHANNEL: &str = "tollgate_changes";
const NOTIFY: &str = "SELECT pg_notify($1, '')";

/// One database: a pool for reading, and how to open the connection for writing.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    /// An SQLite file.
    Sqlite {
        read: SqlitePool,
        write: Box<SqliteConnectOptions>,
    },
    /// A PostgreSQL server. Its pool knows how to connect.
    Postgres { read: PgPool },
}

/// A connection for reading.
#[derive(Debug)]
pub enum Conn {
    /// To SQLite.
    Sqlite(PoolConnection<Sqlite>),
    /// To PostgreSQL.
    Postgres(PoolConnection<Postgres>),
}

/// The connection for writing. A transaction that is open when it goes is rolled back.
#[derive(Debug)]
pub(super) enum WriteConn {
    /// To SQLite.
    Sqlite(SqliteConnection),
    /// To PostgreSQL.
    Postgres(PgConnection),
}

impl Engine {
    /// Opens the SQLite file, makes it where it is missing, and brings its schema up to date.
    pub(super) async fn open_sqlite(file: &Path) -> Result<Self, StoreError> {
        let write = sqlite_options(file).create_if_missing(true);
        let mut connection = open_sqlite_for_writing(&write).await?;
        schema::migrate_sqlite(&mut connection).await?;
        connection.close().await?;
        let read = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(write.clone().read_only(true))
            .await?;
        let write = Box::new(write);
        Ok(Self::Sqlite { read, write })
    }

    /// Connects to PostgreSQL and brings the schema up to date.
    pub(super) async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse()?;
        let options = options.options(POSTGRES_LIMITS);
        // The pool would try again and again, and hide the reason.
        let mut connection = options.connect().await?;
        schema::migrate_postgres(&mut connection).await?;
        connection.close().await?;
        // A connection is tried before its use, unless it was in use just now: a server that was
        // restarted costs no request but those that run.
        let read = PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for >= TRIED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self::Postgres { read })
    }

    /// Opens an SQLite file that is there for reading alone, also beside a server.
    pub(super) async fn look_sqlite(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(1);
        let read = pool.connect_with(options.clone()).await?;
        let write = Box::new(options);
        Ok(Self::Sqlite { read, write })
    }

    /// Connects to PostgreSQL for reading alone.
    pub(super) async fn look_postgres(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse()?;
        let options = options.options([("default_transaction_read_only", "on")]);
        options.connect().await?.close().await?;
        let pool = PgPoolOptions::new().max_connections(1);
        let read = pool.connect_with(options).await?;
        Ok(Self::Postgres { read })
    }

    /// A connection for reading.
    pub(super) async fn read(&self) -> Result<Conn, StoreError> {
        let connection = match self {
            Self::Sqlite { read, .. } => read.acquire().await.map(Conn::Sqlite),
            Self::Postgres { read } => read.acquire().await.map(Conn::Postgres),
        };
        connection.map_err(StoreError::Unreachable)
    }

    /// A connection for writing.
    pub(super) async fn write(&self) -> Result<WriteConn, StoreError> {
        let opening = async {
            Ok(match self {
                Self::Sqlite { write, .. } => {
                    WriteConn::Sqlite(open_sqlite_for_writing(write).await?)
                }
                Self::Postgres { read } => {
                    WriteConn::Postgres(read.connect_options().connect().await?)
                }
            })
        };
        unreachable(within(ACQUIRE_TIMEOUT, opening).await)
    }

    /// Listens for changes that other processes make. None where nobody else can make any.
    pub(super) async fn listen(&self) -> Result<Option<PgListener>, StoreError> {
        let Self::Postgres { read } = self else {
            return Ok(None);
        };
        // A pool of its own: the readers' would lose one for good.
        let options = (*read.connect_options()).clone();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Some(listener))
    }

    /// Waits for running statements and closes the connections for reading.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { read, .. } => read.close().await,
            Self::Postgres { read } => read.close().await,
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

impl WriteConn {
    /// What to run a statement on.
    pub(super) fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(connection) => Link::Postgres(connection),
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        // A deferred transaction that reads first fails at once when another one writes.
        let sql = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        unreachable(self.run(sql).await)
    }

    /// Has the other processes on this database hear of a change once it is committed. An SQLite
    /// file has none.
    pub(super) async fn tell_replicas(&mut self) -> Result<(), StoreError> {
        if let Self::Postgres(connection) = self {
            let notify = sqlx::query(NOTIFY).bind(CHANNEL);
            notify.execute(connection).await?;
        }
        Ok(())
    }

    /// Runs statements without parameters, in one exchange.
    pub(super) async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        answer(async {
            on!(self.link(), |c| sqlx::raw_sql(sql)
                .execute(c)
                .await
                .map(drop))?;
            Ok(())
        })
        .await
    }

    /// Takes leave of the database.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.close().await?,
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

/// Who cannot even begin has no database, whatever it says: it may have been moved, or be closed
/// to us for a while.
fn unreachable<T>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    result.map_err(|error| match error {
        StoreError::Database(error) => StoreError::Unreachable(error),
        error => error,
    })
}

/// Waits for what the database answers, but not for ever.
pub(super) async fn answer<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    within(ANSWER_TIMEOUT, work).await
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(time, work).await {
        Ok(result) => result,
        Err(elapsed) => Err(sqlx::Error::Io(elapsed.into()).into()),
    }
}

async fn open_sqlite_for_writing(
    options: &SqliteConnectOptions,
) -> Result<SqliteConnection, StoreError> {
    let mut connection = options.connect().await?;
    assert_durable(&mut connection).await?;
    Ok(connection)
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

async fn assert_durable(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await?;
    let (synchronous,): (i64,) = sqlx::query_as("PRAGMA synchronous")
        .fetch_one(connection)
        .await?;
    if mode != "wal" {
        return Err(StoreError::Unsafe("journal_mode = WAL"));
    }
    if synchronous < 2 {
        return Err(StoreError::Unsafe("synchronous = FULL"));
    }
    Ok(())
}
