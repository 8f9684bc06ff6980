//! `/v1/users/{id}/premium` and `/v1/premium-users`: who is premium.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use entitlements::premium::{PremiumGrant, PremiumUser};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::boxes::{PageQuery, ReasonQuery};
use super::caller::{Allowed, ManagePremium, ReadEntitlements, ReadLicenses};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::write::{Halt, MaybeEmpty};
use crate::operations::check_user;
use crate::store::premium;

/// Why, if that is to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PremiumRequest {
    /// Why, for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Whether a user is premium.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Premium)]
pub(super) struct PremiumView {
    user_id: String,
    premium: bool,
    /// When it was granted; `null` for who is not premium.
    granted_at: Option<Timestamp>,
    /// Who granted it.
    grantor: Option<String>,
    reason: Option<String>,
}

/// A page of premium users.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PremiumUserPage {
    users: Vec<PremiumView>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// Read whether a user is premium.
///
/// Nobody is until it is granted, known here or not.
#[utoipa::path(get, path = "/v1/users/{id}/premium", operation_id = "getPremium", tag = "premium",
    security(("operator" = []), ("application" = [])), params(("id" = String, Path)),
    responses((status = 200, body = PremiumView), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    check_user(&id)?;
    let status = premium::status(app.store.read().await?.link(), &id).await?;
    shown(&view(&id, status.grant()))
}

/// Make a user premium.
///
/// Granting again replaces the grant.
#[utoipa::path(post, path = "/v1/users/{id}/premium", operation_id = "grantPremium",
    tag = "premium", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = Option<PremiumRequest>,
    responses((status = 200, body = PremiumView), WriteProblems))]
pub(super) async fn grant(
    State(app): State<App>,
    caller: Allowed<ManagePremium>,
    Path(id): Path<String>,
    MaybeEmpty(command): MaybeEmpty<PremiumRequest>,
) -> Result<Response, Halt> {
    let reason = command.body.reason.map(super::reason).transpose()?;
    let mut write = caller.write(&app, command.key).await?;
    let granted = app
        .grant_premium(&mut write.tx, &write.by, &id, reason)
        .await?;
    write.answer(StatusCode::OK, granted, of_user).await
}

/// Take a user's premium back.
///
/// That goes well also for who has none. The reason may stand in the body or in the query.
#[utoipa::path(delete, path = "/v1/users/{id}/premium", operation_id = "revokePremium",
    tag = "premium", security(("operator" = [])),
    params(("id" = String, Path), ReasonQuery, super::openapi::IdempotencyParam),
    request_body = Option<PremiumRequest>,
    responses((status = 204, description = "The user is not premium"), WriteProblems))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Allowed<ManagePremium>,
    Path(id): Path<String>,
    Query(query): Query<ReasonQuery>,
    MaybeEmpty(command): MaybeEmpty<PremiumRequest>,
) -> Result<Response, Halt> {
    let reason = command.body.reason.or(query.reason);
    let reason = reason.map(super::reason).transpose()?;
    let mut write = caller.write(&app, command.key).await?;
    let revoked = app
        .revoke_premium(&mut write.tx, &write.by, &id, reason)
        .await?;
    write.done(revoked).await
}

/// List premium users, by name.
#[utoipa::path(get, path = "/v1/premium-users", operation_id = "listPremiumUsers",
    tag = "premium", security(("operator" = [])), params(PageQuery),
    responses((status = 200, body = PremiumUserPage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadLicenses>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let rows = query::rows(query.limit)?;
    let after: Option<String> = query::after(query.cursor.as_deref())?;
    let mut conn = app.store.read().await?;
    let mut found = premium::list(conn.link(), after.as_deref(), rows + 1).await?;
    let next_cursor = query::next(&mut found, rows, |user| user.user.clone());
    shown(&PremiumUserPage {
        users: found.iter().map(of_user).collect(),
        next_cursor,
    })
}

fn of_user(user: &PremiumUser) -> PremiumView {
    view(&user.user, Some(&user.grant))
}

fn view(user: &str, grant: Option<&PremiumGrant>) -> PremiumView {
    PremiumView {
        user_id: user.to_owned(),
        premium: grant.is_some(),
        granted_at: grant.map(|grant| grant.granted_at),
        grantor: grant.map(|grant| grant.grantor.clone()),
        reason: grant.and_then(|grant| grant.reason.clone()),
    }
}
