//! What is lost when one copy of the database takes the place of another.

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

use crate::store::audit::{self, Head, Summary};
use crate::store::{Conn, Database, Store, StoreError};

/// The database that is in place.
pub(super) enum Present {
    Nothing,
    Unreadable(StoreError),
    There(Database),
}

impl Present {
    pub(super) async fn open(file: &Path) -> Self {
        if !std::fs::metadata(file).is_ok_and(|file| file.len() > 0) {
            return Self::Nothing;
        }
        match Database::look_sqlite(file).await {
            Ok(database) => Self::There(database),
            Err(error) => Self::Unreadable(error),
        }
    }

    pub(super) async fn close(self) {
        if let Self::There(database) = self {
            database.close().await;
        }
    }
}

/// What the database in place has, and the backup has not.
pub(super) enum Loss {
    Unknown(String),
    Known(Known),
}

#[derive(Default)]
pub(super) struct Known {
    /// The end of the log in place.
    head: Option<Head>,
    /// The newest change that gates may have seen.
    changes: i64,
    lost: Option<Summary>,
    actions: Vec<(String, i64)>,
    /// Rows of the backup that the log in place has not.
    returned: Option<Summary>,
}

impl Loss {
    pub(super) async fn between(present: &Present, backup: &Store) -> Result<Self, StoreError> {
        let database = match present {
            Present::Nothing => return Ok(Self::Known(Known::default())),
            Present::Unreadable(error) => return Ok(Self::unknown(error)),
            Present::There(database) => database,
        };
        let mut backup = backup.read().await?;
        // Whatever is wrong with the one in place is no reason not to replace it.
        Ok(match Known::between(database, &mut backup).await {
            Ok(known) => Self::Known(known),
            Err(error) => Self::unknown(&error),
        })
    }

    fn unknown(error: &StoreError) -> Self {
        let cause = std::error::Error::source(error);
        let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
        Self::Unknown(cause)
    }

    /// The rows that are lost, for the audit log.
    pub(super) fn rows(&self) -> Value {
        match self {
            Self::Unknown(_) => Value::Null,
            Self::Known(Known { lost: None, .. }) => json!({ "rows": 0 }),
            Self::Known(Known {
                lost: Some(lost), ..
            }) => json!({
                "rows": lost.rows,
                "from": { "sequence": lost.first.0, "at": lost.first.1 },
                "to": { "sequence": lost.last.0, "at": lost.last.1 },
            }),
        }
    }

    /// The end of the log in place, for the audit log.
    pub(super) fn before(&self) -> Option<Value> {
        match self {
            Self::Known(Known {
                head: Some(head), ..
            }) => Some(json!({ "sequence": head.sequence, "mac": head.mac })),
            _ => None,
        }
    }

    /// The newest change that gates may have seen, as far as it is known.
    pub(super) fn changes(&self) -> i64 {
        match self {
            Self::Unknown(_) => 0,
            Self::Known(known) => known.changes,
        }
    }
}

impl Known {
    async fn between(present: &Database, backup: &mut Conn) -> Result<Self, StoreError> {
        let changes = present.newest_change().await?;
        let mut present = present.read().await?;
        let common = last_common(&mut present, backup).await?;
        Ok(Self {
            head: Some(audit::head(present.link()).await?),
            changes,
            lost: audit::summary_after(present.link(), common).await?,
            actions: audit::actions_after(present.link(), common).await?,
            returned: audit::summary_after(backup.link(), common).await?,
        })
    }
}

/// The last row that both logs have. Two logs that agree on a row agree on all before it.
async fn last_common(one: &mut Conn, other: &mut Conn) -> Result<i64, StoreError> {
    let mut low = 0;
    let ends = [
        audit::head(one.link()).await?.sequence,
        audit::head(other.link()).await?.sequence,
    ];
    let mut high = ends.into_iter().min().unwrap_or(0);
    while low < high {
        let middle = high - (high - low) / 2;
        let there = audit::head_at(one.link(), middle).await?;
        if there.is_some() && there == audit::head_at(other.link(), middle).await? {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(cause) => writeln!(
                f,
                "what the database in place holds cannot be read ({cause}): all of it is lost here"
            ),
            Self::Known(known) => known.fmt(f),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lost {
            None if self.head.is_none() => writeln!(f, "there is no database in place")?,
            None => writeln!(
                f,
                "nothing is lost: it has every row of the database in place"
            )?,
            Some(lost) => {
                let (from, to) = (lost.first, lost.last);
                writeln!(
                    f,
                    "the database in place has {} rows that are lost, {} ({}) to {} ({}):",
                    lost.rows, from.0, from.1, to.0, to.1
                )?;
                for (action, times) in &self.actions {
                    writeln!(f, "{times:>8}  {action}")?;
                }
            }
        }
        if let (Some(returned), Some(_)) = (&self.returned, &self.head) {
            writeln!(
                f,
                "it brings {} rows that the database in place does not have",
                returned.rows
            )?;
        }
        Ok(())
    }
}
