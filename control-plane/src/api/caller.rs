//! Who is asking, as a type: a handler with an [`Allowed`] among its arguments cannot run for
//! anyone else.

use std::marker::PhantomData;

use activation_token::credential::{CredentialKind, is_well_formed};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use secrecy::SecretString;

use super::App;
use super::problem::Problem;
use super::request::RequestId;
use crate::domain::{Actor, Caller, Requester, Right};
use crate::operations::Operations;
use crate::store::credentials;

/// No credential is longer, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// A caller that has the right `R`.
pub(super) struct Allowed<R> {
    /// The caller, for the audit row.
    pub(super) requester: Requester,
    right: PhantomData<R>,
}

/// A right as a type.
pub(super) trait Demand {
    /// The right.
    const RIGHT: Right;
}

macro_rules! demand {
    ($($right:ident),*) => { $(
        pub(super) struct $right;
        impl Demand for $right { const RIGHT: Right = Right::$right; }
    )* };
}
demand!(
    ReadTiers,
    ReadLicenses,
    WriteLicenses,
    ManageCredentials,
    ReadSnapshot
);

impl<R: Demand> FromRequestParts<App> for Allowed<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = bearer(parts).ok_or_else(|| {
            let detail = "send a credential as `Authorization: Bearer …`";
            Problem::new(StatusCode::UNAUTHORIZED, "credential_missing", detail)
        })?;
        let caller = find(app, token).await?.ok_or_else(|| {
            let detail = "the credential is unknown, expired or revoked";
            Problem::new(StatusCode::UNAUTHORIZED, "credential_invalid", detail)
        })?;
        if !caller.may(R::RIGHT) {
            let detail = match caller.role {
                Some(role) => format!(
                    "an operator with the role `{}` may not do this",
                    role.as_str()
                ),
                None => format!(
                    "the credential of a {} may not do this",
                    caller.kind.as_str()
                ),
            };
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", detail));
        }
        let Ok(request_id) = RequestId::from_request_parts(parts, app).await;
        let requester = request_id.requester(Actor::Credential(caller.id));
        Ok(Self {
            requester,
            right: PhantomData,
        })
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Looks a credential up. A text that cannot be one is not worth a read.
async fn find(app: &Operations, token: &str) -> Result<Option<Caller>, Problem> {
    let kind = CredentialKind::ALL.into_iter().find(|kind| {
        token
            .strip_prefix(kind.prefix())
            .is_some_and(|rest| rest.starts_with('_'))
    });
    let kind = match kind {
        Some(kind) if !is_well_formed(kind.prefix(), token) => return Ok(None),
        Some(kind) => kind,
        // The first operator's token is the vendor's to choose, and need not have our form.
        None if token.len() <= CREDENTIAL_BYTES_MAX => CredentialKind::Operator,
        None => return Ok(None),
    };
    let digest = app.credential_digest(kind, &SecretString::from(token));
    let mut conn = app.store.read().await?;
    Ok(credentials::find(conn.link(), kind, digest, app.clock.now()).await?)
}
