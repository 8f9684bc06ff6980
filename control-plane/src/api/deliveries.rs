//! `/v1/webhooks/{id}/…`: what was sent to a webhook, what is to be sent again, and a trial.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::boxes::Nothing;
use super::caller::{Allowed, ManageWebhooks, ReadSettings};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::webhooks::webhook_id;
use super::write::{Command, Halt};
use crate::domain::{DeliveryStatus, FieldError, Refusal};
use crate::operations::Replay;
use crate::store::deliveries::{self, Attempt, Delivery};
use crate::store::webhooks;
use crate::webhooks::message::message_id;

/// A message to a webhook, and what became of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
pub(super) struct DeliveryView {
    /// The row of the audit log that it tells of.
    sequence: i64,
    /// Its `webhook-id`.
    message_id: String,
    #[serde(rename = "type")]
    kind: String,
    status: DeliveryStatus,
    /// When it is tried next.
    next_at: Option<Timestamp>,
    /// When it was delivered or given up.
    ended_at: Option<Timestamp>,
    /// How many attempts were made, this one included if it is on its way.
    attempt_count: i64,
    /// The newest attempts, newest first, at most 20.
    attempts: Vec<AttemptView>,
}

/// One attempt to deliver a message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryAttempt)]
pub(super) struct AttemptView {
    /// Which one, counted from 1.
    attempt: i64,
    at: Timestamp,
    /// The HTTP status; `null` without an answer.
    status: Option<u16>,
    /// Why there was no answer.
    error: Option<String>,
    /// The beginning of what a receiver said that did not take it.
    response: Option<String>,
    duration_ms: i64,
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryPage {
    deliveries: Vec<DeliveryView>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// Which deliveries are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// That stand so.
    status: Option<DeliveryStatus>,
    /// Rows on a page, 1 to 100; 50 if not said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Which rows of the audit log are sent again: one, or from one to another.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ReplayWebhookRequest)]
pub(super) struct ReplayRequest {
    /// This one.
    #[schema(minimum = 1)]
    sequence: Option<i64>,
    /// From this one on; with `to`.
    #[schema(minimum = 1)]
    from: Option<i64>,
    /// To this one, at most 1,000 rows in all.
    #[schema(minimum = 1)]
    to: Option<i64>,
    /// Why, for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// What is sent again.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayedDeliveries)]
pub(super) struct Replayed {
    /// How many of the rows: those that the webhook wants, or was once sent.
    deliveries: usize,
}

/// What is sent for a trial.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TestedWebhook)]
pub(super) struct Tested {
    /// The row of the audit log that it tells of.
    sequence: i64,
    /// Its `webhook-id`.
    message_id: String,
}

/// List what was sent to a webhook, newest first, back to 30 days.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", operation_id = "listDeliveries",
    tag = "webhooks", security(("operator" = [])), params(("id" = String, Path), ListQuery),
    responses((status = 200, body = DeliveryPage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadSettings>,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let id = webhook_id(&id)?;
    let rows = query::rows(query.limit)?;
    let before: Option<i64> = query::after(query.cursor.as_deref())?;
    let mut conn = app.store.read().await?;
    let webhook = webhooks::get(conn.link(), &id).await?;
    webhook.ok_or(Refusal::WebhookNotFound)?;
    let found = deliveries::page(conn.link(), &id, query.status, before, rows + 1);
    let mut found = found.await?;
    let next_cursor = query::next(&mut found, rows, |delivery| delivery.sequence);
    let mut views = Vec::with_capacity(found.len());
    for delivery in found {
        let attempts = deliveries::attempts(conn.link(), &id, delivery.sequence).await?;
        views.push(view(delivery, attempts));
    }
    shown(&DeliveryPage {
        deliveries: views,
        next_cursor,
    })
}

/// Send a webhook what it was sent before, or should have been.
///
/// A message keeps its id, so a receiver that has it already knows.
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", operation_id = "replayWebhook",
    tag = "webhooks", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = ReplayRequest,
    responses((status = 202, body = Replayed), WriteProblems))]
pub(super) async fn replay(
    State(app): State<App>,
    caller: Allowed<ManageWebhooks>,
    Path(id): Path<String>,
    command: Command<ReplayRequest>,
) -> Result<Response, Halt> {
    let id = webhook_id(&id)?;
    let body = command.body;
    let (from, to) = match (body.sequence, body.from, body.to) {
        (Some(one), None, None) => (one, one),
        (None, Some(from), Some(to)) => (from, to),
        _ => {
            let error = FieldError::new("sequence", "or both `from` and `to` must be given");
            return Err(Refusal::InvalidFields(vec![error]).into());
        }
    };
    let reason = body.reason.map(super::reason).transpose()?;
    let mut write = caller.write(&app, command.key).await?;
    let replay = Replay { from, to };
    let replayed = app
        .replay_webhook(&mut write.tx, &write.by, &id, replay, reason)
        .await?;
    write
        .answer(StatusCode::ACCEPTED, replayed, |&deliveries| Replayed {
            deliveries,
        })
        .await
}

/// Send a webhook a message of the type `webhook.test`.
///
/// It goes the way that every message goes; what became of it stands among the deliveries.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", operation_id = "testWebhook",
    tag = "webhooks", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = Option<Nothing>,
    responses((status = 202, body = Tested), WriteProblems))]
pub(super) async fn test(
    State(app): State<App>,
    caller: Allowed<ManageWebhooks>,
    Path(id): Path<String>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let id = webhook_id(&id)?;
    let mut write = caller.write(&app, command.key).await?;
    let tested = app.test_webhook(&mut write.tx, &write.by, &id).await?;
    write
        .answer(StatusCode::ACCEPTED, tested, |&(sequence, at)| Tested {
            sequence,
            message_id: message_id(sequence, at),
        })
        .await
}

fn view(delivery: Delivery, attempts: Vec<Attempt>) -> DeliveryView {
    let attempts = attempts.into_iter().map(|attempt| AttemptView {
        attempt: attempt.number,
        at: attempt.at,
        status: attempt.answer.status,
        error: attempt.answer.error,
        response: attempt.answer.response,
        duration_ms: attempt.answer.duration_ms,
    });
    DeliveryView {
        message_id: message_id(delivery.sequence, delivery.done_at),
        sequence: delivery.sequence,
        kind: delivery.action,
        status: delivery.status,
        next_at: delivery.next_at,
        ended_at: delivery.ended_at,
        attempt_count: delivery.attempts,
        attempts: attempts.collect(),
    }
}
