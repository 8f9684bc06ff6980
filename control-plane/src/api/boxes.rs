//! `/v1/licenses/{id}/boxes`, and `POST /v1/deactivate`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::activate::{KeyHolder, Shown};
use super::caller::{Allowed, ReadLicenses, WriteLicenses};
use super::json::shown;
use super::licenses::license_id;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::request::RequestId;
use super::write::{Command, Halt};
use crate::domain::{ActivatedBox, BoxId, License, Refusal};
use crate::operations::{Purpose, check_fingerprint};
use crate::store::{boxes, licenses};

/// A box that activated a license.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Box)]
struct BoxView {
    #[schema(value_type = String)]
    id: BoxId,
    fingerprint: String,
    name: Option<String>,
    activated_at: Timestamp,
    last_seen_at: Timestamp,
    /// Until when it keeps its seat without being heard of; `null` for ever.
    leased_until: Option<Timestamp>,
    /// Until when a license file is good that was signed for it; `null` where none was.
    offline_until: Option<Timestamp>,
    /// Whether it holds a seat now.
    holds_seat: bool,
}

/// A page of boxes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BoxPage {
    boxes: Vec<BoxView>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// Which page is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Rows on a page, 1 to 100; 50 if not said.
    #[param(minimum = 1, maximum = 100)]
    pub(super) limit: Option<u32>,
    /// `nextCursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// Why, in a request without a body.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReasonQuery {
    /// Why, for the audit log.
    pub(super) reason: Option<String>,
}

/// What is asked for with nothing in it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Which box gives its seat back.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeactivateRequest {
    /// The license key.
    key: String,
    #[serde(rename = "box")]
    box_: DeactivateBox,
}

/// A box as it names itself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeactivateBox {
    /// What it activated with.
    fingerprint: String,
}

/// What was freed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Freed {
    #[schema(value_type = String)]
    box_id: BoxId,
}

/// List the boxes of a license, oldest first.
#[utoipa::path(get, path = "/v1/licenses/{id}/boxes", operation_id = "listBoxes", tag = "boxes",
    security(("operator" = [])), params(("id" = String, Path), PageQuery),
    responses((status = 200, body = BoxPage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadLicenses>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let id = license_id(&id)?;
    let rows = query::rows(query.limit)?;
    let after: Option<BoxId> = query::after(query.cursor.as_deref())?;
    let now = app.clock.now();
    let mut conn = app.store.read().await?;
    let license = licenses::get(conn.link(), &id, now).await?;
    let license = license.ok_or(Refusal::LicenseNotFound)?;
    let mut found = boxes::list(conn.link(), &id, after.as_ref(), rows + 1).await?;
    let next_cursor = query::next(&mut found, rows, |box_| box_.id.clone());
    let boxes = found
        .into_iter()
        .map(|box_| view(&license, box_, now))
        .collect();
    shown(&BoxPage { boxes, next_cursor })
}

/// Release a box.
///
/// Its seat is free, and its tokens are no longer good.
#[utoipa::path(delete, path = "/v1/licenses/{id}/boxes/{boxId}", operation_id = "releaseBox",
    tag = "boxes", security(("operator" = [])),
    params(("id" = String, Path), ("boxId" = String, Path), ReasonQuery,
        super::openapi::IdempotencyParam),
    responses((status = 200, body = Freed), WriteProblems))]
pub(super) async fn release(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path((id, box_id)): Path<(String, String)>,
    Query(query): Query<ReasonQuery>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let reason = query.reason.map(super::reason).transpose()?;
    let id = license_id(&id)?;
    let mut write = caller.write(&app, command.key).await?;
    let freed = app
        .release_box(&mut write.tx, &write.by, &id, &box_id, reason)
        .await?;
    write.answer(StatusCode::OK, freed, freed_view).await
}

/// Give a box's seat back.
///
/// The license key in the body is the credential.
#[utoipa::path(post, path = "/v1/deactivate", operation_id = "deactivate", tag = "boxes",
    security(()), params(super::openapi::IdempotencyParam),
    request_body = DeactivateRequest,
    responses((status = 200, body = Freed), WriteProblems))]
pub(super) async fn deactivate(
    State(app): State<App>,
    request_id: RequestId,
    holder: KeyHolder,
    command: Command<DeactivateRequest>,
) -> Result<Response, Halt> {
    let DeactivateRequest { key, box_ } = command.body;
    let key = SecretString::from(key);
    Refusal::unless_all_hold([check_fingerprint(&box_.fingerprint)])?;
    let shown = Shown {
        key: &key,
        purpose: Purpose::Deactivate,
        fingerprint: Some(&box_.fingerprint),
    };
    let (mut write, limits) = holder.write(&app, &request_id, shown, command.key).await?;
    let freed = app
        .deactivate(&mut write.tx, &write.by, &key, &box_.fingerprint)
        .await?;
    let mut response = write.answer(StatusCode::OK, freed, freed_view).await?;
    response.headers_mut().extend(limits);
    Ok(response)
}

fn freed_view(freed: &ActivatedBox) -> Freed {
    Freed {
        box_id: freed.id.clone(),
    }
}

fn view(license: &License, box_: ActivatedBox, now: Timestamp) -> BoxView {
    BoxView {
        leased_until: box_.leased_until(license.lease_seconds),
        holds_seat: box_.holds_seat(license.lease_seconds, now),
        id: box_.id,
        fingerprint: box_.fingerprint,
        name: box_.name,
        activated_at: box_.activated_at,
        last_seen_at: box_.last_seen_at,
        offline_until: box_.offline_until,
    }
}
