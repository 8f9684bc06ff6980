//! `/v1/licenses`: issue, list, read, change, decide, give another key.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use manifest::{Limit, PackageName};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::caller::{Allowed, ReadLicenses, WriteLicenses};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::write::{Command, Halt};
use crate::domain::license::TierSource;
use crate::domain::{Decision, ExpiryStrategy, License, LicenseId, Patch, Refusal, Status};
use crate::operations::{Issued, LicenseChange, NewLicense, Operations};
use crate::store::licenses;

/// What a new license says.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IssueRequest {
    /// Who buys: any text of yours.
    #[schema(min_length = 1, max_length = 200)]
    customer_id: String,
    /// The tier. Without it, the license follows the customer's.
    tier: Option<String>,
    /// From when on it is no longer good. Without it, never.
    expires_at: Option<Timestamp>,
    /// What an expired license is still good for.
    #[serde(default)]
    expiry_strategy: ExpiryStrategy,
    /// For how many seconds it is good after the expiry, shown as `grace`.
    #[serde(default)]
    grace_seconds: u32,
    /// How many boxes may activate it. Without it, the tier's limit `boxes` counts.
    #[schema(minimum = 1)]
    max_boxes: Option<u32>,
    /// After how many seconds a silent box loses its seat. Without it, never.
    lease_seconds: Option<u32>,
    /// Packages beyond the tier; what they require comes with them.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 100)]
    add_ons: Vec<PackageName>,
    /// Your own notes.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl From<IssueRequest> for NewLicense {
    fn from(request: IssueRequest) -> Self {
        Self {
            customer_id: request.customer_id,
            tier: request.tier,
            expires_at: request.expires_at,
            expiry_strategy: request.expiry_strategy,
            grace_seconds: request.grace_seconds,
            max_boxes: request.max_boxes,
            lease_seconds: request.lease_seconds,
            add_ons: request.add_ons,
            metadata: request.metadata,
        }
    }
}

/// What changes about a license. What is left out stays; `null` takes away.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChangeRequest {
    /// The tier; `null` to follow the customer's.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    tier: Patch<String>,
    /// The expiry; `null` for never.
    #[serde(default)]
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Patch<Timestamp>,
    /// What an expired license is still good for; `null` for nothing.
    #[serde(default)]
    #[schema(value_type = Option<ExpiryStrategy>)]
    expiry_strategy: Patch<ExpiryStrategy>,
    /// For how many seconds it is good after the expiry; `null` for none.
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    grace_seconds: Patch<u32>,
    /// How many boxes; `null` for the tier's limit.
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    max_boxes: Patch<u32>,
    /// After how many seconds a silent box loses its seat; `null` for never.
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    lease_seconds: Patch<u32>,
    /// All packages beyond the tier; `null` for none.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    add_ons: Patch<Vec<PackageName>>,
    /// Notes to set; `null` takes one away, and what is not named stays.
    #[serde(default)]
    metadata: BTreeMap<String, Option<String>>,
    /// Why, for the audit log.
    reason: Option<String>,
}

/// Why an operator decides so.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecideRequest {
    /// Why, for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// How a license gets another key.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RotateKeyRequest {
    /// For how many seconds the key it has is good yet. With 0, every older key ends now.
    #[serde(default)]
    #[schema(maximum = 7_776_000)]
    overlap_seconds: u32,
    /// Why, for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A license.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = License)]
pub(super) struct LicenseView {
    #[schema(value_type = String)]
    id: LicenseId,
    customer_id: String,
    tier: String,
    tier_source: TierSource,
    status: Status,
    expires_at: Option<Timestamp>,
    expiry_strategy: ExpiryStrategy,
    grace_seconds: u32,
    max_boxes: Option<u32>,
    lease_seconds: Option<u32>,
    boxes: Seats,
    #[schema(value_type = Vec<String>)]
    add_ons: Vec<PackageName>,
    metadata: BTreeMap<String, String>,
    created_at: Timestamp,
    /// The license key, this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    key: Option<String>,
}

impl LicenseView {
    /// The same without its key.
    pub(super) fn without_key(self) -> Self {
        Self { key: None, ..self }
    }
}

/// The seats of a license.
#[derive(Serialize, ToSchema)]
pub(super) struct Seats {
    /// How many are taken.
    used: u64,
    /// How many there are; `null` for any number.
    limit: Option<u64>,
}

/// A page of licenses.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LicensePage {
    licenses: Vec<LicenseView>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// Which licenses are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Of this customer.
    customer_id: Option<String>,
    /// That stand so now.
    status: Option<Status>,
    /// At this tier, wherever it comes from.
    tier: Option<String>,
    /// That expire before then.
    expires_before: Option<Timestamp>,
    /// Rows on a page, 1 to 100; 50 if not said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Issue a license.
///
/// The answer holds the license key, which cannot be read again.
#[utoipa::path(post, path = "/v1/licenses", operation_id = "issueLicense", tag = "licenses",
    security(("operator" = [])), params(super::openapi::IdempotencyParam),
    request_body = IssueRequest,
    responses((status = 201, body = LicenseView), WriteProblems))]
pub(super) async fn issue(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    command: Command<IssueRequest>,
) -> Result<Response, Halt> {
    let mut write = caller.write(&app, command.key).await?;
    let new = command.body.into();
    let issued = app.issue_license(&mut write.tx, &write.by, new).await?;
    write
        .answer(StatusCode::CREATED, issued, |issued| with_key(&app, issued))
        .await
}

/// List licenses, newest first.
#[utoipa::path(get, path = "/v1/licenses", operation_id = "listLicenses", tag = "licenses",
    security(("operator" = [])), params(ListQuery),
    responses((status = 200, body = LicensePage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadLicenses>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let rows = query::rows(query.limit)?;
    let before: Option<LicenseId> = query::after(query.cursor.as_deref())?;
    let tier = query
        .tier
        .map(|tier| app.find_tier(&tier).map(|tier| tier.name().clone()));
    let filter = licenses::Filter {
        customer_id: query.customer_id,
        status: query.status,
        tier: tier.transpose()?,
        expires_before: query.expires_before,
    };
    let mut conn = app.store.read().await?;
    let default = app.tiers.default_tier().name();
    let now = app.clock.now();
    let found = licenses::list(
        conn.link(),
        &filter,
        default,
        before.as_ref(),
        rows + 1,
        now,
    );
    let mut found = found.await?;
    let next_cursor = query::next(&mut found, rows, |license| license.id.clone());
    shown(&LicensePage {
        licenses: found.iter().map(|license| view(&app, license)).collect(),
        next_cursor,
    })
}

/// Read a license.
#[utoipa::path(get, path = "/v1/licenses/{id}", operation_id = "getLicense", tag = "licenses",
    security(("operator" = [])), params(("id" = String, Path)),
    responses((status = 200, body = LicenseView), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadLicenses>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = license_id(&id)?;
    let mut conn = app.store.read().await?;
    let license = licenses::get(conn.link(), &id, app.clock.now()).await?;
    shown(&view(&app, &license.ok_or(Refusal::LicenseNotFound)?))
}

/// Change a license.
///
/// What takes something away (packages, boxes, time) makes the tokens that were issued before no
/// longer good: the boxes activate again.
#[utoipa::path(patch, path = "/v1/licenses/{id}", operation_id = "changeLicense", tag = "licenses",
    security(("operator" = [])), params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = ChangeRequest,
    responses((status = 200, body = LicenseView), WriteProblems))]
pub(super) async fn change(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path(id): Path<String>,
    command: Command<ChangeRequest>,
) -> Result<Response, Halt> {
    let body = command.body;
    let change = LicenseChange {
        tier: body.tier,
        expires_at: body.expires_at,
        expiry_strategy: body.expiry_strategy,
        grace_seconds: body.grace_seconds,
        max_boxes: body.max_boxes,
        lease_seconds: body.lease_seconds,
        add_ons: body.add_ons,
        metadata: body.metadata,
        reason: body.reason.map(super::reason).transpose()?,
    };
    let id = license_id(&id)?;
    let mut write = caller.write(&app, command.key).await?;
    let changed = app
        .change_license(&mut write.tx, &write.by, &id, change)
        .await?;
    write
        .answer(StatusCode::OK, changed, |license| view(&app, license))
        .await
}

/// Suspend a license.
///
/// It cannot be used until it is reinstated, and its tokens are no longer good.
#[utoipa::path(post, path = "/v1/licenses/{id}/suspend", operation_id = "suspendLicense",
    tag = "licenses", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = DecideRequest,
    responses((status = 200, body = LicenseView), WriteProblems))]
pub(super) async fn suspend(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path(id): Path<String>,
    command: Command<DecideRequest>,
) -> Result<Response, Halt> {
    decide(&app, caller, &id, command, Decision::Suspended).await
}

/// Reinstate a suspended license.
#[utoipa::path(post, path = "/v1/licenses/{id}/reinstate", operation_id = "reinstateLicense",
    tag = "licenses", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = DecideRequest,
    responses((status = 200, body = LicenseView), WriteProblems))]
pub(super) async fn reinstate(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path(id): Path<String>,
    command: Command<DecideRequest>,
) -> Result<Response, Halt> {
    decide(&app, caller, &id, command, Decision::Active).await
}

/// Revoke a license, for good.
#[utoipa::path(post, path = "/v1/licenses/{id}/revoke", operation_id = "revokeLicense",
    tag = "licenses", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = DecideRequest,
    responses((status = 200, body = LicenseView), WriteProblems))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path(id): Path<String>,
    command: Command<DecideRequest>,
) -> Result<Response, Halt> {
    decide(&app, caller, &id, command, Decision::Revoked).await
}

async fn decide(
    app: &App,
    caller: Allowed<WriteLicenses>,
    id: &str,
    command: Command<DecideRequest>,
    decision: Decision,
) -> Result<Response, Halt> {
    let reason = super::reason(command.body.reason)?;
    let id = license_id(id)?;
    let mut write = caller.write(app, command.key).await?;
    let decided = app
        .decide_license(&mut write.tx, &write.by, &id, decision, reason)
        .await?;
    write
        .answer(StatusCode::OK, decided, |license| view(app, license))
        .await
}

/// Give a license another key.
///
/// The answer holds it, which cannot be read again. Boxes and tokens stay.
#[utoipa::path(post, path = "/v1/licenses/{id}/rotate-key", operation_id = "rotateLicenseKey",
    tag = "licenses", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = RotateKeyRequest,
    responses((status = 200, body = LicenseView), WriteProblems))]
pub(super) async fn rotate_key(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path(id): Path<String>,
    command: Command<RotateKeyRequest>,
) -> Result<Response, Halt> {
    let overlap = command.body.overlap_seconds;
    let reason = super::reason(command.body.reason)?;
    let id = license_id(&id)?;
    let mut write = caller.write(&app, command.key).await?;
    let rotated = app
        .rotate_license_key(&mut write.tx, &write.by, &id, overlap, reason)
        .await?;
    write
        .answer(StatusCode::OK, rotated, |issued| with_key(&app, issued))
        .await
}

pub(super) fn license_id(text: &str) -> Result<LicenseId, Refusal> {
    text.parse().map_err(|_| Refusal::LicenseNotFound)
}

pub(super) fn with_key(app: &Operations, issued: &Issued) -> LicenseView {
    LicenseView {
        key: Some(issued.key.expose_secret().to_owned()),
        ..view(app, &issued.license)
    }
}

fn view(app: &Operations, license: &License) -> LicenseView {
    let default = app.tiers.default_tier().name().as_str();
    LicenseView {
        id: license.id.clone(),
        customer_id: license.customer_id.clone(),
        tier: license
            .tier()
            .map_or(default, |tier| tier.as_str())
            .to_owned(),
        tier_source: license.tier_source(),
        status: license.status(app.clock.now()),
        expires_at: license.expires_at,
        expiry_strategy: license.expiry_strategy,
        grace_seconds: license.grace_seconds,
        max_boxes: license.max_boxes,
        lease_seconds: license.lease_seconds,
        boxes: Seats {
            used: license.boxes_used,
            limit: match app.boxes_limit(license) {
                Some(Limit::Count(count)) => Some(count),
                Some(Limit::Unlimited) => None,
                None => Some(0),
            },
        },
        add_ons: license.add_ons.clone(),
        metadata: license.metadata.clone(),
        created_at: license.created_at,
        key: None,
    }
}
