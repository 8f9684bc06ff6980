//! `/v1/signing-keys`: what tokens are signed with. Public halves alone are ever shown.

use std::future::Future;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::boxes::{Nothing, ReasonQuery};
use super::caller::{Allowed, ManageKeys, ReadSettings};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::Query;
use super::write::{Command, Halt};
use crate::operations::{Fault, Standing};

/// Why keys are rotated.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateRequest {
    /// Why, for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A signing key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SigningKey)]
struct SigningKeyView {
    /// Its thumbprint, which tokens name as `kid`.
    id: String,
    /// `pending`: published and not signing yet; `signing`; `retiring`: signs no more, and its
    /// tokens are good; `retired`: they are over; `removed`: they are refused.
    state: &'static str,
    created_at: Timestamp,
    signs_from: Timestamp,
    /// When the state changes if nobody does anything.
    changes_at: Option<Timestamp>,
    removed_at: Option<Timestamp>,
}

/// All signing keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SigningKeyList {
    signing_keys: Vec<SigningKeyView>,
    /// When the next key is made by schedule. `null` without a schedule, and while one is pending.
    next_rotation_at: Option<Timestamp>,
}

/// List all signing keys, newest first.
#[utoipa::path(get, path = "/v1/signing-keys", operation_id = "listSigningKeys",
    tag = "signing keys", security(("operator" = [])),
    responses((status = 200, body = SigningKeyList), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadSettings>,
) -> Result<Response, Problem> {
    let (ring, now) = (app.keyring.ring(), app.clock.now());
    let mut signing_keys: Vec<SigningKeyView> = ring
        .statuses(now)
        .map(|status| view(&status.into()))
        .collect();
    signing_keys.reverse();
    let every = app.policy.key_rotation;
    shown(&SigningKeyList {
        signing_keys,
        next_rotation_at: every.and_then(|every| ring.next_rotation(every, now)),
    })
}

/// Make a new signing key.
///
/// It is published now and signs once every gate and every cache must know it. Tokens of the key
/// before it stay good.
#[utoipa::path(post, path = "/v1/signing-keys/rotate", operation_id = "rotateSigningKey",
    tag = "signing keys", security(("operator" = [])), params(super::openapi::IdempotencyParam),
    responses((status = 201, body = SigningKeyView), WriteProblems))]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Allowed<ManageKeys>,
    command: Command<RotateRequest>,
) -> Result<Response, Halt> {
    let reason = super::reason(command.body.reason)?;
    to_the_end(async move {
        let mut change = app.keyring.change().await;
        let made = change.prepare(Arc::clone(&app.entropy)).await;
        made.map_err(Fault::KeyFiles)?;
        let mut write = caller.write(&app, command.key).await?;
        let rotated = app
            .rotate_signing_key(&mut write.tx, &write.by, &mut change, Some(reason))
            .await?;
        let answer = write.answer(StatusCode::CREATED, rotated, view).await?;
        change.keep(app.clock.now()).await;
        Ok(answer)
    })
    .await
}

/// Remove a signing key by force.
///
/// For a key that somebody else may have: its tokens are refused at once, and boxes have to
/// activate again. Another key signs at once.
#[utoipa::path(delete, path = "/v1/signing-keys/{id}", operation_id = "removeSigningKey",
    tag = "signing keys", security(("operator" = [])),
    params(("id" = String, Path), ReasonQuery, super::openapi::IdempotencyParam),
    request_body = Option<Nothing>,
    responses((status = 200, body = SigningKeyView), WriteProblems))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Allowed<ManageKeys>,
    Path(id): Path<String>,
    Query(query): Query<ReasonQuery>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let reason = query.reason.map(super::reason).transpose()?;
    to_the_end(async move {
        let mut change = app.keyring.change().await;
        let made = change.prepare(Arc::clone(&app.entropy)).await;
        made.map_err(Fault::KeyFiles)?;
        let mut write = caller.write(&app, command.key).await?;
        let removed = app
            .remove_signing_key(&mut write.tx, &write.by, &mut change, &id, reason)
            .await?;
        let answer = write.answer(StatusCode::OK, removed, view).await?;
        change.keep(app.clock.now()).await;
        Ok(answer)
    })
    .await
}

/// Does the work though the caller may go: what this process signs with must not depend on
/// whether somebody waits for the answer.
async fn to_the_end(
    work: impl Future<Output = Result<Response, Halt>> + Send + 'static,
) -> Result<Response, Halt> {
    let ended = tokio::spawn(work).await;
    ended.map_err(Problem::fault)?
}

fn view(key: &Standing) -> SigningKeyView {
    SigningKeyView {
        id: key.record.id().to_owned(),
        state: key.state.as_str(),
        created_at: key.record.created_at,
        signs_from: key.record.signs_from,
        changes_at: key.changes_at,
        removed_at: key.record.removed_at,
    }
}
