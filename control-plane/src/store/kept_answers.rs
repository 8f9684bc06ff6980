//! Table `kept_answers`: what was answered to a request with an idempotency key, sealed.

use jiff::Timestamp;

use super::{Link, StoreError, Tx, on, row};

const FIND: &str = "SELECT request_digest, answer FROM kept_answers \
    WHERE key_digest = $1 AND kept_at > $2";
const PUT: &str = "INSERT INTO kept_answers (key_digest, request_digest, answer, kept_at) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (key_digest) DO UPDATE SET \
    request_digest = excluded.request_digest, answer = excluded.answer, kept_at = excluded.kept_at";
const FORGET: &str = "DELETE FROM kept_answers WHERE kept_at <= $1";

row! {
    /// An answer that was kept.
    pub struct KeptAnswer {
        request_digest: String,
        answer: String,
    }
}

impl KeptAnswer {
    /// The digest of the request it answered.
    pub fn request_digest(&self) -> &str {
        &self.request_digest
    }

    /// The answer, sealed.
    pub fn sealed(&self) -> &str {
        &self.answer
    }
}

/// The answer under a key, if one was kept after a time.
pub async fn find(
    link: Link<'_>,
    key_digest: &str,
    kept_after: Timestamp,
) -> Result<Option<KeptAnswer>, StoreError> {
    Ok(on!(link, |c| sqlx::query_as::<_, KeptAnswer>(FIND)
        .bind(key_digest)
        .bind(kept_after.as_microsecond())
        .fetch_optional(c)
        .await)?)
}

/// Keeps an answer.
pub async fn put(
    tx: &mut Tx,
    key_digest: &str,
    request_digest: &str,
    sealed: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(PUT)
        .bind(key_digest)
        .bind(request_digest)
        .bind(sealed)
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets what was kept until a time.
pub async fn forget(tx: &mut Tx, kept_until: Timestamp) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(FORGET)
        .bind(kept_until.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
