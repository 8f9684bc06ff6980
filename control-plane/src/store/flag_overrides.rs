//! Table `flag_overrides`.

use entitlements::flags::{FlagContext, Overrides, Scope};
use serde_json::Value;

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::flag::{self, FlagOverride};

const GET: &str = "SELECT flag, scope, value, actor, reason, set_at FROM flag_overrides \
    WHERE flag = $1 AND scope = $2";
const LIST: &str = "SELECT flag, scope, value, actor, reason, set_at FROM flag_overrides \
    WHERE flag = $1 AND ($2 IS NULL OR scope > $2) ORDER BY scope LIMIT $3";
const OF_SCOPE: &str = "SELECT flag, scope, value, actor, reason, set_at FROM flag_overrides \
    WHERE scope = $1 ORDER BY flag";
const THAT_CONCERN: &str = "SELECT flag, scope, value, actor, reason, set_at FROM flag_overrides \
    WHERE scope IN ('platform', $1, $2) AND ($3 IS NULL OR flag = $3)";
const PUT: &str = "INSERT INTO flag_overrides (flag, scope, value, actor, reason, set_at) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (flag, scope) DO UPDATE SET \
    value = excluded.value, actor = excluded.actor, reason = excluded.reason, \
    set_at = excluded.set_at";
const DELETE: &str = "DELETE FROM flag_overrides WHERE flag = $1 AND scope = $2";

row! {
    struct Row {
        flag: String,
        scope: String,
        value: String,
        actor: String,
        reason: Option<String>,
        set_at: i64,
    }
}

impl Row {
    fn into_domain(self) -> Result<FlagOverride, StoreError> {
        let key = format!("{} {}", self.flag, self.scope);
        let bad = inconsistent("flag_overrides", &key);
        let value: Value = serde_json::from_str(&self.value).map_err(|_| bad("value"))?;
        Ok(FlagOverride {
            scope: Scope::parse(&self.scope).ok_or_else(|| bad("scope"))?,
            value: flag::of_json(&value).ok_or_else(|| bad("value"))?,
            set_at: time(self.set_at).ok_or_else(|| bad("set_at"))?,
            flag: self.flag,
            actor: self.actor,
            reason: self.reason,
        })
    }
}

fn all(rows: Vec<Row>) -> Result<Vec<FlagOverride>, StoreError> {
    rows.into_iter().map(Row::into_domain).collect()
}

/// The override of a flag for a scope.
pub async fn get(
    link: Link<'_>,
    flag: &str,
    scope: &Scope,
) -> Result<Option<FlagOverride>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(GET)
        .bind(flag)
        .bind(scope.to_string())
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// The overrides of a flag by scope, from the one after `after` on.
pub async fn list(
    link: Link<'_>,
    flag: &str,
    after: Option<&str>,
    rows_max: u32,
) -> Result<Vec<FlagOverride>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(LIST)
        .bind(flag)
        .bind(after)
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    all(rows)
}

/// All overrides for a scope.
pub async fn of_scope(link: Link<'_>, scope: &Scope) -> Result<Vec<FlagOverride>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(OF_SCOPE)
        .bind(scope.to_string())
        .fetch_all(c)
        .await)?;
    all(rows)
}

/// The overrides that concern whoever asks: of one flag, or of all.
pub async fn that_concern(
    link: Link<'_>,
    context: &FlagContext<'_>,
    flag: Option<&str>,
) -> Result<Overrides, StoreError> {
    let user = context.caller.user();
    let user = user.map(|user| Scope::User(user.to_owned()).to_string());
    let team = context
        .team
        .map(|team| Scope::Team(team.to_owned()).to_string());
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(THAT_CONCERN)
        .bind(user)
        .bind(team)
        .bind(flag)
        .fetch_all(c)
        .await)?;
    let mut overrides = Overrides::default();
    for found in all(rows)? {
        overrides.set(&found.flag, found.scope, found.value);
    }
    Ok(overrides)
}

/// Sets an override, in place of an earlier one.
pub async fn put(tx: &mut Tx, set: &FlagOverride) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(PUT)
        .bind(&set.flag)
        .bind(set.scope.to_string())
        .bind(flag::to_json(&set.value).to_string())
        .bind(&set.actor)
        .bind(&set.reason)
        .bind(set.set_at.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Takes an override back.
pub async fn delete(tx: &mut Tx, flag: &str, scope: &Scope) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(DELETE)
        .bind(flag)
        .bind(scope.to_string())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
