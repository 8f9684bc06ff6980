//! The meter over a pool of connections.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Amount, Event, Meter, MeterError, Metrics, Store};
use crate::Clock;
use crate::meter::sql::{self, SqlRows, Tables};
use crate::sql::{Link, Prefix};

/// A database and the tables in it.
#[derive(Clone)]
pub(super) struct Pool {
    pub(super) engine: Engine,
    tables: Tables,
    prefix: Prefix,
}

#[derive(Clone)]
pub(super) enum Engine {
    /// One changes it at a time. Those that wait do so here, in turn: in SQLite they would try
    /// again and again, and some would give up.
    Sqlite(SqlitePool, Arc<Mutex<()>>),
    Postgres(PgPool),
}

/// A change that is being made.
pub(super) struct Change {
    transaction: Begun,
    tables: Tables,
}

enum Begun {
    Sqlite(Transaction<'static, Sqlite>, OwnedMutexGuard<()>),
    Postgres(Transaction<'static, Postgres>),
}

/// A connection that is read on.
pub(super) struct Reading {
    connection: Lent,
    tables: Tables,
}

enum Lent {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Meter {
    /// Counts in an SQLite database.
    pub fn sqlite(metrics: Metrics, pool: SqlitePool, prefix: &Prefix, clock: Clock) -> Self {
        Self::sql(metrics, Engine::Sqlite(pool, Arc::default()), prefix, clock)
    }

    /// Counts in a PostgreSQL database.
    pub fn postgres(metrics: Metrics, pool: PgPool, prefix: &Prefix, clock: Clock) -> Self {
        Self::sql(metrics, Engine::Postgres(pool), prefix, clock)
    }

    /// Makes what is missing of the tables. In memory, there are none.
    pub async fn setup(&self) -> Result<(), MeterError> {
        if let Store::Sql(pool) = &self.store {
            let mut change = pool.begin().await?;
            sql::setup(change.link(), &pool.prefix).await?;
            change.commit().await?;
        }
        Ok(())
    }

    fn sql(metrics: Metrics, engine: Engine, prefix: &Prefix, clock: Clock) -> Self {
        let store = Store::Sql(Pool {
            engine,
            tables: Tables::new(prefix),
            prefix: prefix.clone(),
        });
        Self {
            metrics,
            store,
            clock,
        }
    }
}

impl Meter {
    /// Whether an event is counted and kept by one statement, which needs no transaction around
    /// it. That a soft hit is marked after it is no harm: the next one would be.
    pub(super) fn is_one_statement(&self, event: &Event) -> bool {
        let Store::Sql(pool) = &self.store else {
            return false;
        };
        let is_quantity = matches!(event.amount, Amount::Quantity(_));
        matches!(pool.engine, Engine::Postgres(_)) && event.key.is_none() && is_quantity
    }
}

impl Pool {
    pub(super) async fn begin(&self) -> Result<Change, MeterError> {
        let transaction = match &self.engine {
            // A deferred transaction that reads first fails at once when another one writes.
            Engine::Sqlite(pool, turn) => {
                let turn = Arc::clone(turn).lock_owned().await;
                Begun::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?, turn)
            }
            Engine::Postgres(pool) => Begun::Postgres(pool.begin().await?),
        };
        let tables = self.tables.clone();
        Ok(Change {
            transaction,
            tables,
        })
    }

    pub(super) async fn read(&self) -> Result<Reading, MeterError> {
        let connection = match &self.engine {
            Engine::Sqlite(pool, _) => Lent::Sqlite(pool.acquire().await?),
            Engine::Postgres(pool) => Lent::Postgres(pool.acquire().await?),
        };
        let tables = self.tables.clone();
        Ok(Reading { connection, tables })
    }
}

impl Change {
    pub(super) fn link(&mut self) -> Link<'_> {
        match &mut self.transaction {
            Begun::Sqlite(transaction, _) => Link::Sqlite(transaction),
            Begun::Postgres(transaction) => Link::Postgres(transaction),
        }
    }

    pub(super) fn rows(&mut self) -> SqlRows<'_> {
        let tables = self.tables.clone();
        SqlRows::on(self.link(), &tables)
    }

    pub(super) async fn commit(self) -> Result<(), MeterError> {
        match self.transaction {
            Begun::Sqlite(transaction, _turn) => transaction.commit().await?,
            Begun::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}

impl Reading {
    pub(super) fn rows(&mut self) -> SqlRows<'_> {
        let link = match &mut self.connection {
            Lent::Sqlite(connection) => Link::Sqlite(connection),
            Lent::Postgres(connection) => Link::Postgres(connection),
        };
        SqlRows::on(link, &self.tables)
    }
}
