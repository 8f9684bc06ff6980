//! `/v1/flags`: the flags of the manifest, and their overrides.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use entitlements::flags::{Flag, FlagValue, Scope};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::boxes::{Nothing, PageQuery, ReasonQuery};
use super::caller::{Allowed, ReadEntitlements, WriteEntitlements};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::write::{Command, Halt};
use crate::domain::flag::{FlagOverride, of_json, to_json};
use crate::domain::{FieldError, Refusal};
use crate::operations::check_scope;
use crate::store::flag_overrides;

/// A flag's value: on or off, or the name of a variant.
#[derive(ToSchema)]
#[schema(as = FlagValue)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "values are written as JSON; here for the document"
)]
pub(super) enum ValueView {
    Switch(bool),
    Variant(String),
}

/// Which value a scope gets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideRequest {
    #[schema(value_type = ValueView)]
    value: Value,
    /// Why, for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// A flag.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Flag)]
struct FlagView<'f> {
    name: &'f str,
    #[schema(value_type = ValueView)]
    default: Value,
    /// The values of a flag of variants; empty for one that is on or off.
    variants: Vec<&'f str>,
    /// Whether it is off for everyone but premium users.
    premium_only: bool,
    /// What holds for everyone in place of the default, if anything.
    #[schema(required = true)]
    platform: Option<OverrideView>,
}

/// The flags of the manifest, in its order.
#[derive(Serialize, ToSchema)]
pub(super) struct FlagList<'f> {
    flags: Vec<FlagView<'f>>,
}

/// An override of a flag.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlagOverride)]
pub(super) struct OverrideView {
    flag: String,
    /// `platform`, `team:…` or `user:…`.
    scope: String,
    #[schema(value_type = ValueView)]
    value: Value,
    actor: String,
    reason: Option<String>,
    set_at: Timestamp,
}

/// A page of overrides.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OverridePage {
    overrides: Vec<OverrideView>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// List the flags, with what holds for everyone.
#[utoipa::path(get, path = "/v1/flags", operation_id = "listFlags", tag = "flags",
    security(("operator" = []), ("application" = [])),
    responses((status = 200, body = FlagList), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
) -> Result<Response, Problem> {
    let mut conn = app.store.read().await?;
    let platform = flag_overrides::of_scope(conn.link(), &Scope::Platform).await?;
    let mut platform: HashMap<_, _> = platform
        .iter()
        .map(|set| (set.flag.as_str(), override_view(set)))
        .collect();
    let flags = app.flags.iter();
    shown(&FlagList {
        flags: flags
            .map(|flag| flag_view(flag, platform.remove(&*flag.name)))
            .collect(),
    })
}

/// List the overrides of a flag, by scope.
#[utoipa::path(get, path = "/v1/flags/{key}/overrides", operation_id = "listFlagOverrides",
    tag = "flags", security(("operator" = []), ("application" = [])),
    params(("key" = String, Path), PageQuery),
    responses((status = 200, body = OverridePage), ReadProblems))]
pub(super) async fn overrides(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Path(key): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    app.flags.get(&key).map_err(Refusal::UnknownFlag)?;
    let rows = query::rows(query.limit)?;
    let after: Option<String> = query::after(query.cursor.as_deref())?;
    let mut conn = app.store.read().await?;
    let mut found = flag_overrides::list(conn.link(), &key, after.as_deref(), rows + 1).await?;
    let next_cursor = query::next(&mut found, rows, |set| set.scope.clone());
    shown(&OverridePage {
        overrides: found.iter().map(override_view).collect(),
        next_cursor,
    })
}

/// Read an override.
///
/// A scope is `platform`, `team:` with a team, or `user:` with a user; the more specific one wins.
#[utoipa::path(get, path = "/v1/flags/{key}/overrides/{scope}", operation_id = "getFlagOverride",
    tag = "flags", security(("operator" = []), ("application" = [])),
    params(("key" = String, Path), ("scope" = String, Path)),
    responses((status = 200, body = OverrideView), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Path((key, scope)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let scope = scope_of(&scope)?;
    check_scope(&scope)?;
    app.flags.get(&key).map_err(Refusal::UnknownFlag)?;
    let mut conn = app.store.read().await?;
    let found = flag_overrides::get(conn.link(), &key, &scope).await?;
    shown(&override_view(&found.ok_or(Refusal::FlagOverrideNotFound)?))
}

/// Override a flag for a scope.
///
/// A flag for premium users stays off for the others all the same.
#[utoipa::path(put, path = "/v1/flags/{key}/overrides/{scope}", operation_id = "overrideFlag",
    tag = "flags", security(("operator" = [])),
    params(("key" = String, Path), ("scope" = String, Path), super::openapi::IdempotencyParam),
    request_body = OverrideRequest,
    responses((status = 200, body = OverrideView), WriteProblems))]
pub(super) async fn set(
    State(app): State<App>,
    caller: Allowed<WriteEntitlements>,
    Path((key, scope)): Path<(String, String)>,
    command: Command<OverrideRequest>,
) -> Result<Response, Halt> {
    let OverrideRequest { value, reason } = command.body;
    let reason = reason.map(super::reason).transpose()?;
    let scope = scope_of(&scope)?;
    let value = value_of(&value)?;
    let mut write = caller.write(&app, command.key).await?;
    let set = app
        .override_flag(&mut write.tx, &write.by, &key, scope, value, reason)
        .await?;
    write.answer(StatusCode::OK, set, override_view).await
}

/// Take an override back.
///
/// That goes well also where there is none.
#[utoipa::path(delete, path = "/v1/flags/{key}/overrides/{scope}",
    operation_id = "clearFlagOverride", tag = "flags", security(("operator" = [])),
    params(("key" = String, Path), ("scope" = String, Path), ReasonQuery,
        super::openapi::IdempotencyParam),
    request_body = Option<Nothing>,
    responses((status = 204, description = "The flag is not overridden"), WriteProblems))]
pub(super) async fn clear(
    State(app): State<App>,
    caller: Allowed<WriteEntitlements>,
    Path((key, scope)): Path<(String, String)>,
    Query(query): Query<ReasonQuery>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let reason = query.reason.map(super::reason).transpose()?;
    let scope = scope_of(&scope)?;
    let mut write = caller.write(&app, command.key).await?;
    let cleared = app
        .clear_flag_override(&mut write.tx, &write.by, &key, &scope, reason)
        .await?;
    write.done(cleared).await
}

fn scope_of(text: &str) -> Result<Scope, Refusal> {
    let message = "is `platform`, `team:` with a team, or `user:` with a user";
    let wrong = || Refusal::InvalidFields(vec![FieldError::new("scope", message)]);
    Scope::parse(text).ok_or_else(wrong)
}

fn value_of(value: &Value) -> Result<FlagValue, Refusal> {
    let message = "is true, false, or the name of a variant";
    let wrong = || Refusal::InvalidFields(vec![FieldError::new("value", message)]);
    of_json(value).ok_or_else(wrong)
}

fn flag_view(flag: &Flag, platform: Option<OverrideView>) -> FlagView<'_> {
    FlagView {
        name: &flag.name,
        default: to_json(&flag.default),
        variants: flag.variants.iter().map(AsRef::as_ref).collect(),
        premium_only: flag.premium_only,
        platform,
    }
}

fn override_view(set: &FlagOverride) -> OverrideView {
    OverrideView {
        flag: set.flag.clone(),
        scope: set.scope.to_string(),
        value: to_json(&set.value),
        actor: set.actor.clone(),
        reason: set.reason.clone(),
        set_at: set.set_at,
    }
}
