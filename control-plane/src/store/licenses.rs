//! Tables `licenses` and `rotated_keys`.

use activation_token::credential::SecretDigest;
use activation_token::snapshot::{ExpiringLicense, LicenseRevocation, RevokedBecause};
use jiff::{SignedDuration, Timestamp};
use manifest::{Limit, PackageName, TierName};

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::LicenseId;
use crate::domain::license::{Decision, ExpiryStrategy, License, Status};

const INSERT: &str = "INSERT INTO licenses \
    (id, customer_id, key_digest, tier, status, expires_at, expiry_strategy, grace_seconds, \
     max_boxes, lease_seconds, add_ons, metadata, created_at, revision) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0)";

/// Every column of a license, what its customer has that may count for it, and the seats taken
/// at time `$1`. A limit without bound is -1: NULL is one that nobody overrides.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT l.id, l.customer_id, l.tier, c.tier AS customer_tier, \
             (SELECT COALESCE(o.value, -1) FROM entitlement_overrides o \
              WHERE o.subject = l.customer_id AND o.kind = 'limit' AND o.name = 'boxes') \
             AS customer_boxes, \
             (SELECT string_agg(a.name, ',' ORDER BY a.position) FROM entitlement_add_ons a \
              WHERE a.subject = l.customer_id) AS customer_add_ons, \
             l.status, l.expires_at, \
             l.expiry_strategy, l.grace_seconds, l.max_boxes, l.lease_seconds, l.add_ons, \
             l.metadata, l.narrowed_at, l.created_at, \
             (SELECT COUNT(*) FROM boxes b WHERE b.license_id = l.id \
              AND (l.lease_seconds IS NULL OR b.last_seen_at > $1 - l.lease_seconds * 1000000 \
                   OR b.offline_until > $1)) \
             AS boxes_used \
             FROM licenses l LEFT JOIN customer_tiers c ON c.customer_id = l.customer_id ",
            $rest
        )
    };
}
const GET: &str = select!("WHERE l.id = $2");
const GET_BY_KEY: &str = select!(
    "WHERE l.id = (SELECT id FROM licenses WHERE key_digest = $2 UNION ALL \
     SELECT license_id FROM rotated_keys WHERE digest = $2 AND expires_at > $1 LIMIT 1)"
);
const OF_CUSTOMER: &str = select!("WHERE l.customer_id = $2 ORDER BY l.id");
// A status is the decision and where the present stands to the expiry and the end of the grace.
const LIST: &str = select!(
    "WHERE ($2 IS NULL OR l.id < $2) AND ($3 IS NULL OR l.customer_id = $3) \
     AND ($4 IS NULL OR COALESCE(l.tier, c.tier, $5) = $4) \
     AND ($6 IS NULL OR l.expires_at < $6) \
     AND ($7 IS NULL OR $7 = CASE \
          WHEN l.status <> 'active' THEN l.status \
          WHEN l.expires_at IS NULL OR l.expires_at / 1000000 > $1 / 1000000 THEN 'active' \
          WHEN l.expires_at / 1000000 + l.grace_seconds > $1 / 1000000 THEN 'grace' \
          ELSE 'expired' END) \
     ORDER BY l.id DESC LIMIT $8"
);
const UPDATE: &str = "UPDATE licenses SET tier = $2, status = $3, expires_at = $4, \
    expiry_strategy = $5, grace_seconds = $6, max_boxes = $7, lease_seconds = $8, add_ons = $9, \
    metadata = $10, narrowed_at = $11, revision = revision + 1 WHERE id = $1";
const KEEP_OLD_KEY: &str = "INSERT INTO rotated_keys (digest, license_id, expires_at) \
    SELECT key_digest, id, $2 FROM licenses WHERE id = $1";
const SET_KEY: &str = "UPDATE licenses SET key_digest = $2, revision = revision + 1 WHERE id = $1";
const FORGET_OLD_KEYS: &str = "DELETE FROM rotated_keys WHERE license_id = $1 AND expires_at <= $2";
const DROP_OLD_KEYS: &str = "DELETE FROM rotated_keys WHERE license_id = $1";
const TIERS_IN_USE: &str = "SELECT DISTINCT COALESCE(l.tier, c.tier) AS tier, l.add_ons \
    FROM licenses l LEFT JOIN customer_tiers c ON c.customer_id = l.customer_id \
    WHERE l.status <> 'revoked' ORDER BY tier, l.add_ons";
const NARROWED: &str =
    "SELECT id, status, narrowed_at FROM licenses WHERE narrowed_at > $1 ORDER BY id";
// Two, each of which has an index that leads to little more than its rows.
const EXPIRING: &str = "SELECT id, expires_at, grace_seconds FROM licenses \
    WHERE status = 'active' AND expires_at > $1 AND expires_at <= $2 \
    ORDER BY expires_at, id LIMIT $3";
const IN_GRACE: &str = "SELECT id, expires_at, grace_seconds FROM licenses \
    WHERE status = 'active' AND grace_seconds > 0 AND expires_at > $2 AND expires_at <= $1 \
    AND expires_at + grace_seconds * 1000000 > $1 ORDER BY expires_at, id LIMIT $3";
/// Of a grace that goes on for longer, nobody is warned any more.
const GRACE_TOLD_FOR: SignedDuration = SignedDuration::from_hours(24 * 366);

row! {
    struct Row {
        id: String,
        customer_id: String,
        tier: Option<String>,
        customer_tier: Option<String>,
        customer_boxes: Option<i64>,
        customer_add_ons: Option<String>,
        status: String,
        expires_at: Option<i64>,
        expiry_strategy: String,
        grace_seconds: i64,
        max_boxes: Option<i64>,
        lease_seconds: Option<i64>,
        add_ons: String,
        metadata: String,
        narrowed_at: Option<i64>,
        created_at: i64,
        boxes_used: i64,
    }
}

impl Row {
    fn into_domain(self) -> Result<License, StoreError> {
        let bad = inconsistent("licenses", &self.id);
        let tier = |name: Option<String>, column| {
            let read = name.map(|name| TierName::parse(&name).map_err(|_| bad(column)));
            read.transpose()
        };
        let at = |stored: Option<i64>, column| {
            stored
                .map(|at| time(at).ok_or_else(|| bad(column)))
                .transpose()
        };
        let small = |stored: Option<i64>, column| {
            let read = stored.map(|n| u32::try_from(n).map_err(|_| bad(column)));
            read.transpose()
        };
        Ok(License {
            id: self.id.parse().map_err(|_| bad("id"))?,
            tier: tier(self.tier, "tier")?,
            customer_tier: tier(self.customer_tier, "customer_tiers.tier")?,
            customer_boxes: self.customer_boxes.map(|boxes| match u64::try_from(boxes) {
                Ok(count) => Limit::Count(count),
                Err(_) => Limit::Unlimited,
            }),
            customer_add_ons: self
                .customer_add_ons
                .iter()
                .flat_map(|names| names.split(',').map(Into::into))
                .collect(),
            decision: Decision::parse(&self.status).ok_or_else(|| bad("status"))?,
            expires_at: at(self.expires_at, "expires_at")?,
            expiry_strategy: ExpiryStrategy::parse(&self.expiry_strategy)
                .ok_or_else(|| bad("expiry_strategy"))?,
            grace_seconds: u32::try_from(self.grace_seconds).map_err(|_| bad("grace_seconds"))?,
            max_boxes: small(self.max_boxes, "max_boxes")?,
            lease_seconds: small(self.lease_seconds, "lease_seconds")?,
            add_ons: serde_json::from_str(&self.add_ons).map_err(|_| bad("add_ons"))?,
            metadata: serde_json::from_str(&self.metadata).map_err(|_| bad("metadata"))?,
            narrowed_at: at(self.narrowed_at, "narrowed_at")?,
            created_at: time(self.created_at).ok_or_else(|| bad("created_at"))?,
            boxes_used: u64::try_from(self.boxes_used).map_err(|_| bad("boxes_used"))?,
            customer_id: self.customer_id,
        })
    }
}

/// Which licenses are wanted; what is none does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this customer.
    pub customer_id: Option<String>,
    /// That stand so now.
    pub status: Option<Status>,
    /// At this tier, wherever it comes from.
    pub tier: Option<TierName>,
    /// That expire before then.
    pub expires_before: Option<Timestamp>,
}

/// Adds a license with the digest of its key.
pub async fn insert(tx: &mut Tx, license: &License, key: SecretDigest) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(INSERT)
        .bind(license.id.as_str())
        .bind(&license.customer_id)
        .bind(key.to_string())
        .bind(license.tier.as_ref().map(TierName::as_str))
        .bind(license.decision.as_str())
        .bind(license.expires_at.map(Timestamp::as_microsecond))
        .bind(license.expiry_strategy.as_str())
        .bind(i64::from(license.grace_seconds))
        .bind(license.max_boxes.map(i64::from))
        .bind(license.lease_seconds.map(i64::from))
        .bind(json(&license.add_ons))
        .bind(json(&license.metadata))
        .bind(license.created_at.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes everything about a license that may change.
pub async fn update(tx: &mut Tx, license: &License) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(UPDATE)
        .bind(license.id.as_str())
        .bind(license.tier.as_ref().map(TierName::as_str))
        .bind(license.decision.as_str())
        .bind(license.expires_at.map(Timestamp::as_microsecond))
        .bind(license.expiry_strategy.as_str())
        .bind(i64::from(license.grace_seconds))
        .bind(license.max_boxes.map(i64::from))
        .bind(license.lease_seconds.map(i64::from))
        .bind(json(&license.add_ons))
        .bind(json(&license.metadata))
        .bind(license.narrowed_at.map(Timestamp::as_microsecond))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// The license with this id.
pub async fn get(
    link: Link<'_>,
    id: &LicenseId,
    now: Timestamp,
) -> Result<Option<License>, StoreError> {
    one(link, GET, id.as_str(), now).await
}

/// The license with this key, be it its own or one that was rotated and is good for a while yet.
pub async fn get_by_key(
    link: Link<'_>,
    key: SecretDigest,
    now: Timestamp,
) -> Result<Option<License>, StoreError> {
    one(link, GET_BY_KEY, &key.to_string(), now).await
}

async fn one(
    link: Link<'_>,
    sql: &'static str,
    value: &str,
    now: Timestamp,
) -> Result<Option<License>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(sql)
        .bind(now.as_microsecond())
        .bind(value)
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// Every license of a customer.
pub async fn of_customer(
    link: Link<'_>,
    customer_id: &str,
    now: Timestamp,
) -> Result<Vec<License>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(OF_CUSTOMER)
        .bind(now.as_microsecond())
        .bind(customer_id)
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// Licenses that fit a filter, newest first, from the one after `before` on. `default_tier` is
/// the tier of those that have none.
pub async fn list(
    link: Link<'_>,
    filter: &Filter,
    default_tier: &TierName,
    before: Option<&LicenseId>,
    rows_max: u32,
    now: Timestamp,
) -> Result<Vec<License>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(LIST)
        .bind(now.as_microsecond())
        .bind(before.map(LicenseId::as_str))
        .bind(&filter.customer_id)
        .bind(filter.tier.as_ref().map(TierName::as_str))
        .bind(default_tier.as_str())
        .bind(filter.expires_before.map(Timestamp::as_microsecond))
        .bind(filter.status.map(Status::as_str))
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// Gives a license another key. The one it had is good until `old_until`; earlier ones go on to
/// their own ends.
pub async fn rotate_key(
    tx: &mut Tx,
    id: &LicenseId,
    key: SecretDigest,
    old_until: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(FORGET_OLD_KEYS)
        .bind(id.as_str())
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    if old_until > now {
        on!(tx.link(), |c| sqlx::query(KEEP_OLD_KEY)
            .bind(id.as_str())
            .bind(old_until.as_microsecond())
            .execute(c)
            .await
            .map(drop))?;
    } else {
        // The key is replaced because it must not be used any more: no older one may either.
        on!(tx.link(), |c| sqlx::query(DROP_OLD_KEYS)
            .bind(id.as_str())
            .execute(c)
            .await
            .map(drop))?;
    }
    on!(tx.link(), |c| sqlx::query(SET_KEY)
        .bind(id.as_str())
        .bind(key.to_string())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Every combination of tier and add-ons that a license has.
pub async fn tiers_in_use(
    link: Link<'_>,
) -> Result<Vec<(Option<TierName>, Vec<PackageName>)>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (Option<String>, String)>(
        TIERS_IN_USE
    )
    .fetch_all(c)
    .await)?;
    rows.into_iter()
        .map(|(tier, add_ons)| {
            let bad = inconsistent("licenses", &add_ons);
            let tier = tier.as_deref().map(TierName::parse).transpose();
            let names = serde_json::from_str(&add_ons).map_err(|_| bad("add_ons"));
            Ok((tier.map_err(|_| bad("tier"))?, names?))
        })
        .collect()
}

/// Licenses that were narrowed after a time, as gates are told of them.
pub async fn narrowed(
    link: Link<'_>,
    after: Timestamp,
) -> Result<Vec<LicenseRevocation>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, (String, String, i64)>(
        NARROWED
    )
    .bind(after.as_microsecond())
    .fetch_all(c)
    .await)?;
    rows.into_iter()
        .map(|(id, status, narrowed_at)| {
            let bad = inconsistent("licenses", &id);
            let why = match Decision::parse(&status).ok_or_else(|| bad("status"))? {
                Decision::Active => RevokedBecause::Changed,
                Decision::Suspended => RevokedBecause::Suspended,
                Decision::Revoked => RevokedBecause::Revoked,
            };
            let issued_until = time(narrowed_at).ok_or_else(|| bad("narrowed_at"))?;
            Ok(LicenseRevocation {
                issued_until: Timestamp::from_second(issued_until.as_second())
                    .map_err(|_| bad("narrowed_at"))?,
                why,
                id: id.clone(),
            })
        })
        .collect()
}

/// Licenses that expire until `soon`, or have and are in their grace: the first to expire first,
/// `rows_max` of them at most.
pub async fn expiring(
    link: Link<'_>,
    now: Timestamp,
    soon: Timestamp,
    rows_max: usize,
) -> Result<Vec<ExpiringLicense>, StoreError> {
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let long_ago = now.saturating_sub(GRACE_TOLD_FOR).unwrap_or(now);
    let rows = on!(link, |c| {
        let mut rows = Vec::new();
        for (sql, edge) in [(IN_GRACE, long_ago), (EXPIRING, soon)] {
            let query = sqlx::query_as::<_, (String, i64, i64)>(sql)
                .bind(now.as_microsecond())
                .bind(edge.as_microsecond())
                .bind(limit);
            rows.extend(query.fetch_all(&mut *c).await?);
        }
        Ok::<_, sqlx::Error>(rows)
    })?;
    let expiring = rows.into_iter().take(rows_max);
    expiring
        .map(|(id, expires_at, grace_seconds)| {
            let bad = inconsistent("licenses", &id);
            let expires_at = time(expires_at).ok_or_else(|| bad("expires_at"))?;
            let grace = SignedDuration::from_secs(grace_seconds);
            Ok(ExpiringLicense {
                expires_at,
                grace_until: (grace_seconds > 0)
                    .then(|| expires_at.saturating_add(grace).unwrap_or(Timestamp::MAX)),
                id: id.clone(),
            })
        })
        .collect()
}

/// Lists and maps of texts always have a JSON form.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::json!(value).to_string()
}
