//! The audit log: rows are added, never changed, and each is chained to the one before it by a
//! keyed hash. Whoever has the database alone can neither edit a row, nor take one out, nor put
//! two in another order without [`verify()`] noticing; a cut at the end shows against the counter,
//! and against a head that was noted elsewhere. Rows without a hash at the end are taken for those
//! of a release that did not chain yet: the next change chains them, and a warning names them.

mod verify;

use std::fmt;
use std::str::FromStr;

use activation_token::credential::HashKey;
use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::engine::WriteConn;
use super::{Link, StoreError, inconsistent, on, row, time};
use crate::domain::audit::{Entry, Filter};
use crate::domain::{Event, Requester};

pub use verify::{Damage, verify};

const INSERT: &str = "INSERT INTO audit \
    (sequence, at, actor, action, subject, before, after, reason, request_id, mac) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const MAC: &str = "SELECT mac FROM audit WHERE sequence = $1";
const LAST_SEALED: &str =
    "SELECT sequence, mac FROM audit WHERE mac IS NOT NULL ORDER BY sequence DESC LIMIT 1";
const SEAL: &str = "UPDATE audit SET mac = $2 WHERE sequence = $1";
const AFTER: &str = "SELECT sequence, at, actor, action, subject, before, after, reason, request_id, mac \
    FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2";
const PAGE: &str = "SELECT sequence, at, actor, action, subject, before, after, reason, request_id, mac \
    FROM audit WHERE ($1 IS NULL OR sequence < $1) AND ($2 IS NULL OR actor = $2) \
    AND ($3 IS NULL OR action = $3) AND ($4 IS NULL OR subject = $4) \
    AND ($5 IS NULL OR at >= $5) AND ($6 IS NULL OR at < $6) \
    ORDER BY sequence DESC LIMIT $7";
const SUMMARY: &str = "SELECT COUNT(*), MIN(sequence), MAX(sequence), MIN(at), MAX(at) \
    FROM audit WHERE sequence > $1";
const ACTIONS: &str = "SELECT action, COUNT(*) FROM audit WHERE sequence > $1 \
    GROUP BY action ORDER BY action";

/// Rows that are read at a time.
const PAGE_ROWS: i64 = 1_000;
/// HMAC-SHA-256 in hexadecimal.
const MAC_LETTERS: usize = 64;

row! {
    /// A row as it is stored.
    struct Row {
        sequence: i64,
        at: i64,
        actor: String,
        action: String,
        subject: String,
        before: Option<String>,
        after: Option<String>,
        reason: Option<String>,
        request_id: Option<String>,
        mac: Option<String>,
    }
}

impl Row {
    fn into_domain(self) -> Result<Entry, StoreError> {
        let bad = inconsistent("audit", &self.sequence);
        let json = |text: Option<&str>, column| {
            let read = text.map(|text| serde_json::from_str(text).map_err(|_| bad(column)));
            read.transpose()
        };
        Ok(Entry {
            at: time(self.at).ok_or_else(|| bad("at"))?,
            before: json(self.before.as_deref(), "before")?,
            after: json(self.after.as_deref(), "after")?,
            sequence: self.sequence,
            actor: self.actor,
            action: self.action,
            subject: self.subject,
            reason: self.reason,
            request_id: self.request_id,
        })
    }
}

/// The end of the log: its newest number, and that row's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The newest number, 0 before the first row.
    pub sequence: i64,
    /// The newest row's hash, empty before the first row.
    pub mac: String,
}

impl Head {
    /// The head of an empty log.
    pub fn start() -> Self {
        Self {
            sequence: 0,
            mac: String::new(),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.mac)
    }
}

/// A text that is no head of a log.
#[derive(Debug, thiserror::Error)]
#[error(
    "it must be a row's number and its hash of 64 letters, as `tollgate audit head` prints them"
)]
pub struct NoHead;

impl FromStr for Head {
    type Err = NoHead;

    fn from_str(text: &str) -> Result<Self, NoHead> {
        let (sequence, mac) = text.trim().split_once(':').ok_or(NoHead)?;
        let sequence = sequence.parse().ok().filter(|number| *number >= 0);
        let is_mac = HEXLOWER.decode(mac.as_bytes()).is_ok() && mac.len() == MAC_LETTERS;
        match sequence {
            Some(0) if mac.is_empty() => Ok(Self::start()),
            Some(sequence) if sequence > 0 && is_mac => Ok(Self {
                sequence,
                mac: mac.to_owned(),
            }),
            _ => Err(NoHead),
        }
    }
}

/// What chains rows: the key that no database has.
#[derive(Debug, Clone)]
pub struct Chain(HashKey);

impl Chain {
    /// Chains with a key of its own, derived from the key that secrets are hashed with.
    pub fn new(hash_key: &HashKey) -> Self {
        Self(hash_key.derive("audit"))
    }

    fn mac(&self, previous: &str, row: &Row) -> String {
        let text = serde_json::json!([
            previous,
            row.sequence,
            row.at,
            row.actor,
            row.action,
            row.subject,
            row.before,
            row.after,
            row.reason,
            row.request_id,
        ]);
        HEXLOWER.encode(&self.0.mac(text.to_string().as_bytes()))
    }

    /// The end of the log, given its newest number. Rows of a release that did not chain yet are
    /// chained now.
    pub(super) async fn head(&self, conn: &mut WriteConn, newest: i64) -> Result<Head, StoreError> {
        if newest == 0 {
            return Ok(Head::start());
        }
        let mac = on!(conn.link(), |c| {
            let row = sqlx::query_as::<_, (Option<String>,)>(MAC).bind(newest);
            row.fetch_optional(c).await
        })?;
        match mac {
            Some((Some(mac),)) => Ok(Head {
                sequence: newest,
                mac,
            }),
            Some((None,)) => self.seal(conn).await,
            None => Err(inconsistent("audit", &newest)("sequence")),
        }
    }

    async fn seal(&self, conn: &mut WriteConn) -> Result<Head, StoreError> {
        let mut head = head(conn.link()).await?;
        let first = head.sequence + 1;
        loop {
            let rows = after(conn.link(), head.sequence, PAGE_ROWS).await?;
            if rows.is_empty() {
                tracing::warn!(
                    first,
                    last = head.sequence,
                    "rows of the audit log had no hash and have one now; if no older release writes \
                     to this database, somebody else does"
                );
                return Ok(head);
            }
            for row in rows {
                head = Head {
                    sequence: row.sequence,
                    mac: self.mac(&head.mac, &row),
                };
                on!(conn.link(), |c| sqlx::query(SEAL)
                    .bind(head.sequence)
                    .bind(&head.mac)
                    .execute(c)
                    .await
                    .map(drop))?;
            }
        }
    }

    /// Adds a row after `head` and returns the new head. Called by [`super::Tx::record`] alone.
    pub(super) async fn append(
        &self,
        link: Link<'_>,
        head: &Head,
        requester: &Requester,
        now: Timestamp,
        event: Event,
    ) -> Result<Head, StoreError> {
        let row = Row {
            sequence: head.sequence + 1,
            at: now.as_microsecond(),
            actor: requester.actor.as_str().to_owned(),
            action: event.action.to_owned(),
            subject: event.subject,
            before: event.before.map(|state| state.to_string()),
            after: event.after.map(|state| state.to_string()),
            reason: event.reason,
            request_id: requester.request_id.clone(),
            mac: None,
        };
        let mac = self.mac(&head.mac, &row);
        on!(link, |c| sqlx::query(INSERT)
            .bind(row.sequence)
            .bind(row.at)
            .bind(&row.actor)
            .bind(&row.action)
            .bind(&row.subject)
            .bind(&row.before)
            .bind(&row.after)
            .bind(&row.reason)
            .bind(&row.request_id)
            .bind(&mac)
            .execute(c)
            .await
            .map(drop))?;
        Ok(Head {
            sequence: row.sequence,
            mac,
        })
    }
}

/// The newest row that is chained, and its hash.
pub async fn head(link: Link<'_>) -> Result<Head, StoreError> {
    let last = on!(link, |c| sqlx::query_as::<_, (i64, String)>(LAST_SEALED)
        .fetch_optional(c)
        .await)?;
    Ok(last.map_or_else(Head::start, |(sequence, mac)| Head { sequence, mac }))
}

/// The head that the log had when it ended with this row.
pub async fn head_at(link: Link<'_>, sequence: i64) -> Result<Option<Head>, StoreError> {
    if sequence == 0 {
        return Ok(Some(Head::start()));
    }
    let row = on!(link, |c| sqlx::query_as::<_, (Option<String>,)>(MAC)
        .bind(sequence)
        .fetch_optional(c)
        .await)?;
    let mac = row.and_then(|(mac,)| mac);
    Ok(mac.map(|mac| Head { sequence, mac }))
}

/// Rows in sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many.
    pub rows: i64,
    /// The first one's number and time.
    pub first: (i64, Timestamp),
    /// The last one's number and time.
    pub last: (i64, Timestamp),
}

/// The rows after a number, in sum; none where there are none.
pub async fn summary_after(link: Link<'_>, sequence: i64) -> Result<Option<Summary>, StoreError> {
    type Ends = (i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>);
    let (rows, first, last, since, until) = on!(link, |c| sqlx::query_as::<_, Ends>(SUMMARY)
        .bind(sequence)
        .fetch_one(c)
        .await)?;
    let end = |number: Option<i64>, at: Option<i64>| Some((number?, time(at?)?));
    let ends = end(first, since).zip(end(last, until));
    Ok(ends.map(|(first, last)| Summary { rows, first, last }))
}

/// What was done after a number: each action, and how many times.
pub async fn actions_after(
    link: Link<'_>,
    sequence: i64,
) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(on!(link, |c| sqlx::query_as(ACTIONS)
        .bind(sequence)
        .fetch_all(c)
        .await)?)
}

async fn after(link: Link<'_>, sequence: i64, rows_max: i64) -> Result<Vec<Row>, StoreError> {
    Ok(on!(link, |c| sqlx::query_as::<_, Row>(AFTER)
        .bind(sequence)
        .bind(rows_max)
        .fetch_all(c)
        .await)?)
}

/// Rows after a number, oldest first, at most a thousand: for export.
pub async fn entries_after(link: Link<'_>, sequence: i64) -> Result<Vec<Entry>, StoreError> {
    some_after(link, sequence, PAGE_ROWS).await
}

/// Rows after a number, oldest first, at most so many: for webhooks.
pub async fn some_after(
    link: Link<'_>,
    sequence: i64,
    rows_max: i64,
) -> Result<Vec<Entry>, StoreError> {
    let rows = after(link, sequence, rows_max).await?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// Rows before a number that fit a filter, newest first.
pub async fn page(
    link: Link<'_>,
    filter: &Filter,
    before: Option<i64>,
    rows_max: u32,
) -> Result<Vec<Entry>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(PAGE)
        .bind(before)
        .bind(&filter.actor)
        .bind(&filter.action)
        .bind(&filter.subject)
        .bind(filter.from.map(Timestamp::as_microsecond))
        .bind(filter.to.map(Timestamp::as_microsecond))
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Row::into_domain).collect()
}
