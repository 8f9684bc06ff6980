//! `/v1/credentials`.

use activation_token::credential::CredentialKind;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::boxes::{Nothing, ReasonQuery};
use super::caller::{Allowed, ManageCredentials, ReadSelf, ReadSettings};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::write::{Command, Halt};
use crate::domain::{Actor, Credential, CredentialId, Refusal, Role};
use crate::operations::NewCredential;
use crate::store::credentials;

/// The kinds of credentials, for the document.
#[derive(ToSchema)]
#[schema(as = CredentialKind, rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "the kinds are defined by the token contract, which knows no API"
)]
pub(super) enum Kind {
    Operator,
    Gate,
    Publisher,
    Application,
}

/// What a new credential is for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateRequest {
    #[schema(value_type = Kind)]
    kind: CredentialKind,
    /// A name for people.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What an operator may do; `viewer` if not said. For operators only.
    role: Option<Role>,
    /// When it ends. Without it, never.
    expires_at: Option<Timestamp>,
}

/// A credential.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Credential)]
struct CredentialView {
    #[schema(value_type = String)]
    id: CredentialId,
    #[schema(value_type = Kind)]
    kind: CredentialKind,
    name: String,
    role: Option<Role>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    /// To about a minute.
    last_used_at: Option<Timestamp>,
    /// The secret, this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    secret: Option<String>,
}

/// A page of credentials.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialPage {
    credentials: Vec<CredentialView>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// Which credentials are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Of this kind.
    #[param(value_type = Option<Kind>)]
    kind: Option<CredentialKind>,
    /// Rows on a page, 1 to 100; 50 if not said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Create a credential.
///
/// The answer holds its secret, which cannot be read again.
#[utoipa::path(post, path = "/v1/credentials", operation_id = "createCredential",
    tag = "credentials", security(("operator" = [])), params(super::openapi::IdempotencyParam),
    request_body = CreateRequest,
    responses((status = 201, body = CredentialView), WriteProblems))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Allowed<ManageCredentials>,
    command: Command<CreateRequest>,
) -> Result<Response, Halt> {
    let new = NewCredential {
        kind: command.body.kind,
        name: command.body.name,
        role: command.body.role,
        expires_at: command.body.expires_at,
    };
    let mut write = caller.write(&app, command.key).await?;
    let created = app.create_credential(&mut write.tx, &write.by, new).await?;
    write
        .answer(StatusCode::CREATED, created, |(credential, secret)| {
            CredentialView {
                secret: Some(secret.expose_secret().to_owned()),
                ..view(credential)
            }
        })
        .await
}

/// List credentials, newest first.
#[utoipa::path(get, path = "/v1/credentials", operation_id = "listCredentials",
    tag = "credentials", security(("operator" = [])), params(ListQuery),
    responses((status = 200, body = CredentialPage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadSettings>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let rows = query::rows(query.limit)?;
    let before: Option<CredentialId> = query::after(query.cursor.as_deref())?;
    let mut conn = app.store.read().await?;
    let found = credentials::list(conn.link(), query.kind, before.as_ref(), rows + 1);
    let mut found = found.await?;
    let next_cursor = query::next(&mut found, rows, |credential| credential.id.clone());
    shown(&CredentialPage {
        credentials: found.iter().map(view).collect(),
        next_cursor,
    })
}

/// Show the credential that asks.
#[utoipa::path(get, path = "/v1/credentials/self", operation_id = "getOwnCredential",
    tag = "credentials", security(("operator" = []), ("application" = []), ("gate" = [])),
    responses((status = 200, body = CredentialView), ReadProblems))]
pub(super) async fn show_own(
    State(app): State<App>,
    caller: Allowed<ReadSelf>,
) -> Result<Response, Problem> {
    let Actor::Credential(id) = &caller.requester.actor else {
        return Err(Refusal::CredentialNotFound.into());
    };
    let mut conn = app.store.read().await?;
    let own = credentials::get(conn.link(), id).await?;
    shown(&view(&own.ok_or(Refusal::CredentialNotFound)?))
}

/// Revoke a credential, at once.
#[utoipa::path(delete, path = "/v1/credentials/{id}", operation_id = "revokeCredential",
    tag = "credentials", security(("operator" = [])),
    params(("id" = String, Path), ReasonQuery, super::openapi::IdempotencyParam),
    responses((status = 200, body = CredentialView), WriteProblems))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Allowed<ManageCredentials>,
    Path(id): Path<String>,
    Query(query): Query<ReasonQuery>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let reason = query.reason.map(super::reason).transpose()?;
    let id = id.parse().map_err(|_| Refusal::CredentialNotFound)?;
    let mut write = caller.write(&app, command.key).await?;
    let revoked = app
        .revoke_credential(&mut write.tx, &write.by, &id, reason)
        .await?;
    write.answer(StatusCode::OK, revoked, view).await
}

fn view(credential: &Credential) -> CredentialView {
    CredentialView {
        id: credential.id.clone(),
        kind: credential.kind,
        name: credential.name.clone(),
        role: credential.role,
        created_at: credential.created_at,
        expires_at: credential.expires_at,
        revoked_at: credential.revoked_at,
        last_used_at: credential.last_used_at,
        secret: None,
    }
}
