//! `/v1/webhooks`: who is told of changes.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::App;
use super::boxes::{Nothing, ReasonQuery};
use super::caller::{Allowed, ManageWebhooks, ReadSettings};
use super::json::{present, shown};
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::Query;
use super::write::{Command, Halt};
use crate::domain::{DisabledReason, EventFilter, FieldError, Refusal, Webhook, WebhookId};
use crate::operations::{NewWebhook, WebhookChange};
use crate::store::webhooks;
use crate::webhooks::message::WebhookSecret;

/// For how many seconds an old secret signs as well, where it is not said.
const OVERLAP: u32 = 24 * 3600;

/// Who is to be told of what.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateWebhookRequest)]
pub(super) struct CreateRequest {
    /// Where it listens: an `https` address on the public internet.
    #[schema(max_length = 2000)]
    url: String,
    /// A note for people.
    #[schema(min_length = 1, max_length = 200)]
    description: Option<String>,
    /// Types of events such as `license.suspend`, or prefixes such as `license.*`. With none, all
    /// but those about webhooks.
    #[serde(default)]
    #[schema(max_items = 50)]
    events: Vec<String>,
}

/// What changes about a webhook. What is left out stays; `null` takes away.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ChangeWebhookRequest)]
pub(super) struct ChangeRequest {
    /// Where it listens.
    #[schema(max_length = 2000)]
    url: Option<String>,
    /// A note for people.
    #[serde(default, deserialize_with = "present")]
    #[schema(min_length = 1, max_length = 200)]
    description: Option<Option<String>>,
    /// All types of events and prefixes.
    #[schema(max_items = 50)]
    events: Option<Vec<String>>,
    /// Whether anything is sent. What happened meanwhile is sent when it is enabled again, back to
    /// 30 days.
    enabled: Option<bool>,
    /// Why, for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// How a webhook gets another secret.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RotateWebhookSecretRequest)]
pub(super) struct RotateSecretRequest {
    /// For how many seconds the secret it has signs as well; a day if not said.
    #[serde(default = "overlap")]
    #[schema(maximum = 2_592_000)]
    overlap_seconds: u32,
    /// Why, for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

fn overlap() -> u32 {
    OVERLAP
}

/// An endpoint that is told of changes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
struct WebhookView {
    #[schema(value_type = String)]
    id: WebhookId,
    #[schema(value_type = String)]
    url: Url,
    description: Option<String>,
    events: Vec<String>,
    created_at: Timestamp,
    enabled: bool,
    disabled_at: Option<Timestamp>,
    disabled_reason: Option<DisabledReason>,
    /// Since when nothing got through, if the last attempt failed.
    failing_since: Option<Timestamp>,
    /// Until when it rests, because it is overloaded or does not answer.
    paused_until: Option<Timestamp>,
    /// Until when the secret before the present one signs as well.
    old_secret_until: Option<Timestamp>,
    /// The secret, this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    secret: Option<String>,
}

/// Every webhook.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookList {
    webhooks: Vec<WebhookView>,
}

/// Create a webhook.
///
/// It is told of what happens from now on, by Standard Webhooks 1.0.0. The answer holds the secret
/// that its messages are signed with, which cannot be read again.
#[utoipa::path(post, path = "/v1/webhooks", operation_id = "createWebhook", tag = "webhooks",
    security(("operator" = [])), params(super::openapi::IdempotencyParam),
    request_body = CreateRequest,
    responses((status = 201, body = WebhookView), WriteProblems))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Allowed<ManageWebhooks>,
    command: Command<CreateRequest>,
) -> Result<Response, Halt> {
    let new = NewWebhook {
        url: address(&command.body.url)?,
        description: command.body.description,
        events: EventFilter::new(command.body.events),
    };
    let mut write = caller.write(&app, command.key).await?;
    let created = app.create_webhook(&mut write.tx, &write.by, new).await?;
    write
        .answer(StatusCode::CREATED, created, with_secret)
        .await
}

/// List webhooks, newest first. There are at most 50.
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "listWebhooks", tag = "webhooks",
    security(("operator" = [])),
    responses((status = 200, body = WebhookList), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadSettings>,
) -> Result<Response, Problem> {
    let mut conn = app.store.read().await?;
    let webhooks = webhooks::list(conn.link()).await?;
    shown(&WebhookList {
        webhooks: webhooks.iter().map(view).collect(),
    })
}

/// Read a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", operation_id = "getWebhook", tag = "webhooks",
    security(("operator" = [])), params(("id" = String, Path)),
    responses((status = 200, body = WebhookView), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadSettings>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = webhook_id(&id)?;
    let mut conn = app.store.read().await?;
    let webhook = webhooks::get(conn.link(), &id).await?;
    shown(&view(&webhook.ok_or(Refusal::WebhookNotFound)?))
}

/// Change a webhook.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", operation_id = "changeWebhook", tag = "webhooks",
    security(("operator" = [])), params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = ChangeRequest,
    responses((status = 200, body = WebhookView), WriteProblems))]
pub(super) async fn change(
    State(app): State<App>,
    caller: Allowed<ManageWebhooks>,
    Path(id): Path<String>,
    command: Command<ChangeRequest>,
) -> Result<Response, Halt> {
    let id = webhook_id(&id)?;
    let body = command.body;
    let change = WebhookChange {
        url: body.url.as_deref().map(address).transpose()?,
        description: body.description,
        events: body.events.map(EventFilter::new),
        enabled: body.enabled,
        reason: body.reason.map(super::reason).transpose()?,
    };
    let mut write = caller.write(&app, command.key).await?;
    let changed = app
        .change_webhook(&mut write.tx, &write.by, &id, change)
        .await?;
    write.answer(StatusCode::OK, changed, view).await
}

/// Delete a webhook, with its deliveries.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", operation_id = "deleteWebhook",
    tag = "webhooks", security(("operator" = [])),
    params(("id" = String, Path), ReasonQuery, super::openapi::IdempotencyParam),
    request_body = Option<Nothing>,
    responses((status = 200, body = WebhookView), WriteProblems))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Allowed<ManageWebhooks>,
    Path(id): Path<String>,
    Query(query): Query<ReasonQuery>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let id = webhook_id(&id)?;
    let reason = query.reason.map(super::reason).transpose()?;
    let mut write = caller.write(&app, command.key).await?;
    let deleted = app
        .delete_webhook(&mut write.tx, &write.by, &id, reason)
        .await?;
    write.answer(StatusCode::OK, deleted, view).await
}

/// Give a webhook another secret.
///
/// The answer holds it, which cannot be read again. For a while messages carry two signatures.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate-secret",
    operation_id = "rotateWebhookSecret", tag = "webhooks", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = RotateSecretRequest,
    responses((status = 200, body = WebhookView), WriteProblems))]
pub(super) async fn rotate_secret(
    State(app): State<App>,
    caller: Allowed<ManageWebhooks>,
    Path(id): Path<String>,
    command: Command<RotateSecretRequest>,
) -> Result<Response, Halt> {
    let id = webhook_id(&id)?;
    let reason = command.body.reason.map(super::reason).transpose()?;
    let overlap = command.body.overlap_seconds;
    let mut write = caller.write(&app, command.key).await?;
    let rotated = app
        .rotate_webhook_secret(&mut write.tx, &write.by, &id, overlap, reason)
        .await?;
    write.answer(StatusCode::OK, rotated, with_secret).await
}

fn with_secret((webhook, secret): &(Webhook, WebhookSecret)) -> WebhookView {
    WebhookView {
        secret: Some(secret.to_text().expose_secret().to_owned()),
        ..view(webhook)
    }
}

fn view(webhook: &Webhook) -> WebhookView {
    let (disabled_at, disabled_reason) = webhook.disabled.unzip();
    WebhookView {
        id: webhook.id.clone(),
        url: webhook.url.clone(),
        description: webhook.description.clone(),
        events: webhook.events.patterns().to_vec(),
        created_at: webhook.created_at,
        enabled: webhook.disabled.is_none(),
        disabled_at,
        disabled_reason,
        failing_since: webhook.failing_since,
        paused_until: webhook.paused_until,
        old_secret_until: webhook.old_secret_until,
        secret: None,
    }
}

/// Reads an address. It may hold a secret, so what cannot be read is not repeated.
fn address(text: &str) -> Result<Url, Refusal> {
    text.parse()
        .map_err(|_| Refusal::InvalidFields(vec![FieldError::new("url", "is not an address")]))
}

/// Reads an id. A text that cannot be one names no webhook.
pub(super) fn webhook_id(text: &str) -> Result<WebhookId, Refusal> {
    text.parse().map_err(|_| Refusal::WebhookNotFound)
}
