//! Who is asking, as a type: a handler with an [`Allowed`] among its arguments cannot run for
//! anyone else.

use std::marker::PhantomData;

use activation_token::credential::{CredentialKind, is_well_formed};
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use secrecy::SecretString;

use super::App;
use super::problem::Problem;
use super::request::RequestId;
use super::write::{Halt, IdempotencyKey, Write};
use crate::domain::{Actor, Caller, Event, Requester, Right};
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
    /// Whether the credential may also stand in `X-API-Key`.
    const BY_API_KEY: bool = false;
}

macro_rules! demand {
    ($($right:ident),*) => { $(
        pub(super) struct $right;
        impl Demand for $right { const RIGHT: Right = Right::$right; }
    )* };
}
demand!(
    ReadSelf,
    ReadTiers,
    ReadLicenses,
    WriteLicenses,
    SignBundles,
    ReadEntitlements,
    WriteEntitlements,
    RecordUsage,
    ReadAudit,
    ReadMetrics,
    ReadSettings,
    ManageCredentials,
    ManageKeys,
    ManageWebhooks,
    ManagePremium,
    ReadSnapshot,
    ReportDownloads
);

/// [`ReadEntitlements`], as clients of OFREP ask for it.
pub(super) struct EvaluateFlags;

impl Demand for EvaluateFlags {
    const RIGHT: Right = Right::ReadEntitlements;
    const BY_API_KEY: bool = true;
}

impl<R> Allowed<R> {
    /// Begins a write of this caller's.
    pub(super) async fn write(self, app: &App, key: Option<IdempotencyKey>) -> Result<Write, Halt> {
        let scope = self.requester.actor.as_str().to_owned();
        Write::begin(app, self.requester, &scope, key).await
    }
}

impl<R: Demand> FromRequestParts<App> for Allowed<R> {
    type Rejection = Problem;

    /// What is refused here is kept in the audit log.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(request_id) = RequestId::from_request_parts(parts, app).await;
        let (actor, problem) = match check::<R>(parts, app).await? {
            Ok(caller) => {
                return Ok(Self {
                    requester: request_id.requester(Actor::Credential(caller.id)),
                    right: PhantomData,
                });
            }
            Err(denied) => denied,
        };
        let path = parts
            .extensions
            .get::<MatchedPath>()
            .map(MatchedPath::as_str);
        let event = Event {
            after: Some(serde_json::json!({ "method": parts.method.as_str() })),
            reason: Some(problem.code().to_owned()),
            ..Event::new("access.denied", &path.unwrap_or_default())
        };
        app.denials.note(&request_id.requester(actor), event);
        Err(problem)
    }
}

/// Who asks, if they may; else who they are, as far as that is known, and why not.
async fn check<R: Demand>(
    parts: &Parts,
    app: &App,
) -> Result<Result<Caller, (Actor, Problem)>, Problem> {
    let unauthorized = |code, detail| {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, code, detail);
        Ok(Err((Actor::Unknown, problem)))
    };
    let api_key = || api_key(parts).filter(|_| R::BY_API_KEY);
    let Some(token) = bearer(parts).or_else(api_key) else {
        let detail = "send a credential as `Authorization: Bearer …`";
        return unauthorized("credential_missing", detail);
    };
    let Some(caller) = find(app, token).await? else {
        let detail = "the credential is unknown, expired or revoked";
        return unauthorized("credential_invalid", detail);
    };
    app.last_used.note(&caller.id, app.clock.now());
    if caller.may(R::RIGHT) {
        return Ok(Ok(caller));
    }
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
    let problem = Problem::new(StatusCode::FORBIDDEN, "not_allowed", detail);
    Ok(Err((Actor::Credential(caller.id), problem)))
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn api_key(parts: &Parts) -> Option<&str> {
    let key = parts.headers.get("x-api-key")?.to_str().ok()?;
    (!key.is_empty()).then_some(key)
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
