//! Table `licenses`.

use activation_token::credential::SecretDigest;
use jiff::Timestamp;
use manifest::{PackageName, TierName};

use super::{Link, StoreError, inconsistent, on, row, time};
use crate::domain::{License, LicenseId, LicenseStatus};

const INSERT: &str = "INSERT INTO licenses \
    (id, customer_id, key_digest, tier, status, expires_at, max_boxes, add_ons, metadata, created_at, revision) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)";
const GET: &str = "SELECT id, customer_id, tier, status, expires_at, max_boxes, add_ons, metadata, created_at \
    FROM licenses WHERE id = $1";
// Raising the revision locks the row: the license is decided about by one activation at a time.
const LOCK_BY_KEY: &str = "UPDATE licenses SET revision = revision + 1 WHERE key_digest = $1 \
    RETURNING id, customer_id, tier, status, expires_at, max_boxes, add_ons, metadata, created_at";
const TIERS_IN_USE: &str =
    "SELECT DISTINCT tier, add_ons FROM licenses WHERE status <> 'revoked' ORDER BY tier, add_ons";

row! {
    struct Row {
        id: String,
        customer_id: String,
        tier: Option<String>,
        status: String,
        expires_at: Option<i64>,
        max_boxes: Option<i64>,
        add_ons: String,
        metadata: String,
        created_at: i64,
    }
}

impl Row {
    fn into_domain(self) -> Result<License, StoreError> {
        let bad = inconsistent("licenses", &self.id);
        let tier = self.tier.as_deref().map(TierName::parse).transpose();
        let expires_at = self
            .expires_at
            .map(|at| time(at).ok_or_else(|| bad("expires_at")));
        let max_boxes = self
            .max_boxes
            .map(|n| u32::try_from(n).map_err(|_| bad("max_boxes")));
        Ok(License {
            id: self.id.parse().map_err(|_| bad("id"))?,
            tier: tier.map_err(|_| bad("tier"))?,
            status: LicenseStatus::parse(&self.status).ok_or_else(|| bad("status"))?,
            expires_at: expires_at.transpose()?,
            max_boxes: max_boxes.transpose()?,
            add_ons: serde_json::from_str(&self.add_ons).map_err(|_| bad("add_ons"))?,
            metadata: serde_json::from_str(&self.metadata).map_err(|_| bad("metadata"))?,
            created_at: time(self.created_at).ok_or_else(|| bad("created_at"))?,
            customer_id: self.customer_id,
        })
    }
}

/// Adds a license with the digest of its key.
pub async fn insert(
    link: Link<'_>,
    license: &License,
    key: SecretDigest,
) -> Result<(), StoreError> {
    let add_ons = json(&license.add_ons);
    let metadata = json(&license.metadata);
    on!(link, |c| sqlx::query(INSERT)
        .bind(license.id.as_str())
        .bind(&license.customer_id)
        .bind(key.to_string())
        .bind(license.tier.as_ref().map(TierName::as_str))
        .bind(license.status.as_str())
        .bind(license.expires_at.map(Timestamp::as_microsecond))
        .bind(license.max_boxes.map(i64::from))
        .bind(add_ons)
        .bind(metadata)
        .bind(license.created_at.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// The license with this id.
pub async fn get(link: Link<'_>, id: &LicenseId) -> Result<Option<License>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(GET)
        .bind(id.as_str())
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// The license with this key, held until the transaction ends.
pub async fn lock_by_key(link: Link<'_>, key: SecretDigest) -> Result<Option<License>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(LOCK_BY_KEY)
        .bind(key.to_string())
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// Every combination of explicit tier and add-ons that a license has.
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

/// Lists and maps of texts always have a JSON form.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::json!(value).to_string()
}
