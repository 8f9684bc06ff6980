//! `/v1/customers`: whom the vendor knows, and the tier that each one's licenses follow.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::boxes::{Nothing, ReasonQuery};
use super::caller::{Allowed, ReadLicenses, WriteLicenses};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::write::{Command, Halt};
use crate::domain::{AssignmentSource, CustomerTier};
use crate::operations::{CustomerStanding, Operations, check_customer};
use crate::store::customers;

/// Which tier a customer gets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignRequest {
    /// The tier.
    tier: String,
    /// Why, for the audit log.
    reason: Option<String>,
}

/// Who decides about a customer's tier.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    Default,
    Billing,
    Manual,
}

impl Source {
    /// Who decided by this assignment, or by there being none.
    pub(super) fn of(assigned: Option<&CustomerTier>) -> Self {
        match assigned.map(|assigned| assigned.source) {
            None => Self::Default,
            Some(AssignmentSource::Billing) => Self::Billing,
            Some(AssignmentSource::Manual) => Self::Manual,
        }
    }
}

/// A customer's tier.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomerTierView {
    customer_id: String,
    tier: String,
    source: Source,
    /// Who assigned it; `null` for the default.
    actor: Option<String>,
    reason: Option<String>,
    assigned_at: Option<Timestamp>,
    /// Since when the customer is known; `null` before anything was written about it.
    created_at: Option<Timestamp>,
}

/// A customer's tier, just assigned.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AssignedCustomerTier)]
pub(super) struct AssignedView {
    #[serde(flatten)]
    standing: CustomerTierView,
    /// Whether nothing was assigned before.
    is_new: bool,
}

/// A page of customers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomerPage {
    customers: Vec<CustomerTierView>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// Which customers are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Rows on a page, 1 to 100; 50 if not said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List customers by their ids, each with its tier.
#[utoipa::path(get, path = "/v1/customers", operation_id = "listCustomers", tag = "customers",
    security(("operator" = [])), params(ListQuery),
    responses((status = 200, body = CustomerPage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadLicenses>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let rows_max = query::rows(query.limit)?;
    let after: Option<String> = query::after(query.cursor.as_deref())?;
    let mut conn = app.store.read().await?;
    let mut found = customers::list(conn.link(), after.as_deref(), rows_max + 1).await?;
    let next_cursor = query::next(&mut found, rows_max, |customer| customer.id.clone());
    let views = found.into_iter().map(|found| view(&app, &found.into()));
    shown(&CustomerPage {
        customers: views.collect(),
        next_cursor,
    })
}

/// Read a customer's tier.
#[utoipa::path(get, path = "/v1/customers/{id}/tier", operation_id = "getCustomerTier",
    tag = "customers", security(("operator" = [])), params(("id" = String, Path)),
    responses((status = 200, body = CustomerTierView), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadLicenses>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    check_customer(&id)?;
    let mut conn = app.store.read().await?;
    let standing = CustomerStanding {
        created_at: customers::created_at(conn.link(), &id).await?,
        assigned: customers::get(conn.link(), &id).await?,
        customer_id: id,
    };
    shown(&view(&app, &standing))
}

/// Assign a tier to a customer by hand.
///
/// Licenses that name no tier follow it from their next activation on. Billing does not change
/// it until it is released.
#[utoipa::path(put, path = "/v1/customers/{id}/tier", operation_id = "assignCustomerTier",
    tag = "customers", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = AssignRequest,
    responses((status = 200, body = AssignedView), WriteProblems))]
pub(super) async fn assign(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path(id): Path<String>,
    command: Command<AssignRequest>,
) -> Result<Response, Halt> {
    let AssignRequest { tier, reason } = command.body;
    let reason = reason.map(super::reason).transpose()?;
    let mut write = caller.write(&app, command.key).await?;
    let assigned = app
        .assign_customer_tier(&mut write.tx, &write.by, &id, &tier, reason)
        .await?;
    write
        .answer(StatusCode::OK, assigned, |assigned| AssignedView {
            standing: view(&app, &assigned.standing),
            is_new: assigned.is_new,
        })
        .await
}

/// Release a customer from its assignment.
///
/// Then billing decides, at once, where it knows of a subscription in force, and else the default.
#[utoipa::path(delete, path = "/v1/customers/{id}/tier", operation_id = "releaseCustomerTier",
    tag = "customers", security(("operator" = [])),
    params(("id" = String, Path), ReasonQuery, super::openapi::IdempotencyParam),
    responses((status = 200, body = CustomerTierView), WriteProblems))]
pub(super) async fn release(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Path(id): Path<String>,
    Query(query): Query<ReasonQuery>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let reason = query.reason.map(super::reason).transpose()?;
    let mut write = caller.write(&app, command.key).await?;
    let released = app
        .release_customer_tier(&mut write.tx, &write.by, &id, reason)
        .await?;
    write
        .answer(StatusCode::OK, released, |standing| view(&app, standing))
        .await
}

fn view(app: &Operations, standing: &CustomerStanding) -> CustomerTierView {
    let assigned = standing.assigned.as_ref();
    let default = app.tiers.default_tier().name();
    CustomerTierView {
        customer_id: standing.customer_id.clone(),
        tier: assigned
            .map_or(default, |assigned| &assigned.tier)
            .to_string(),
        source: Source::of(assigned),
        actor: assigned.map(|assigned| assigned.actor.clone()),
        reason: assigned.and_then(|assigned| assigned.reason.clone()),
        assigned_at: assigned.map(|assigned| assigned.assigned_at),
        created_at: standing.created_at,
    }
}
