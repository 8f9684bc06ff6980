//! The audit log: rows are added, never changed, and each is chained to the one before it by a
//! keyed hash. Whoever has the database alone can neither edit a row, nor take one out, nor put
//! two in another order without [`verify`] noticing; a cut at the end shows against the counter,
//! and against a head that was noted elsewhere.

use activation_token::credential::HashKey;
use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::engine::WriteConn;
use super::{Conn, Link, StoreError, counters, inconsistent, on, row, time};
use crate::domain::audit::{Entry, Filter};
use crate::domain::{Event, Requester};

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

/// Rows that are read at a time.
const PAGE_ROWS: i64 = 1_000;

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
    pub(super) fn start() -> Self {
        Self {
            sequence: 0,
            mac: String::new(),
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
        let last = on!(conn.link(), |c| sqlx::query_as::<_, (i64, String)>(
            LAST_SEALED
        )
        .fetch_optional(c)
        .await)?;
        let mut head = last.map_or_else(Head::start, |(sequence, mac)| Head { sequence, mac });
        loop {
            let rows = after(conn.link(), head.sequence).await?;
            if rows.is_empty() {
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

async fn after(link: Link<'_>, sequence: i64) -> Result<Vec<Row>, StoreError> {
    Ok(on!(link, |c| sqlx::query_as::<_, Row>(AFTER)
        .bind(sequence)
        .bind(PAGE_ROWS)
        .fetch_all(c)
        .await)?)
}

/// Rows after a number, oldest first, at most a thousand: for export and webhooks.
pub async fn entries_after(link: Link<'_>, sequence: i64) -> Result<Vec<Entry>, StoreError> {
    let rows = after(link, sequence).await?;
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

/// What is wrong with the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A row is not what was written, or does not follow on the one before it.
    #[error("row {0} is not what was written there, or a row before it is not")]
    Altered(i64),
    /// A row is gone.
    #[error("row {0} is missing")]
    Missing(i64),
    /// A row was never chained.
    #[error("row {0} has no hash")]
    Unchained(i64),
    /// The log ends elsewhere than the counter or a noted head says.
    #[error("the log ends at row {found}, but {expected} rows were written")]
    Cut {
        /// Where it ends.
        found: i64,
        /// Where it should.
        expected: i64,
    },
    /// The log has the row that was noted, with another hash.
    #[error("row {0} is not the one that was noted")]
    Forked(i64),
}

/// Reads the whole log and checks the chain. `noted` is a head that was kept outside the
/// database; the log must contain it.
pub async fn verify(
    conn: &mut Conn,
    chain: &Chain,
    noted: Option<&Head>,
) -> Result<Result<Head, Damage>, StoreError> {
    // Read before the rows: what is added meanwhile does not look like a surplus.
    let newest = counters::value(conn.link(), counters::AUDIT).await?;
    let mut head = Head::start();
    let mut noted_fits = noted.is_none_or(|noted| noted.sequence == 0);
    loop {
        let rows = after(conn.link(), head.sequence).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let expected = head.sequence + 1;
            if row.sequence != expected {
                return Ok(Err(Damage::Missing(expected)));
            }
            let mac = chain.mac(&head.mac, &row);
            match row.mac {
                None => return Ok(Err(Damage::Unchained(expected))),
                Some(stored) if stored != mac => return Ok(Err(Damage::Altered(expected))),
                Some(_) => {}
            }
            head = Head {
                sequence: expected,
                mac,
            };
            if let Some(noted) = noted
                && noted.sequence == expected
            {
                if noted.mac != head.mac {
                    return Ok(Err(Damage::Forked(expected)));
                }
                noted_fits = true;
            }
        }
    }
    let noted_sequence = noted.map_or(0, |noted| noted.sequence);
    let expected = newest.max(if noted_fits { 0 } else { noted_sequence });
    if head.sequence < expected {
        return Ok(Err(Damage::Cut {
            found: head.sequence,
            expected,
        }));
    }
    Ok(Ok(head))
}
