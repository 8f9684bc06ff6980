//! `/v1/subjects`: what subjects may do, and what they have beside their tier.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use ::entitlements::{After, Configured, Overrides};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use manifest::Limit;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::boxes::Nothing;
use super::caller::{Allowed, ReadEntitlements, WriteEntitlements};
use super::customers::Source;
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::write::{Command, Halt};
use crate::domain::subject::{DecidedBy, SubjectStanding};
use crate::operations::{Cleared, Operations};
use crate::store::entitlements;

/// What a subject may do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Entitlements)]
pub(super) struct EntitlementsView {
    subject: String,
    tier: String,
    tier_source: Source,
    #[schema(value_type = Vec<String>)]
    add_ons: Vec<Arc<str>>,
    #[schema(value_type = BTreeMap<String, FeatureView>)]
    features: BTreeMap<Arc<str>, FeatureView>,
    #[schema(value_type = BTreeMap<String, LimitView>)]
    limits: BTreeMap<Arc<str>, LimitView>,
    overrides: OverridesView,
    premium: bool,
    /// When the trial ends, while one runs that gives the subject something.
    trial_ends_at: Option<Timestamp>,
}

/// A feature of a subject.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectFeature)]
struct FeatureView {
    /// Whether the subject may use it now.
    on: bool,
    /// What decided.
    source: DecidedBy,
}

/// A limit of a subject.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectLimit)]
struct LimitView {
    /// How much; `null` is unlimited.
    limit: Option<u64>,
    /// What decided.
    source: DecidedBy,
}

/// What a subject has in place of what its tier and add-ons say.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Overrides)]
struct OverridesView {
    #[schema(value_type = BTreeMap<String, bool>)]
    features: BTreeMap<Arc<str>, bool>,
    /// Numbers; `null` is unlimited.
    #[schema(value_type = BTreeMap<String, Option<u64>>)]
    limits: BTreeMap<Arc<str>, Option<u64>>,
}

/// Overrides to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SubjectOverrideRequest)]
pub(super) struct OverrideRequest {
    /// Features, on or off.
    #[serde(default)]
    features: BTreeMap<String, bool>,
    /// Numbers; `null` is unlimited.
    #[serde(default)]
    limits: BTreeMap<String, Option<u64>>,
    /// Why, for the audit log.
    reason: Option<String>,
}

/// Which overrides to clear: without either, all.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ClearQuery {
    /// Features, with commas between them.
    features: Option<String>,
    /// Limits, with commas between them.
    limits: Option<String>,
    /// Why, for the audit log.
    reason: Option<String>,
}

/// Add-ons to have, in place of those that the subject has.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AddOnsRequest {
    /// In the order in which they count: of a limit that several set, the last one's holds.
    add_ons: Vec<String>,
    /// Why, for the audit log.
    reason: Option<String>,
}

/// A subject's add-ons.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddOns {
    subject: String,
    #[schema(value_type = Vec<String>)]
    add_ons: Vec<Arc<str>>,
}

/// A page of subjects.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SubjectQuery {
    /// At most so many, up to 100; 50 where it is not said.
    limit: Option<u32>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Subjects that are configured, most recently configured first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubjectPage {
    subjects: Vec<SubjectView>,
    next_cursor: Option<String>,
}

/// A subject with a tier, overrides or add-ons of its own.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Subject)]
struct SubjectView {
    subject: String,
    /// Whether a tier is assigned to it.
    assigned: bool,
    /// Whether it has overrides.
    overridden: bool,
    /// Whether it has add-ons.
    has_add_ons: bool,
    /// When any of that was last set.
    configured_at: Timestamp,
}

/// List the subjects with a tier, overrides or add-ons of their own, most recently configured
/// first.
// ENT-41.
#[utoipa::path(get, path = "/v1/subjects", operation_id = "listSubjects", tag = "entitlements",
    security(("operator" = []), ("application" = [])), params(SubjectQuery),
    responses((status = 200, body = SubjectPage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Query(wanted): Query<SubjectQuery>,
) -> Result<Response, Problem> {
    let rows = query::rows(wanted.limit)?;
    let place: Option<Place> = query::after(wanted.cursor.as_deref())?;
    let after = place.as_ref().map(|place| After {
        configured_at: place.configured_at,
        subject: &place.subject,
    });
    let mut conn = app.store.read().await?;
    let mut found = entitlements::subjects(conn.link(), after, rows + 1).await?;
    let next_cursor = query::next(&mut found, rows, |last: &Configured| Place {
        configured_at: last.configured_at,
        subject: last.subject.clone(),
    });
    let view = |found: Configured| SubjectView {
        subject: found.subject,
        assigned: found.assigned,
        overridden: found.overridden,
        has_add_ons: found.add_ons,
        configured_at: found.configured_at,
    };
    shown(&SubjectPage {
        subjects: found.into_iter().map(view).collect(),
        next_cursor,
    })
}

/// Read what a subject may do, and what decided each of it.
///
/// A subject is a customer, or whoever else is asked for by a name of yours. One of which nothing
/// is known has the default tier.
#[utoipa::path(get, path = "/v1/subjects/{id}/entitlements", operation_id = "getEntitlements",
    tag = "entitlements", security(("operator" = []), ("application" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = EntitlementsView), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut conn = app.store.read().await?;
    let standing = app.entitlements_of(conn.link(), &id).await?;
    shown(&view(&app, &standing))
}

/// Set overrides of a subject, and leave its others.
///
/// An override stands in place of what tier and add-ons say, and may give or take. It stays when
/// the tier changes.
#[utoipa::path(patch, path = "/v1/subjects/{id}/overrides", operation_id = "overrideSubject",
    tag = "entitlements", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = OverrideRequest,
    responses((status = 200, body = EntitlementsView), WriteProblems))]
pub(super) async fn change_overrides(
    State(app): State<App>,
    caller: Allowed<WriteEntitlements>,
    Path(id): Path<String>,
    command: Command<OverrideRequest>,
) -> Result<Response, Halt> {
    let OverrideRequest {
        features,
        limits,
        reason,
    } = command.body;
    let reason = reason.map(super::reason).transpose()?;
    let features = features.into_iter();
    let limits = limits.into_iter();
    let change = Overrides {
        features: features.map(|(name, on)| (name.into(), on)).collect(),
        limits: limits
            .map(|(name, count)| (name.into(), count.map_or(Limit::Unlimited, Limit::Count)))
            .collect(),
    };
    let mut write = caller.write(&app, command.key).await?;
    let changed = app
        .override_subject(&mut write.tx, &write.by, &id, change, reason)
        .await?;
    write
        .answer(StatusCode::OK, changed, |standing| view(&app, standing))
        .await
}

/// Clear overrides of a subject: all, or those that are named.
///
/// Names that are not overridden are passed over, and a subject without any is no error.
#[utoipa::path(delete, path = "/v1/subjects/{id}/overrides", operation_id = "clearOverrides",
    tag = "entitlements", security(("operator" = [])),
    params(("id" = String, Path), ClearQuery, super::openapi::IdempotencyParam),
    responses((status = 200, body = EntitlementsView), WriteProblems))]
pub(super) async fn clear_overrides(
    State(app): State<App>,
    caller: Allowed<WriteEntitlements>,
    Path(id): Path<String>,
    Query(query): Query<ClearQuery>,
    command: Command<Nothing>,
) -> Result<Response, Halt> {
    let ClearQuery {
        features,
        limits,
        reason,
    } = query;
    let reason = reason.map(super::reason).transpose()?;
    let named = features.is_some() || limits.is_some();
    let which = named.then(|| Cleared {
        features: names(features),
        limits: names(limits),
    });
    let mut write = caller.write(&app, command.key).await?;
    let cleared = app
        .clear_overrides(&mut write.tx, &write.by, &id, which, reason)
        .await?;
    write
        .answer(StatusCode::OK, cleared, |standing| view(&app, standing))
        .await
}

/// Read a subject's add-ons.
#[utoipa::path(get, path = "/v1/subjects/{id}/add-ons", operation_id = "getAddOns",
    tag = "entitlements", security(("operator" = []), ("application" = [])),
    params(("id" = String, Path)), responses((status = 200, body = AddOns), ReadProblems))]
pub(super) async fn add_ons(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut conn = app.store.read().await?;
    let standing = app.entitlements_of(conn.link(), &id).await?;
    shown(&add_ons_of(&standing))
}

/// Set a subject's add-ons, in place of those that it has.
#[utoipa::path(put, path = "/v1/subjects/{id}/add-ons", operation_id = "setAddOns",
    tag = "entitlements", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = AddOnsRequest,
    responses((status = 200, body = AddOns), WriteProblems))]
pub(super) async fn set_add_ons(
    State(app): State<App>,
    caller: Allowed<WriteEntitlements>,
    Path(id): Path<String>,
    command: Command<AddOnsRequest>,
) -> Result<Response, Halt> {
    let AddOnsRequest { add_ons, reason } = command.body;
    let reason = reason.map(super::reason).transpose()?;
    let mut write = caller.write(&app, command.key).await?;
    let set = app
        .set_add_ons(&mut write.tx, &write.by, &id, add_ons, reason)
        .await?;
    write.answer(StatusCode::OK, set, add_ons_of).await
}

fn add_ons_of(standing: &SubjectStanding) -> AddOns {
    AddOns {
        subject: standing.stored.subject.clone(),
        add_ons: standing.stored.add_ons.clone(),
    }
}

fn view(app: &Operations, standing: &SubjectStanding) -> EntitlementsView {
    let now = app.clock.now();
    let catalog = standing.effective.catalog();
    let features = catalog.features().filter_map(|name| {
        let feature = standing.feature(&app.tiers, name, now).ok()?;
        let source = feature.by;
        let on = feature.on;
        Some((feature.name, FeatureView { on, source }))
    });
    let limits = catalog.limits().filter_map(|name| {
        let (limit, source) = standing.limit(&app.tiers, name).ok()?;
        let limit = limit.count();
        Some((Arc::clone(name), LimitView { limit, source }))
    });
    let overrides = &standing.stored.overrides;
    let overridden = overrides.limits.iter();
    EntitlementsView {
        subject: standing.stored.subject.clone(),
        tier: standing.effective.tier().to_string(),
        tier_source: Source::of(standing.assigned.as_ref()),
        add_ons: standing.stored.add_ons.clone(),
        features: features.collect(),
        limits: limits.collect(),
        overrides: OverridesView {
            features: overrides.features.clone(),
            limits: overridden
                .map(|(name, limit)| (Arc::clone(name), limit.count()))
                .collect(),
        },
        premium: standing.premium,
        trial_ends_at: standing.effective.trial_ends(now),
    }
}

/// Names in a query, with commas between them.
fn names(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    let names = text.split(',').filter(|name| !name.is_empty());
    names.map(ToOwned::to_owned).collect()
}

/// Where a page of subjects ends.
struct Place {
    configured_at: Timestamp,
    subject: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.configured_at.as_microsecond();
        write!(f, "{at} {}", self.subject)
    }
}

/// A text that is no such place.
struct NotAPlace;

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (at, subject) = text.split_once(' ').ok_or(NotAPlace)?;
        let at = at.parse().map_err(|_| NotAPlace)?;
        if subject.contains('\0') {
            return Err(NotAPlace);
        }
        Ok(Self {
            configured_at: Timestamp::from_microsecond(at).map_err(|_| NotAPlace)?,
            subject: subject.to_owned(),
        })
    }
}
