//! Table `signing_keys`: public halves and times.

use activation_token::Key;
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::KeyRecord;

const ALL: &str = "SELECT id, public_key, created_at, signs_from, removed_at \
    FROM signing_keys ORDER BY signs_from, created_at, id";
const INSERT: &str = "INSERT INTO signing_keys \
    (id, public_key, created_at, signs_from, removed_at) VALUES ($1, $2, $3, $4, $5)";
const SIGN_FROM: &str = "UPDATE signing_keys SET signs_from = $2 WHERE id = $1";
const REMOVE: &str = "UPDATE signing_keys SET removed_at = $2 WHERE id = $1";

row! {
    struct Row {
        id: String,
        public_key: String,
        created_at: i64,
        signs_from: i64,
        removed_at: Option<i64>,
    }
}

/// Every key there ever was.
pub async fn all(link: Link<'_>) -> Result<Vec<KeyRecord>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(ALL).fetch_all(c).await)?;
    rows.iter().map(record).collect()
}

/// Stores a new key.
pub async fn insert(tx: &mut Tx, key: &KeyRecord) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(INSERT)
        .bind(key.id())
        .bind(BASE64URL_NOPAD.encode(key.key.as_bytes()))
        .bind(key.created_at.as_microsecond())
        .bind(key.signs_from.as_microsecond())
        .bind(key.removed_at.map(Timestamp::as_microsecond))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Lets a key begin to sign at another time.
pub async fn sign_from(tx: &mut Tx, id: &str, at: Timestamp) -> Result<(), StoreError> {
    set_time(tx, SIGN_FROM, id, at).await
}

/// Removes a key by force. Its row stays, so that it never comes back.
pub async fn remove(tx: &mut Tx, id: &str, at: Timestamp) -> Result<(), StoreError> {
    set_time(tx, REMOVE, id, at).await
}

async fn set_time(
    tx: &mut Tx,
    sql: &'static str,
    id: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(sql)
        .bind(id)
        .bind(at.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

fn record(row: &Row) -> Result<KeyRecord, StoreError> {
    let bad = inconsistent("signing_keys", &row.id);
    let bytes = BASE64URL_NOPAD.decode(row.public_key.as_bytes());
    let key = bytes.ok().and_then(|bytes| Key::from_bytes(&bytes).ok());
    let key = key.filter(|key| key.id() == row.id);
    let removed_at = row
        .removed_at
        .map(|at| time(at).ok_or_else(|| bad("removed_at")));
    Ok(KeyRecord {
        key: key.ok_or_else(|| bad("public_key"))?,
        created_at: time(row.created_at).ok_or_else(|| bad("created_at"))?,
        signs_from: time(row.signs_from).ok_or_else(|| bad("signs_from"))?,
        removed_at: removed_at.transpose()?,
    })
}
