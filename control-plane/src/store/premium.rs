//! Table `premium_users`.

use entitlements::premium::{Premium, PremiumGrant, PremiumUser};

use super::{Link, StoreError, Tx, inconsistent, on, row, time};

const GET: &str = "SELECT user_id, granted_at, grantor, reason FROM premium_users \
    WHERE user_id = $1";
const LIST: &str = "SELECT user_id, granted_at, grantor, reason FROM premium_users \
    WHERE ($1 IS NULL OR user_id > $1) ORDER BY user_id LIMIT $2";
const PUT: &str = "INSERT INTO premium_users (user_id, granted_at, grantor, reason) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (user_id) DO UPDATE SET \
    granted_at = excluded.granted_at, grantor = excluded.grantor, reason = excluded.reason";
const DELETE: &str = "DELETE FROM premium_users WHERE user_id = $1";

row! {
    struct Row {
        user_id: String,
        granted_at: i64,
        grantor: String,
        reason: Option<String>,
    }
}

impl Row {
    fn into_domain(self) -> Result<PremiumUser, StoreError> {
        let granted_at = time(self.granted_at)
            .ok_or_else(|| inconsistent("premium_users", &self.user_id)("granted_at"))?;
        Ok(PremiumUser {
            user: self.user_id,
            grant: PremiumGrant {
                granted_at,
                grantor: self.grantor,
                reason: self.reason,
            },
        })
    }
}

/// A user's status.
pub async fn status(link: Link<'_>, user: &str) -> Result<Premium, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(GET)
        .bind(user)
        .fetch_optional(c)
        .await)?;
    let user = row.map(Row::into_domain).transpose()?;
    Ok(user.map_or(Premium::No, |user| Premium::Yes(user.grant)))
}

/// Premium users by name, from the one after `after` on.
pub async fn list(
    link: Link<'_>,
    after: Option<&str>,
    rows_max: u32,
) -> Result<Vec<PremiumUser>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(LIST)
        .bind(after)
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// Makes a user premium, in place of an earlier grant.
pub async fn put(tx: &mut Tx, user: &str, grant: &PremiumGrant) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(PUT)
        .bind(user)
        .bind(grant.granted_at.as_microsecond())
        .bind(&grant.grantor)
        .bind(&grant.reason)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Takes a user's grant back.
pub async fn delete(tx: &mut Tx, user: &str) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(DELETE)
        .bind(user)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
