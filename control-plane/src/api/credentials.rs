//! `/v1/credentials`.

use activation_token::credential::CredentialKind;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::App;
use super::caller::{Allowed, ManageCredentials};
use super::json::{Body, private};
use super::problem::Problem;
use crate::domain::Role;
use crate::operations::NewCredential;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateRequest {
    kind: CredentialKind,
    name: String,
    role: Option<Role>,
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CredentialView<'c> {
    id: &'c str,
    kind: CredentialKind,
    name: &'c str,
    role: Option<Role>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    /// The secret, once.
    secret: &'c str,
}

/// `POST /v1/credentials`
pub(super) async fn create(
    State(app): State<App>,
    caller: Allowed<ManageCredentials>,
    Body(request): Body<CreateRequest>,
) -> Result<Response, Problem> {
    let new = NewCredential {
        kind: request.kind,
        name: request.name,
        role: request.role,
        expires_at: request.expires_at,
    };
    let (credential, secret) = app.create_credential(&caller.requester, new).await?;
    let view = CredentialView {
        id: credential.id.as_str(),
        kind: credential.kind,
        name: &credential.name,
        role: credential.role,
        created_at: credential.created_at,
        expires_at: credential.expires_at,
        secret: secret.expose_secret(),
    };
    Ok(private(StatusCode::CREATED, view))
}
