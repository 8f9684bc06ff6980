//! Table `credentials`.

use activation_token::credential::{CredentialKind, SecretDigest};
use activation_token::snapshot::Publisher;
use jiff::Timestamp;

use super::{Link, StoreError, Tx, inconsistent, on, row, time};
use crate::domain::{Caller, Credential, CredentialId, Role};

const INSERT: &str = "INSERT INTO credentials \
    (id, kind, name, role, digest, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const FIND: &str = "SELECT id, role FROM credentials WHERE digest = $1 AND kind = $2 \
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)";
const GET: &str = "SELECT id, kind, name, role, created_at, expires_at, revoked_at, last_used_at \
    FROM credentials WHERE id = $1";
const LIST: &str = "SELECT id, kind, name, role, created_at, expires_at, revoked_at, last_used_at \
    FROM credentials WHERE ($1 IS NULL OR id < $1) AND ($2 IS NULL OR kind = $2) \
    ORDER BY id DESC LIMIT $3";
const PUBLISHERS: &str = "SELECT id, digest, expires_at FROM credentials WHERE kind = $1 \
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) ORDER BY id";
const OTHER_ADMINS: &str = "SELECT COUNT(*) FROM credentials WHERE kind = 'operator' \
    AND role = 'admin' AND id <> $1 AND revoked_at IS NULL \
    AND (expires_at IS NULL OR expires_at > $2)";
// It ends as well, for the previous release, which knows no revocation.
const REVOKE: &str = "UPDATE credentials SET revoked_at = $2, \
    expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END WHERE id = $1";
const USED: &str = "UPDATE credentials SET last_used_at = $2 WHERE id = $1";

row! {
    struct Row {
        id: String,
        kind: String,
        name: String,
        role: Option<String>,
        created_at: i64,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
        last_used_at: Option<i64>,
    }
}

impl Row {
    fn into_domain(self) -> Result<Credential, StoreError> {
        let bad = inconsistent("credentials", &self.id);
        let at = |stored: Option<i64>, column| {
            stored
                .map(|at| time(at).ok_or_else(|| bad(column)))
                .transpose()
        };
        let mut kinds = CredentialKind::ALL.into_iter();
        let role = self
            .role
            .as_deref()
            .map(|role| Role::parse(role).ok_or_else(|| bad("role")));
        Ok(Credential {
            id: self.id.parse().map_err(|_| bad("id"))?,
            kind: kinds
                .find(|kind| kind.as_str() == self.kind)
                .ok_or_else(|| bad("kind"))?,
            role: role.transpose()?,
            created_at: time(self.created_at).ok_or_else(|| bad("created_at"))?,
            expires_at: at(self.expires_at, "expires_at")?,
            revoked_at: at(self.revoked_at, "revoked_at")?,
            last_used_at: at(self.last_used_at, "last_used_at")?,
            name: self.name,
        })
    }
}

/// Adds a credential with the digest of its secret.
pub async fn insert(
    tx: &mut Tx,
    credential: &Credential,
    digest: SecretDigest,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(INSERT)
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
    let row = on!(link, |c| sqlx::query_as::<_, (String, Option<String>)>(
        FIND
    )
    .bind(digest.to_string())
    .bind(kind.as_str())
    .bind(now.as_microsecond())
    .fetch_optional(c)
    .await)?;
    row.map(|(id, role)| {
        let bad = inconsistent("credentials", &id);
        let role = role.map(|role| Role::parse(&role).ok_or_else(|| bad("role")));
        Ok(Caller {
            id: id.parse().map_err(|_| bad("id"))?,
            kind,
            role: role.transpose()?,
        })
    })
    .transpose()
}

/// The credential with this id.
pub async fn get(link: Link<'_>, id: &CredentialId) -> Result<Option<Credential>, StoreError> {
    let row = on!(link, |c| sqlx::query_as::<_, Row>(GET)
        .bind(id.as_str())
        .fetch_optional(c)
        .await)?;
    row.map(Row::into_domain).transpose()
}

/// Credentials, newest first, from the one after `before` on.
pub async fn list(
    link: Link<'_>,
    kind: Option<CredentialKind>,
    before: Option<&CredentialId>,
    rows_max: u32,
) -> Result<Vec<Credential>, StoreError> {
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(LIST)
        .bind(before.map(CredentialId::as_str))
        .bind(kind.map(CredentialKind::as_str))
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// Whether an admin other than this one could still manage credentials.
pub async fn has_other_admin(
    link: Link<'_>,
    than: &CredentialId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (count,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(OTHER_ADMINS)
        .bind(than.as_str())
        .bind(now.as_microsecond())
        .fetch_one(c)
        .await)?;
    Ok(count > 0)
}

/// Takes a credential out of force.
pub async fn revoke(tx: &mut Tx, id: &CredentialId, now: Timestamp) -> Result<(), StoreError> {
    set_time(tx, REVOKE, id, now).await
}

/// Notes that a credential was used.
pub async fn used(tx: &mut Tx, id: &CredentialId, at: Timestamp) -> Result<(), StoreError> {
    set_time(tx, USED, id, at).await
}

async fn set_time(
    tx: &mut Tx,
    sql: &'static str,
    id: &CredentialId,
    at: Timestamp,
) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(sql)
        .bind(id.as_str())
        .bind(at.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// The publishers in force, as gates are told of them.
pub async fn publishers(link: Link<'_>, now: Timestamp) -> Result<Vec<Publisher>, StoreError> {
    let rows = on!(link, |c| {
        sqlx::query_as::<_, (String, String, Option<i64>)>(PUBLISHERS)
            .bind(CredentialKind::Publisher.as_str())
            .bind(now.as_microsecond())
            .fetch_all(c)
            .await
    })?;
    rows.into_iter()
        .map(|(id, digest, expires_at)| {
            let bad = inconsistent("credentials", &id);
            let digest = serde_json::from_value(digest.into());
            let expires_at = expires_at.map(|at| time(at).ok_or_else(|| bad("expires_at")));
            Ok(Publisher {
                digest: digest.map_err(|_| bad("digest"))?,
                expires_at: expires_at.transpose()?,
                id: id.clone(),
            })
        })
        .collect()
}
