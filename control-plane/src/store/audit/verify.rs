//! Reads the whole log and says where it is not what was written.

use super::{Chain, Head, PAGE_ROWS, Row, after};
use crate::store::{Conn, StoreError, counters, on};

/// Rows outside of the numbering are not met on the way along it.
const WITHOUT_NUMBER: &str = "SELECT COUNT(*) FROM audit WHERE sequence IS NULL OR sequence < 1";

/// What is wrong with the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A row is not what was written, or does not follow on the one before it.
    #[error("row {0} is not what was written there, or a row before it is not")]
    Altered(i64),
    /// A row holds what no column of the log can hold.
    #[error("row {0} cannot be read, so it is not what was written there")]
    Unreadable(i64),
    /// A row is gone.
    #[error("row {0} is missing")]
    Missing(i64),
    /// A row was never chained.
    #[error("row {0} has no hash")]
    Unchained(i64),
    /// Rows stand outside of the numbering.
    #[error("{0} row(s) stand before row 1 or have no number")]
    Unnumbered(i64),
    /// The log ends elsewhere than the counter or a noted head says.
    #[error("the log ends at row {found}, but {expected} rows were written")]
    Cut {
        /// Where it ends.
        found: i64,
        /// Where it should.
        expected: i64,
    },
    /// The counter was set back.
    #[error("the log ends at row {found}, but only {counted} rows are counted")]
    Uncounted {
        /// Where it ends.
        found: i64,
        /// What the counter says.
        counted: i64,
    },
    /// The log has the row that was noted, with another hash.
    #[error("row {0} is not the one that was noted")]
    Forked(i64),
}

impl Damage {
    /// What kind it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Altered(_) => "altered",
            Self::Unreadable(_) => "unreadable",
            Self::Missing(_) => "missing",
            Self::Unchained(_) => "unchained",
            Self::Unnumbered(_) => "unnumbered",
            Self::Cut { .. } => "cut",
            Self::Uncounted { .. } => "uncounted",
            Self::Forked(_) => "forked",
        }
    }

    /// The first row that is not right, where it is one.
    pub fn row(&self) -> Option<i64> {
        match self {
            Self::Altered(row)
            | Self::Unreadable(row)
            | Self::Missing(row)
            | Self::Unchained(row)
            | Self::Forked(row) => Some(*row),
            Self::Cut { found, .. } => Some(found + 1),
            Self::Uncounted { counted, .. } => Some(counted + 1),
            Self::Unnumbered(_) => None,
        }
    }

    /// What may have led to it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Altered(1) => Some(
                "every row looks so when `hash-key` is not the one that the log was written with",
            ),
            Self::Unchained(_) => Some(
                "a release that did not chain wrote it, or somebody else; rows that such a \
                 release writes are chained at the next change",
            ),
            _ => None,
        }
    }
}

/// Reads the whole log and checks the chain. `noted` are heads that were kept outside the
/// database; the log must contain each.
pub async fn verify(
    conn: &mut Conn,
    chain: &Chain,
    noted: &[Head],
) -> Result<Result<Head, Damage>, StoreError> {
    // Rows are added meanwhile: the count before is at most the last row, that after at least.
    let before = counters::value(conn.link(), counters::AUDIT).await?;
    let (strange,) = on!(conn.link(), |c| {
        let query = sqlx::query_as::<_, (i64,)>(WITHOUT_NUMBER);
        query.fetch_one(c).await
    })?;
    if strange > 0 {
        return Ok(Err(Damage::Unnumbered(strange)));
    }
    let mut walk = Walk {
        chain,
        noted,
        head: Head::start(),
    };
    if let Err(damage) = walk.go(conn).await? {
        return Ok(Err(damage));
    }
    let found = walk.head.sequence;
    let expected = noted
        .iter()
        .map(|noted| noted.sequence)
        .fold(before, i64::max);
    if found < expected {
        return Ok(Err(Damage::Cut { found, expected }));
    }
    let counted = counters::value(conn.link(), counters::AUDIT).await?;
    if counted < found {
        return Ok(Err(Damage::Uncounted { found, counted }));
    }
    Ok(Ok(walk.head))
}

struct Walk<'v> {
    chain: &'v Chain,
    noted: &'v [Head],
    head: Head,
}

impl Walk<'_> {
    async fn go(&mut self, conn: &mut Conn) -> Result<Result<(), Damage>, StoreError> {
        loop {
            let next = self.head.sequence + 1;
            let rows = match after(conn.link(), self.head.sequence, PAGE_ROWS).await {
                Ok(rows) => rows,
                Err(error) if is_unreadable(&error) => {
                    // One at a time, to name the row.
                    match after(conn.link(), self.head.sequence, 1).await {
                        Ok(rows) => rows,
                        Err(error) if is_unreadable(&error) => {
                            return Ok(Err(Damage::Unreadable(next)));
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            };
            if rows.is_empty() {
                return Ok(Ok(()));
            }
            for row in rows {
                if let Err(damage) = self.step(&row) {
                    return Ok(Err(damage));
                }
            }
        }
    }

    fn step(&mut self, row: &Row) -> Result<(), Damage> {
        let sequence = self.head.sequence + 1;
        if row.sequence != sequence {
            return Err(Damage::Missing(sequence));
        }
        let mac = self.chain.mac(&self.head.mac, row);
        match &row.mac {
            None => return Err(Damage::Unchained(sequence)),
            Some(stored) if *stored != mac => return Err(Damage::Altered(sequence)),
            Some(_) => {}
        }
        self.head = Head { sequence, mac };
        let mut noted = self.noted.iter();
        if noted.any(|noted| noted.sequence == sequence && *noted != self.head) {
            return Err(Damage::Forked(sequence));
        }
        Ok(())
    }
}

/// SQLite lets any column hold anything.
fn is_unreadable(error: &StoreError) -> bool {
    use sqlx::Error::{ColumnDecode, Decode};
    matches!(error, StoreError::Database(ColumnDecode { .. } | Decode(_)))
}
