//! Where assignments, overrides, add-ons and switches are kept.

mod memory;
#[cfg(feature = "sql")]
mod postgres;
#[cfg(feature = "sql")]
mod sqlite;

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::task::AbortHandle;

use crate::cache::Cache;
use crate::stored::{
    After, Assignment, Configured, Overrides, SetSwitch, Stored, Switch, Switched, Switches,
};

pub use memory::Memory;
#[cfg(feature = "sql")]
pub use postgres::Postgres;
#[cfg(feature = "sql")]
pub use sqlite::Sqlite;

/// Keeps what is stored. Names were checked before it is asked; every change of a subject happens
/// whole or not at all, and lasts when it returns.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync + 'static {
    /// Makes room for what is stored, where there is none yet (ENT-42).
    async fn setup(&self) -> Result<(), DriverError>;

    /// All that is stored of a subject, and the switches, as of one instant.
    async fn load(&self, subject: &str) -> Result<(Stored, Switches), DriverError>;

    /// Notes that a subject came to be; whether it is new. Every other change of a subject does
    /// that too.
    async fn create(&self, subject: &str, now: Timestamp) -> Result<bool, DriverError>;

    /// A subject's assignment, if it has one.
    async fn assignment(&self, subject: &str) -> Result<Option<Assignment>, DriverError>;

    /// Assigns a tier, and returns the assignment that it replaces.
    async fn assign(
        &self,
        subject: &str,
        assignment: &Assignment,
    ) -> Result<Option<Assignment>, DriverError>;

    /// Takes the assignment back; whether there was one.
    async fn unassign(&self, subject: &str, now: Timestamp) -> Result<bool, DriverError>;

    /// Sets keys of the subject's overrides and leaves the others. Of two calls at the same time
    /// none is lost (ENT-20).
    async fn merge_overrides(
        &self,
        subject: &str,
        overrides: &Overrides,
        now: Timestamp,
    ) -> Result<(), DriverError>;

    /// Clears the subject's overrides, or only these keys; whether there were any.
    async fn clear_overrides(
        &self,
        subject: &str,
        keys: Option<&[Arc<str>]>,
        now: Timestamp,
    ) -> Result<bool, DriverError>;

    /// Sets the subject's add-ons, in place of those it had.
    async fn set_add_ons(
        &self,
        subject: &str,
        add_ons: &[Arc<str>],
        now: Timestamp,
    ) -> Result<(), DriverError>;

    /// Lists the subjects with an assignment, override or add-on, most recently configured first,
    /// and by name among those of one instant (ENT-41).
    async fn subjects(
        &self,
        after: Option<After<'_>>,
        limit: u32,
    ) -> Result<Vec<Configured>, DriverError>;

    /// All switches, by feature.
    async fn switches(&self) -> Result<Vec<Switch>, DriverError>;

    /// Sets a switch; `None` when its version is not the expected one.
    async fn set_switch(
        &self,
        switch: SetSwitch<'_>,
        now: Timestamp,
    ) -> Result<Option<Switched>, DriverError>;

    /// Tells `listener` of changes that others make, until what is returned goes. A driver that
    /// cannot tell does nothing: then what is cached is good for its life.
    fn watch(&self, listener: Listener) -> Watching {
        drop(listener);
        Watching::default()
    }
}

/// Whoever wants to know of changes that others made.
#[derive(Debug, Clone)]
pub struct Listener(pub(crate) Weak<Cache>);

/// That changes are being told of. Ends when it is dropped.
#[derive(Debug, Default)]
pub struct Watching(Option<AbortHandle>);

impl Watching {
    /// A task does it.
    pub fn by(task: AbortHandle) -> Self {
        Self(Some(task))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What others changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// One subject.
    Subject(&'a str),
    /// Something that concerns all subjects, or nobody knows what.
    Everything,
}

impl Listener {
    /// Whether anybody still listens.
    pub fn is_there(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Tells of a change; whether anybody still listens.
    pub fn tell(&self, change: Change<'_>) -> bool {
        let cache = self.0.upgrade();
        if let Some(cache) = &cache {
            cache.forget(change);
        }
        cache.is_some()
    }
}

/// A driver could not do it: a fault, never the caller's doing.
#[derive(Debug, Clone, thiserror::Error)]
#[error("what is stored of entitlements cannot be reached")]
pub struct DriverError(#[source] Arc<dyn StdError + Send + Sync>);

impl DriverError {
    /// A failure of whatever is below.
    pub fn new(source: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }
}

#[cfg(feature = "sql")]
impl From<crate::sql::SqlError> for DriverError {
    fn from(error: crate::sql::SqlError) -> Self {
        Self::new(error)
    }
}

#[cfg(feature = "sql")]
impl From<sqlx::Error> for DriverError {
    fn from(error: sqlx::Error) -> Self {
        Self::new(error)
    }
}

/// Implements [`Driver`] by the statements of `sql`, on what the type's `read` and `begin` give.
#[cfg(feature = "sql")]
macro_rules! statements {
    ($driver:ty, { $($more:item)* }) => {
        impl $driver {
            /// Begins a change of one subject, which waits for others of it.
            async fn hold(
                &self,
                subject: &str,
                now: Timestamp,
            ) -> Result<Transaction<'static, Engine>, DriverError> {
                let mut tx = self.begin().await?;
                sql::subjects::hold(link(&mut tx), &self.prefix, subject, now).await?;
                Ok(tx)
            }
        }

        #[async_trait]
        impl Driver for $driver {
        async fn setup(&self) -> Result<(), DriverError> {
            let mut tx = self.begin().await?;
            sql::setup(link(&mut tx), &self.prefix).await?;
            Ok(tx.commit().await?)
        }

        async fn load(&self, subject: &str) -> Result<(Stored, Switches), DriverError> {
            let mut connection = self.read().await?;
            Ok(sql::snapshot(link(&mut connection), &self.prefix, subject).await?)
        }

        async fn create(&self, subject: &str, now: Timestamp) -> Result<bool, DriverError> {
            let mut tx = self.begin().await?;
            let new = sql::subjects::create(link(&mut tx), &self.prefix, subject, now).await?;
            self.end(tx, Change::Subject(subject)).await?;
            Ok(new)
        }

        async fn assignment(&self, subject: &str) -> Result<Option<Assignment>, DriverError> {
            let mut connection = self.read().await?;
            Ok(sql::assignments::get(link(&mut connection), &self.prefix, subject).await?)
        }

        async fn assign(
            &self,
            subject: &str,
            assignment: &Assignment,
        ) -> Result<Option<Assignment>, DriverError> {
            let mut tx = self.hold(subject, assignment.assigned_at).await?;
            let before = sql::assignments::get(link(&mut tx), &self.prefix, subject).await?;
            sql::assignments::put(link(&mut tx), &self.prefix, subject, assignment).await?;
            self.end(tx, Change::Subject(subject)).await?;
            Ok(before)
        }

        async fn unassign(&self, subject: &str, now: Timestamp) -> Result<bool, DriverError> {
            let mut tx = self.hold(subject, now).await?;
            let gone = sql::assignments::delete(link(&mut tx), &self.prefix, subject).await?;
            self.end(tx, Change::Subject(subject)).await?;
            Ok(gone)
        }

        async fn merge_overrides(
            &self,
            subject: &str,
            overrides: &Overrides,
            now: Timestamp,
        ) -> Result<(), DriverError> {
            let mut tx = self.hold(subject, now).await?;
            sql::overrides::merge(link(&mut tx), &self.prefix, subject, overrides, now).await?;
            self.end(tx, Change::Subject(subject)).await
        }

        async fn clear_overrides(
            &self,
            subject: &str,
            keys: Option<&[Arc<str>]>,
            now: Timestamp,
        ) -> Result<bool, DriverError> {
            let mut tx = self.hold(subject, now).await?;
            let (link, prefix) = (link(&mut tx), &self.prefix);
            let gone = match keys {
                None => sql::overrides::clear(link, prefix, subject).await?,
                Some(keys) => sql::overrides::clear_keys(link, prefix, subject, keys, now).await?,
            };
            self.end(tx, Change::Subject(subject)).await?;
            Ok(gone)
        }

        async fn set_add_ons(
            &self,
            subject: &str,
            add_ons: &[Arc<str>],
            now: Timestamp,
        ) -> Result<(), DriverError> {
            let mut tx = self.hold(subject, now).await?;
            sql::add_ons::set(link(&mut tx), &self.prefix, subject, add_ons, now).await?;
            self.end(tx, Change::Subject(subject)).await
        }

        async fn subjects(
            &self,
            after: Option<After<'_>>,
            limit: u32,
        ) -> Result<Vec<Configured>, DriverError> {
            let mut connection = self.read().await?;
            let (link, ours) = (link(&mut connection), sql::subjects::AssignmentsIn::Ours);
            Ok(sql::subjects::list(link, &self.prefix, ours, after, limit).await?)
        }

        async fn switches(&self) -> Result<Vec<Switch>, DriverError> {
            let mut connection = self.read().await?;
            Ok(sql::switches::all(link(&mut connection), &self.prefix).await?)
        }

        async fn set_switch(
            &self,
            switch: SetSwitch<'_>,
            now: Timestamp,
        ) -> Result<Option<Switched>, DriverError> {
            let mut tx = self.begin().await?;
            let switched = sql::switches::set(link(&mut tx), &self.prefix, switch, now).await?;
            self.end(tx, Change::Everything).await?;
            Ok(switched)
        }
        $($more)*
        }
    };
}
#[cfg(feature = "sql")]
use statements;
