//! Reads what is stored of a subject in one statement, and so at one instant.

use sqlx::AssertSqlSafe;

use super::{Link, Prefix, SqlError, inconsistent, overrides, time};
use crate::on;
use crate::stored::{Stored, Switches};
use manifest::Limit;

const ADD_ON: &str = "add-on";
const TIER: &str = "tier";
const CREATED: &str = "created";
const SWITCH: &str = "switch";

const SHARED: &str = "SELECT kind, name, value FROM {p}_overrides WHERE subject = $1 \
    UNION ALL SELECT 'add-on', name, position FROM {p}_add_ons WHERE subject = $1";
const REST: &str = " UNION ALL SELECT 'tier', tier, 0 FROM {p}_assignments WHERE subject = $1 \
    UNION ALL SELECT 'created', '', created_at FROM {p}_subjects WHERE subject = $1 \
    UNION ALL SELECT 'switch', feature, CASE WHEN is_on THEN 1 ELSE 0 END FROM {p}_switches";

type Row = (String, String, Option<i64>);

/// A subject's overrides and add-ons. Its tier and creation are the caller's to fill in.
pub async fn load(link: Link<'_>, prefix: &Prefix, subject: &str) -> Result<Stored, SqlError> {
    let sql = prefix.statement(SHARED);
    read(link, sql, subject).await.map(|(stored, _)| stored)
}

/// All that is stored of a subject in the tables of our own drivers, and the switches.
pub async fn snapshot(
    link: Link<'_>,
    prefix: &Prefix,
    subject: &str,
) -> Result<(Stored, Switches), SqlError> {
    let sql = prefix.statement(&[SHARED, REST].concat());
    read(link, sql, subject).await
}

async fn read(
    link: Link<'_>,
    sql: AssertSqlSafe<String>,
    subject: &str,
) -> Result<(Stored, Switches), SqlError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(sql)
        .bind(subject)
        .fetch_all(c)
        .await)?;
    let mut stored = Stored::nothing_of(subject);
    let mut switches = Switches::default();
    let mut add_ons = Vec::new();
    for (kind, name, value) in rows {
        let number = || value.ok_or_else(|| inconsistent(subject, "value"));
        match kind.as_str() {
            overrides::FEATURE => {
                stored
                    .overrides
                    .features
                    .insert(name.into(), number()? != 0);
            }
            overrides::LIMIT => {
                let limit = match value.map(u64::try_from) {
                    None => Limit::Unlimited,
                    Some(Ok(count)) => Limit::Count(count),
                    Some(Err(_)) => return Err(inconsistent(subject, "value")),
                };
                stored.overrides.limits.insert(name.into(), limit);
            }
            ADD_ON => add_ons.push((number()?, name)),
            TIER => stored.tier = Some(name.into()),
            CREATED => stored.created_at = Some(time(subject, "created_at", number()?)?),
            SWITCH => {
                switches.0.insert(name.into(), number()? != 0);
            }
            _ => return Err(inconsistent(subject, "kind")),
        }
    }
    add_ons.sort_unstable();
    stored.add_ons = add_ons.into_iter().map(|(_, name)| name.into()).collect();
    Ok((stored, switches))
}
