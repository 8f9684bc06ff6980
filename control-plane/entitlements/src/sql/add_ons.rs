//! A subject's add-ons, in the order in which they count.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Link, Prefix, SqlError};
use crate::on;

const CLEAR: &str = "DELETE FROM {p}_add_ons WHERE subject = $1";
const PUT: &str = "INSERT INTO {p}_add_ons (subject, position, name, updated_at) \
    VALUES ($1, $2, $3, $4)";

/// Sets what a subject has bought, in place of what it had. Several statements. Names were
/// checked against the catalog.
pub async fn set(
    mut link: Link<'_>,
    prefix: &Prefix,
    subject: &str,
    add_ons: &[Arc<str>],
    now: Timestamp,
) -> Result<(), SqlError> {
    on!(link.again(), |c| sqlx::query(prefix.statement(CLEAR))
        .bind(subject)
        .execute(c)
        .await
        .map(drop))?;
    for (position, name) in (0_i64..).zip(add_ons) {
        on!(link.again(), |c| sqlx::query(prefix.statement(PUT))
            .bind(subject)
            .bind(position)
            .bind(&**name)
            .bind(now.as_microsecond())
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}
