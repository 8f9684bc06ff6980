//! Entitlements on a PostgreSQL server, with word of every change to all who use it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::{Postgres as Engine, Transaction};
use tokio::runtime::Handle;

use super::{Change, Driver, DriverError, Listener, Watching, statements};
use crate::sql::{self, Link, Prefix};
use crate::stored::{
    After, Assignment, Configured, Overrides, SetSwitch, Stored, Switch, Switched, Switches,
};

const CONNECTIONS: u32 = 8;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before listening is tried again.
const RETRY: Duration = Duration::from_secs(1);

const NOTIFY: &str = "SELECT pg_notify($1, $2)";
/// What is said of a change that concerns all. No subject's name is empty.
const EVERYTHING: &str = "";

/// Keeps entitlements on a PostgreSQL server. Every change tells all processes that use the same
/// tables, in the transaction that makes it, on channel `<prefix>_changes`.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
    prefix: Prefix,
    channel: Arc<str>,
}

impl Postgres {
    /// Connects to the server.
    pub async fn connect(url: &str, prefix: Prefix) -> Result<Self, DriverError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect(url)
            .await?;
        Ok(Self::on(pool, prefix))
    }

    /// Uses a pool that is there already.
    pub fn on(pool: PgPool, prefix: Prefix) -> Self {
        Self {
            channel: format!("{}_changes", prefix.as_str()).into(),
            pool,
            prefix,
        }
    }

    async fn read(&self) -> Result<PoolConnection<Engine>, DriverError> {
        Ok(self.pool.acquire().await?)
    }

    async fn begin(&self) -> Result<Transaction<'static, Engine>, DriverError> {
        Ok(self.pool.begin().await?)
    }

    async fn end(
        &self,
        mut tx: Transaction<'static, Engine>,
        change: Change<'_>,
    ) -> Result<(), DriverError> {
        let what = match change {
            Change::Subject(subject) => subject,
            Change::Everything => EVERYTHING,
        };
        let notify = sqlx::query(NOTIFY).bind(&*self.channel).bind(what);
        notify.execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Listens until the connection is lost or nobody wants to hear any more.
    async fn listen(&self, listener: &Listener) -> Result<(), sqlx::Error> {
        // A pool of its own: the others would lose a connection for good.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with((*self.pool.connect_options()).clone())
            .await?;
        let mut messages = PgListener::connect_with(&pool).await?;
        messages.eager_reconnect(false);
        messages.listen(&self.channel).await?;
        // What happened while nobody listened is not known.
        let mut wanted = listener.tell(Change::Everything);
        while wanted && let Some(message) = messages.try_recv().await? {
            wanted = listener.tell(match message.payload() {
                EVERYTHING => Change::Everything,
                subject => Change::Subject(subject),
            });
        }
        Ok(())
    }
}

fn link(connection: &mut PgConnection) -> Link<'_> {
    Link::Postgres(connection)
}

statements!(Postgres, {
    fn watch(&self, listener: Listener) -> Watching {
        let Ok(runtime) = Handle::try_current() else {
            tracing::warn!("there is no runtime to listen for changes of entitlements on");
            return Watching::default();
        };
        let driver = self.clone();
        let task = runtime.spawn(async move {
            // Each outage is said once. Until its end, what is cached is good for its life.
            let mut said = false;
            while listener.is_there() {
                match driver.listen(&listener).await {
                    Ok(()) => said = false,
                    Err(error) if !said => {
                        tracing::warn!(%error, "changes of entitlements are not heard of");
                        said = true;
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(RETRY).await;
            }
        });
        Watching::by(task.abort_handle())
    }
});
