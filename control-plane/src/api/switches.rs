//! `/v1/switches`: features that are switched off for all subjects at once.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::caller::{Allowed, ReadEntitlements, WriteEntitlements};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::write::{Command, Halt};
use crate::operations::{SwitchChange, SwitchStanding};

/// How to set a switch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SwitchRequest {
    /// Whether the feature may be on at all. On gives it to nobody who does not have it.
    on: bool,
    /// The version that the switch must still have; without it, whoever comes last decides.
    version: Option<u32>,
    /// Why, for the audit log.
    reason: Option<String>,
}

/// The switches, in the order of the manifest's features.
#[derive(Serialize, ToSchema)]
pub(super) struct SwitchList {
    switches: Vec<SwitchView>,
}

/// A feature's switch.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Switch)]
pub(super) struct SwitchView {
    #[schema(value_type = String)]
    feature: Arc<str>,
    on: bool,
    /// How often it was set.
    version: i64,
    /// Who set it last; `null` where nobody did.
    actor: Option<String>,
    updated_at: Option<Timestamp>,
}

/// List the switches: one for each feature. Those that nobody set are on.
#[utoipa::path(get, path = "/v1/switches", operation_id = "listSwitches", tag = "entitlements",
    security(("operator" = []), ("application" = [])),
    responses((status = 200, body = SwitchList), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
) -> Result<Response, Problem> {
    let mut conn = app.store.read().await?;
    let switches = app.switches(conn.link()).await?;
    shown(&SwitchList {
        switches: switches.iter().map(view).collect(),
    })
}

/// Switch a feature for all subjects at once.
///
/// Off takes it from everybody, whatever tier, add-ons and overrides say. On gives it to nobody.
#[utoipa::path(put, path = "/v1/switches/{feature}", operation_id = "setSwitch",
    tag = "entitlements", security(("operator" = [])),
    params(("feature" = String, Path), super::openapi::IdempotencyParam),
    request_body = SwitchRequest,
    responses((status = 200, body = SwitchView), WriteProblems))]
pub(super) async fn set(
    State(app): State<App>,
    caller: Allowed<WriteEntitlements>,
    Path(feature): Path<String>,
    command: Command<SwitchRequest>,
) -> Result<Response, Halt> {
    let SwitchRequest {
        on,
        version,
        reason,
    } = command.body;
    let change = SwitchChange {
        feature,
        on,
        expected: version.map(i64::from),
        reason: reason.map(super::reason).transpose()?,
    };
    let mut write = caller.write(&app, command.key).await?;
    let set = app.set_switch(&mut write.tx, &write.by, change).await?;
    write.answer(StatusCode::OK, set, view).await
}

fn view(standing: &SwitchStanding) -> SwitchView {
    let set = standing.set.as_ref();
    SwitchView {
        feature: Arc::clone(&standing.feature),
        on: set.is_none_or(|set| set.on),
        version: set.map_or(0, |set| set.version),
        actor: set.map(|set| set.actor.clone()),
        updated_at: set.map(|set| set.updated_at),
    }
}
