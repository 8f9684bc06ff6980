//! Switches: one row for each feature that was ever switched for all subjects.

pub use crate::stored::{SetSwitch, Switch, Switched};
use jiff::Timestamp;

use super::{Link, Prefix, SqlError, time};
use crate::on;
use crate::stored::Switches;

const ALL: &str = "SELECT feature, is_on, version, actor, updated_at \
    FROM {p}_switches ORDER BY feature";
// The row remembers what it said before, so that one statement writes and tells (KUM-48). The
// condition is asked again after waiting for another writer: the loser of a race changes nothing
// (KUM-54). The first version is 1; to expect 0 is to expect that the feature was never switched.
const SET: &str = "INSERT INTO {p}_switches (feature, is_on, was_on, version, actor, updated_at) \
    SELECT $1, $2, CAST(NULL AS BOOLEAN), 1, $3, $4 \
    WHERE CAST($5 AS BIGINT) IS NULL OR CAST($5 AS BIGINT) = 0 \
        OR EXISTS (SELECT 1 FROM {p}_switches WHERE feature = $1) \
    ON CONFLICT (feature) DO UPDATE SET was_on = {p}_switches.is_on, is_on = excluded.is_on, \
        version = {p}_switches.version + 1, actor = excluded.actor, \
        updated_at = excluded.updated_at \
    WHERE CAST($5 AS BIGINT) IS NULL OR {p}_switches.version = CAST($5 AS BIGINT) \
    RETURNING was_on, version";

/// Sets a switch. `None` when somebody else was faster than `expected` says.
pub async fn set(
    link: Link<'_>,
    prefix: &Prefix,
    switch: SetSwitch<'_>,
    now: Timestamp,
) -> Result<Option<Switched>, SqlError> {
    let row = on!(link, |c| sqlx::query_as::<_, (Option<bool>, i64)>(
        prefix.statement(SET)
    )
    .bind(switch.feature)
    .bind(switch.on)
    .bind(switch.actor)
    .bind(now.as_microsecond())
    .bind(switch.expected)
    .fetch_optional(c)
    .await)?;
    Ok(row.map(|(before, version)| Switched { before, version }))
}

/// All switches, by feature.
pub async fn all(link: Link<'_>, prefix: &Prefix) -> Result<Vec<Switch>, SqlError> {
    let rows = on!(link, |c| sqlx::query_as::<
        _,
        (String, bool, i64, String, i64),
    >(prefix.statement(ALL))
    .fetch_all(c)
    .await)?;
    let read = |(feature, on, version, actor, updated_at): (String, bool, i64, String, i64)| {
        Ok(Switch {
            updated_at: time(&feature, "updated_at", updated_at)?,
            feature,
            on,
            version,
            actor,
        })
    };
    rows.into_iter().map(read).collect()
}

/// What resolving needs of them.
pub async fn get(link: Link<'_>, prefix: &Prefix) -> Result<Switches, SqlError> {
    let all = all(link, prefix).await?.into_iter();
    Ok(Switches(
        all.map(|switch| (switch.feature.into(), switch.on))
            .collect(),
    ))
}
