//! Table `credentials`.

use activation_token::credential::{CredentialKind, SecretDigest};
use activation_token::snapshot::Publisher;
use jiff::Timestamp;

use super::{Link, StoreError, inconsistent, on, row, time};
use crate::domain::{Caller, Credential, Role};

const INSERT: &str = "INSERT INTO credentials \
    (id, kind, name, role, digest, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const FIND: &str = "SELECT id, role, digest, expires_at FROM credentials \
    WHERE digest = $1 AND kind = $2 AND (expires_at IS NULL OR expires_at > $3)";
const ALL_OF_KIND: &str = "SELECT id, role, digest, expires_at FROM credentials \
    WHERE kind = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY id";
const ANY_OF_KIND: &str = "SELECT COUNT(*) FROM credentials WHERE kind = $1";

row! {
    struct Row {
        id: String,
        role: Option<String>,
        digest: String,
        expires_at: Option<i64>,
    }
}

/// Adds a credential with the digest of its secret.
pub async fn insert(
    link: Link<'_>,
    credential: &Credential,
    digest: SecretDigest,
) -> Result<(), StoreError> {
    on!(link, |c| sqlx::query(INSERT)
        .bind(credential.id.as_str())
        .bind(credential.kind.as_str())
        .bind(&credential.name)
        .bind(credential.role.map(Role::as_str))
        .bind(digest.to_string())
        .bind(credential.created_at.as_microsecond())
        .bind(credential.expires_at.map(Timestamp::as_microsecond))
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// The holder of a secret of this kind, if it is in force.
pub async fn find(
    link: Link<'_>,
    kind: CredentialKind,
    digest: SecretDigest,
    now: Timestamp,
) -> Result<Option<Caller>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(FIND)
        .bind(digest.to_string())
        .bind(kind.as_str())
        .bind(now.as_microsecond())
        .fetch_optional(c)
        .await)?;
    row.map(|row| {
        let bad = inconsistent("credentials", &row.id);
        let role = row.role.map(|role| {
            Role::ALL
                .into_iter()
                .find(|r| r.as_str() == role)
                .ok_or_else(|| bad("role"))
        });
        Ok(Caller {
            id: row.id.parse().map_err(|_| bad("id"))?,
            kind,
            role: role.transpose()?,
        })
    })
    .transpose()
}

/// The publishers in force, as gates are told of them.
pub async fn publishers(link: Link<'_>, now: Timestamp) -> Result<Vec<Publisher>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(ALL_OF_KIND)
        .bind(CredentialKind::Publisher.as_str())
        .bind(now.as_microsecond())
        .fetch_all(c)
        .await)?;
    rows.into_iter()
        .map(|row| {
            let bad = inconsistent("credentials", &row.id);
            let digest = serde_json::from_value(row.digest.clone().into());
            let expires_at = row
                .expires_at
                .map(|at| time(at).ok_or_else(|| bad("expires_at")));
            Ok(Publisher {
                id: row.id.clone(),
                digest: digest.map_err(|_| bad("digest"))?,
                expires_at: expires_at.transpose()?,
            })
        })
        .collect()
}

/// Whether there is a credential of this kind at all.
pub async fn exists(link: Link<'_>, kind: CredentialKind) -> Result<bool, StoreError> {
    let (count,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(ANY_OF_KIND)
        .bind(kind.as_str())
        .fetch_one(c)
        .await)?;
    Ok(count > 0)
}
