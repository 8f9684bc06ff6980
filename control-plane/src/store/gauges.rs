//! What the database tells Prometheus: figures over whole tables, read at each scrape.

use jiff::Timestamp;

use super::{Link, StoreError, on};

// The same words as `domain::license::Status`, decided as `licenses::list` does.
const LICENSES: &str = "SELECT CASE WHEN status <> 'active' THEN status \
    WHEN expires_at IS NULL OR expires_at / 1000000 > $1 / 1000000 THEN 'active' \
    WHEN expires_at / 1000000 + grace_seconds > $1 / 1000000 THEN 'grace' \
    ELSE 'expired' END AS standing, COUNT(*) FROM licenses GROUP BY standing ORDER BY standing";
const EXPIRING: &str = "SELECT id, expires_at FROM licenses WHERE status = 'active' \
    AND expires_at > $1 AND expires_at < $2 ORDER BY expires_at, id LIMIT $3";
const SEATS: &str = "SELECT b.license_id, COUNT(*) AS used FROM boxes b \
    JOIN licenses l ON l.id = b.license_id \
    WHERE l.lease_seconds IS NULL OR b.last_seen_at > $1 - l.lease_seconds * 1000000 \
    OR b.offline_until > $1 \
    GROUP BY b.license_id ORDER BY used DESC, b.license_id LIMIT $2";

/// How many licenses stand in each way.
pub async fn licenses(link: Link<'_>, now: Timestamp) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(on!(link, |c| sqlx::query_as::<_, (String, i64)>(LICENSES)
        .bind(now.as_microsecond())
        .fetch_all(c)
        .await)?)
}

/// Licenses that expire between two times, the soonest first: their ids and seconds of expiry.
pub async fn expiring(
    link: Link<'_>,
    from: Timestamp,
    to: Timestamp,
    rows_max: i64,
) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (String, i64)>(EXPIRING)
        .bind(from.as_microsecond())
        .bind(to.as_microsecond())
        .bind(rows_max)
        .fetch_all(c)
        .await)?;
    let seconds = |(id, at): (String, i64)| (id, at.div_euclid(1_000_000));
    Ok(rows.into_iter().map(seconds).collect())
}

/// Licenses by the seats that are taken, the most first.
pub async fn seats(
    link: Link<'_>,
    now: Timestamp,
    rows_max: i64,
) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(on!(link, |c| sqlx::query_as::<_, (String, i64)>(SEATS)
        .bind(now.as_microsecond())
        .bind(rows_max)
        .fetch_all(c)
        .await)?)
}
