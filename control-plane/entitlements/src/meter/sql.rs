//! Usage in a database, on a [`Link`] within a caller's transaction.
//!
//! | Table | Holds |
//! |---|---|
//! | `<prefix>_usage` | a subject's aggregate of a metric in one bucket, and whether somebody was told of a soft hit |
//! | `<prefix>_usage_events` | each event, until it is pruned |
//! | `<prefix>_usage_values` | the different values of a bucket, until it is pruned |
//! | `<prefix>_usage_keys` | idempotency keys, until they are pruned |
//! | `<prefix>_usage_horizon` | from when on events are kept |

mod statements;

use manifest::Aggregate;
use sqlx::AssertSqlSafe;

use super::MeterError;
use super::rows::{Answer, EventRow, KeyRow, NewEvent, Place, Raised, Rise, Rows, count_in_two};
use crate::on;
use crate::sql::{Link, Prefix};
use statements::Statements;
pub use statements::schema;

/// An aggregate and the number of its newest event.
type Grown = (i64, i64);

/// Events that are read at a time.
const PAGE: usize = 1_000;

/// The tables of usage under one prefix. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tables(std::sync::Arc<Statements>);

impl Tables {
    /// The tables under a prefix.
    pub fn new(prefix: &Prefix) -> Self {
        Self(std::sync::Arc::new(Statements::new(prefix)))
    }

    /// Each statement with its name.
    #[cfg(test)]
    pub(super) fn statements(&self) -> Vec<(&'static str, String)> {
        let all = self.0.all().into_iter();
        all.map(|(name, sql)| (name, sql.to_string())).collect()
    }
}

/// Makes the tables where they are missing (ENT-42). Do this in a transaction.
pub async fn setup(mut link: Link<'_>, prefix: &Prefix) -> Result<(), MeterError> {
    if let Link::Postgres(connection) = &mut link {
        // Two that make the same table at the same time meet an error.
        let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtext($1))").bind(prefix.as_str());
        lock.execute(&mut **connection).await?;
    }
    for statement in schema(prefix) {
        on!(link.again(), |c| sqlx::query(AssertSqlSafe(statement))
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// Rows in a database.
#[derive(Debug)]
pub struct SqlRows<'c> {
    link: Link<'c>,
    tables: Tables,
}

impl<'c> SqlRows<'c> {
    /// Works on these tables through this link.
    pub fn on(link: Link<'c>, tables: &Tables) -> Self {
        Self {
            link,
            tables: tables.clone(),
        }
    }
}

/// A query of one of our statements, on whichever engine. `at place` binds what says which
/// aggregate is meant.
macro_rules! query {
    ($rows:ident, $statement:ident at $place:ident, $run:ident as $row:ty $(, $bind:expr)* $(,)?) => {
        query!($rows, $statement, $run as $row, &$place.subject, &*$place.metric, &$place.rule,
            $place.from $(, $bind)*)
    };
    ($rows:ident, $statement:ident, $run:ident $(, $bind:expr)* $(,)?) => {{
        let sql = std::sync::Arc::clone(&$rows.tables.0.$statement);
        on!($rows.link.again(), |c| sqlx::query(AssertSqlSafe(sql))$(.bind($bind))*.$run(c).await)
    }};
    ($rows:ident, $statement:ident, $run:ident as $row:ty $(, $bind:expr)* $(,)?) => {{
        let sql = std::sync::Arc::clone(&$rows.tables.0.$statement);
        on!($rows.link.again(), |c| sqlx::query_as::<_, $row>(AssertSqlSafe(sql))
            $(.bind($bind))*.$run(c).await)
    }};
}

/// How many rows a statement changed.
macro_rules! changed {
    ($rows:ident, $statement:ident at $place:ident $(, $bind:expr)* $(,)?) => {
        changed!($rows, $statement, &$place.subject, &*$place.metric, &$place.rule, $place.from
            $(, $bind)*)
    };
    ($rows:ident, $statement:ident $(, $bind:expr)* $(,)?) => {{
        let sql = std::sync::Arc::clone(&$rows.tables.0.$statement);
        on!($rows.link.again(), |c| sqlx::query(AssertSqlSafe(sql))$(.bind($bind))*
            .execute(c).await.map(|done| done.rows_affected()))
    }};
}

impl Rows for SqlRows<'_> {
    async fn take_key(&mut self, subject: &str, key: &str, row: &KeyRow, now: i64) -> Answer<bool> {
        let KeyRow { metric, amount, at } = row;
        let taken = changed!(self, take_key, subject, key, metric, amount, *at, now)?;
        Ok(taken == 1)
    }

    async fn key(&mut self, subject: &str, key: &str) -> Answer<Option<KeyRow>> {
        let row = query!(
            self,
            key,
            fetch_optional as (String, String, i64),
            subject,
            key
        )?;
        Ok(row.map(|(metric, amount, at)| KeyRow { metric, amount, at }))
    }

    async fn drop_key(&mut self, subject: &str, key: &str) -> Answer<()> {
        changed!(self, drop_key, subject, key)?;
        Ok(())
    }

    async fn add_value(&mut self, place: &Place, value: &str) -> Answer<bool> {
        let added = changed!(self, add_value at place, value, place.to)?;
        Ok(added == 1)
    }

    async fn drop_value(&mut self, place: &Place, value: &str) -> Answer<()> {
        changed!(self, drop_value at place, value)?;
        Ok(())
    }

    async fn raise(&mut self, place: &Place, rise: Rise) -> Answer<Option<Raised>> {
        let Rise { quantity, at, .. } = rise;
        let row = match rise.aggregate {
            Aggregate::Sum | Aggregate::Unique => {
                let Some(room) = room(rise) else {
                    return Ok(None);
                };
                query!(self, add at place, fetch_optional as Grown, quantity, at, room)?
            }
            Aggregate::Max => {
                query!(self, raise_max at place, fetch_optional as Grown, quantity, at)?
            }
            Aggregate::Last => {
                query!(self, raise_last at place, fetch_optional as Grown, quantity, at)?
            }
        };
        Ok(row.map(|(value, nth)| Raised { value, nth }))
    }

    async fn count(
        &mut self,
        place: &Place,
        rise: Rise,
        event: &NewEvent<'_>,
    ) -> Answer<Option<Raised>> {
        let is_sum = matches!(rise.aggregate, Aggregate::Sum | Aggregate::Unique);
        let Link::Postgres(connection) = self.link.again() else {
            return count_in_two(self, place, rise, event).await;
        };
        if !is_sum {
            return count_in_two(self, place, rise, event).await;
        }
        let Some(room) = room(rise) else {
            return Ok(None);
        };
        // One exchange in place of two, for as long as the aggregate is held.
        let sql = std::sync::Arc::clone(&self.tables.0.add_with_event);
        let row = sqlx::query_as::<_, Grown>(AssertSqlSafe(sql))
            .bind(&place.subject)
            .bind(&*place.metric)
            .bind(&place.rule)
            .bind(place.from)
            .bind(rise.quantity)
            .bind(rise.at)
            .bind(room)
            .bind(event.quantity)
            .bind(event.value)
            .bind(event.recorded_at)
            .fetch_optional(connection)
            .await?;
        Ok(row.map(|(value, nth)| Raised { value, nth }))
    }

    async fn lower(&mut self, place: &Place, quantity: i64) -> Answer<()> {
        changed!(self, lower at place, quantity)?;
        Ok(())
    }

    async fn value(&mut self, place: &Place) -> Answer<i64> {
        let row = query!(self, value at place, fetch_optional as (i64,))?;
        Ok(row.map_or(0, |(value,)| value))
    }

    async fn mark(&mut self, place: &Place, now: i64) -> Answer<bool> {
        let marked = changed!(self, mark at place, now)?;
        Ok(marked == 1)
    }

    async fn add_event(&mut self, place: &Place, event: &EventRow, now: i64) -> Answer<()> {
        let EventRow {
            at,
            rule,
            nth,
            quantity,
            value,
        } = event;
        changed!(
            self,
            add_event,
            &place.subject,
            &*place.metric,
            *at,
            rule,
            *nth,
            *quantity,
            value,
            now
        )?;
        Ok(())
    }

    async fn drop_event(&mut self, place: &Place, at: i64, nth: i64) -> Answer<bool> {
        let Place {
            subject,
            metric,
            rule,
            ..
        } = place;
        let dropped = changed!(self, drop_event, subject, &**metric, at, rule, nth)?;
        Ok(dropped == 1)
    }

    async fn of_events(&mut self, place: &Place, aggregate: Aggregate) -> Answer<i64> {
        let Place {
            subject,
            metric,
            from,
            to,
            ..
        } = place;
        let metric = &**metric;
        let found = match aggregate {
            Aggregate::Sum => query!(
                self,
                events_sum,
                fetch_one as (i64,),
                subject,
                metric,
                *from,
                *to
            ),
            Aggregate::Max => query!(
                self,
                events_max,
                fetch_one as (i64,),
                subject,
                metric,
                *from,
                *to
            ),
            Aggregate::Last => query!(
                self,
                events_last,
                fetch_one as (i64,),
                subject,
                metric,
                *from,
                *to
            ),
            Aggregate::Unique => query!(
                self,
                events_unique,
                fetch_one as (i64,),
                subject,
                metric,
                *from,
                *to
            ),
        };
        read(metric, found)
    }

    async fn of_buckets(&mut self, place: &Place, aggregate: Aggregate) -> Answer<i64> {
        let found = match aggregate {
            Aggregate::Sum | Aggregate::Unique => {
                query!(self, buckets_sum at place, fetch_one as (i64,), place.to)
            }
            Aggregate::Max => query!(self, buckets_max at place, fetch_one as (i64,), place.to),
            Aggregate::Last => query!(self, buckets_last at place, fetch_one as (i64,), place.to),
        };
        read(&place.metric, found)
    }

    async fn horizon(&mut self) -> Answer<Option<i64>> {
        let row = query!(self, horizon, fetch_optional as (i64,))?;
        Ok(row.map(|(until,)| until))
    }

    async fn prune(&mut self, until: i64) -> Answer<()> {
        changed!(self, set_horizon, until)?;
        changed!(self, prune_events, until)?;
        changed!(self, prune_values, until)?;
        changed!(self, prune_keys, until)?;
        Ok(())
    }

    async fn hold(&mut self) -> Answer<()> {
        // A change of SQLite keeps all others out anyway.
        if let Link::Postgres(connection) = &mut self.link {
            let sql = std::sync::Arc::clone(&self.tables.0.hold);
            let hold = sqlx::query(AssertSqlSafe(sql));
            hold.execute(&mut **connection).await?;
        }
        Ok(())
    }

    async fn subjects(&mut self) -> Answer<Vec<String>> {
        let rows = query!(self, subjects, fetch_all as (String,))?;
        Ok(rows.into_iter().map(|(subject,)| subject).collect())
    }

    async fn clear(&mut self, place: &Place) -> Answer<()> {
        changed!(self, clear at place)?;
        changed!(self, clear_values at place)?;
        Ok(())
    }

    async fn events(&mut self, place: &Place, after: Option<&EventRow>) -> Answer<Vec<EventRow>> {
        let Place {
            subject,
            metric,
            from,
            ..
        } = place;
        let (at, rule, nth) = after.map_or((*from, "", 0), |last| (last.at, &*last.rule, last.nth));
        let page = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let rows = query!(
            self,
            events,
            fetch_all as (i64, String, i64, i64, Option<String>),
            subject,
            &**metric,
            at,
            rule,
            nth,
            page
        )?;
        let event = |(at, rule, nth, quantity, value)| EventRow {
            at,
            rule,
            nth,
            quantity,
            value,
        };
        Ok(rows.into_iter().map(event).collect())
    }

    async fn put(&mut self, place: &Place, value: i64, last_at: i64, nth: i64) -> Answer<()> {
        changed!(self, put at place, value, last_at, nth
        )?;
        Ok(())
    }
}

/// The most that an aggregate may be before it is raised so far; none where no sum fits.
fn room(rise: Rise) -> Option<i64> {
    let room = rise.ceiling.checked_sub(rise.quantity)?;
    (room >= 0).then_some(room)
}

/// An aggregate that the database made, unless it found no number for it.
fn read(metric: &str, found: Result<(i64,), sqlx::Error>) -> Answer<i64> {
    /// "Numeric value out of range".
    const POSTGRES: &str = "22003";
    match found {
        Ok((value,)) => Ok(value),
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(POSTGRES)
                || error.message().contains("integer overflow") =>
        {
            Err(MeterError::Overflow(metric.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
