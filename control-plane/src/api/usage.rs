//! `/v1/subjects/{id}/usage` and `/v1/subjects/{id}/check`: what subjects use of their limits.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use entitlements::meter::{Event, Metrics, Recorded, Stretch, Usage, Window};
use jiff::Timestamp;
use manifest::Aggregate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::caller::{Allowed, ReadEntitlements, RecordUsage, WriteEntitlements};
use super::json::shown;
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::write::{Command, Halt};
use crate::domain::usage::EVENTS_MAX;
use crate::domain::{FieldError, Refusal};
use crate::operations::{Check, Checked};

/// What was used.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordRequest {
    /// 1 to 100 events, recorded all or none.
    #[schema(min_items = 1, max_items = 100)]
    events: Vec<EventRequest>,
}

/// Something was used.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = UsageEvent)]
pub(super) struct EventRequest {
    /// Of which metric.
    metric: String,
    /// How much; 1 for a sum, where it is not said.
    quantity: Option<u64>,
    /// Which one, for a metric that counts different ones.
    value: Option<String>,
    /// When; now, where it is not said. It decides the period.
    at: Option<Timestamp>,
    /// The same event under the same key counts once. Keys are the subject's own and kept for 100
    /// days.
    idempotency_key: Option<String>,
}

/// What is wanted of a limit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = UsageCheck)]
pub(super) struct CheckRequest {
    /// The limit.
    limit: String,
    /// How much; 1, where it is not said.
    #[schema(minimum = 1)]
    quantity: Option<u64>,
    /// Which one, for a metric that counts different ones.
    value: Option<String>,
    /// Whether to take it at once, if there is enough.
    #[serde(default)]
    consume: bool,
    /// What was taken under a key is not taken again under it.
    idempotency_key: Option<String>,
}

/// Why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RebuildRequest {
    /// Why, for the audit log.
    reason: Option<String>,
}

/// For when usage is wanted: for nothing else than the period of each metric that runs, where
/// nothing is said.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageQuery {
    /// minute, hour, day, week, month or year for the one that runs; or a time that ends now, such
    /// as `30 days` or `P1M`.
    window: Option<String>,
    /// From when on, inclusive. Together with `to`, and without `window`.
    from: Option<Timestamp>,
    /// Until when, exclusive.
    to: Option<Timestamp>,
}

/// What a metric amounts to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Usage)]
struct UsageView {
    metric: String,
    used: u64,
    /// What one is called.
    unit: String,
    /// From when on.
    from: Timestamp,
    /// Until when.
    to: Timestamp,
}

/// What a metric amounts to after an event, in the event's period.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordedUsage)]
struct RecordedView {
    #[serde(flatten)]
    usage: UsageView,
    /// Whether the event was recorded before under its key, and counted nothing now.
    repeated: bool,
}

/// Events were recorded.
#[derive(Serialize, ToSchema)]
pub(super) struct RecordedUsageList {
    /// In the order of the events.
    usage: Vec<RecordedView>,
}

/// What a subject uses.
#[derive(Serialize, ToSchema)]
pub(super) struct UsageList {
    subject: String,
    /// Every metric, in the manifest's order.
    usage: Vec<UsageView>,
}

/// How far a limit is reached.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CapState)]
enum StateView {
    /// All is well.
    Ok,
    /// The limit's soft multiple was reached.
    Soft,
    /// No more may be had.
    Hard,
}

/// How a limit stands.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageChecked)]
pub(super) struct CheckedView {
    /// The limit's name.
    name: String,
    /// Whether what was wanted may be had; with `consume`, whether it was taken.
    allowed: bool,
    /// How much is used, what was taken included.
    used: u64,
    /// How much of the limit is left; `null` when it is unlimited.
    remaining: Option<u64>,
    /// The limit; `null` when it is unlimited.
    limit: Option<u64>,
    /// What one is called.
    unit: String,
    state: StateView,
}

/// Record what a subject used.
///
/// All events or none. Returns what each event's metric amounts to in the event's period, which is
/// what to go by where a limit must hold strictly and nothing was taken in advance.
#[utoipa::path(post, path = "/v1/subjects/{id}/usage", operation_id = "recordUsage", tag = "usage",
    security(("operator" = []), ("application" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = RecordRequest,
    responses((status = 200, body = RecordedUsageList), WriteProblems))]
pub(super) async fn record(
    State(app): State<App>,
    caller: Allowed<RecordUsage>,
    Path(id): Path<String>,
    command: Command<RecordRequest>,
) -> Result<Response, Halt> {
    let events = command.body.events;
    let count = !(1..=EVENTS_MAX).contains(&events.len());
    let message = format!("has 1 to {EVENTS_MAX} events");
    Refusal::unless_all_hold([count.then(|| FieldError::new("events", message))])?;
    let events = events.into_iter().map(|event| event.read(&app.metrics));
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let mut write = caller.write(&app, command.key).await?;
    let recorded = app
        .record_usage(&mut write.tx, &write.by, &id, &events)
        .await?;
    let view = |recorded: &Vec<Recorded>| RecordedUsageList {
        usage: recorded.iter().map(RecordedView::from).collect(),
    };
    write.answer_noted(StatusCode::OK, recorded, view).await
}

/// Read what a subject uses.
///
/// Every metric, also those that are not used. Events are kept for 100 days; a window that begins
/// before is answered where it is made of whole periods of the metrics.
#[utoipa::path(get, path = "/v1/subjects/{id}/usage", operation_id = "getUsage", tag = "usage",
    security(("operator" = []), ("application" = [])),
    params(("id" = String, Path), UsageQuery),
    responses((status = 200, body = UsageList), ReadProblems))]
pub(super) async fn show(
    State(app): State<App>,
    _caller: Allowed<ReadEntitlements>,
    Path(id): Path<String>,
    Query(query): Query<UsageQuery>,
) -> Result<Response, Problem> {
    let window = query.window()?;
    let mut conn = app.store.read().await?;
    let usage = app.usage(conn.link(), &id, window).await?;
    shown(&list(&id, &usage))
}

/// Ask whether a subject may have more of a limit, and take it at once if so.
///
/// A limit counts the metric of its name, in the metric's period that runs; `boxes` counts the
/// boxes that are live. No is an answer like yes. What is taken with `consume` is taken in one
/// step: however many ask at the same time, no more is taken than there is.
#[utoipa::path(post, path = "/v1/subjects/{id}/check", operation_id = "checkLimit", tag = "usage",
    security(("operator" = []), ("application" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = CheckRequest,
    responses((status = 200, body = CheckedView), WriteProblems))]
pub(super) async fn check(
    State(app): State<App>,
    caller: Allowed<RecordUsage>,
    Path(id): Path<String>,
    command: Command<CheckRequest>,
) -> Result<Response, Halt> {
    let consume = command.body.consume;
    let check = command.body.read()?;
    if !consume {
        let mut conn = app.store.read().await?;
        let checked = app.check_usage(conn.link(), &id, &check).await?;
        return Ok(shown(&CheckedView::from(&checked))?);
    }
    let mut write = caller.write(&app, command.key).await?;
    let consumed = app
        .consume_usage(&mut write.tx, &write.by, &id, &check)
        .await?;
    write
        .answer_noted(StatusCode::OK, consumed, |checked| {
            CheckedView::from(checked)
        })
        .await
}

/// Make a subject's usage anew from its events.
///
/// Periods that began more than 100 days ago, of which events are no longer kept, stay as they are.
/// A metric that the manifest counts differently from now on begins at nothing, until this.
#[utoipa::path(post, path = "/v1/subjects/{id}/usage/rebuild", operation_id = "rebuildUsage",
    tag = "usage", security(("operator" = [])),
    params(("id" = String, Path), super::openapi::IdempotencyParam),
    request_body = RebuildRequest,
    responses((status = 200, body = UsageList), WriteProblems))]
pub(super) async fn rebuild(
    State(app): State<App>,
    caller: Allowed<WriteEntitlements>,
    Path(id): Path<String>,
    command: Command<RebuildRequest>,
) -> Result<Response, Halt> {
    let reason = command.body.reason.map(super::reason).transpose()?;
    let mut write = caller.write(&app, command.key).await?;
    let rebuilt = app
        .rebuild_usage(&mut write.tx, &write.by, &id, reason)
        .await?;
    write
        .answer(StatusCode::OK, rebuilt, |usage| list(&id, usage))
        .await
}

impl EventRequest {
    fn read(self, metrics: &Metrics) -> Result<Event, Refusal> {
        let is_sum = metrics
            .get(&self.metric)
            .is_some_and(|metric| metric.aggregate == Aggregate::Sum);
        let event = match (self.quantity, self.value) {
            (Some(_), Some(_)) => return Err(both("events")),
            (Some(quantity), None) => Event::quantity(&self.metric, quantity),
            (None, Some(value)) => Event::value(&self.metric, &value),
            (None, None) if is_sum || metrics.get(&self.metric).is_none() => {
                Event::quantity(&self.metric, 1)
            }
            (None, None) => {
                let message = format!("need a quantity or a value of metric `{}`", self.metric);
                return Err(Refusal::InvalidFields(vec![FieldError::new(
                    "events", message,
                )]));
            }
        };
        Ok(Event {
            at: self.at,
            key: self.idempotency_key,
            ..event
        })
    }
}

impl CheckRequest {
    fn read(self) -> Result<Check, Refusal> {
        let nothing = self.quantity == Some(0);
        Refusal::unless_all_hold([nothing.then(|| FieldError::new("quantity", "is at least 1"))])?;
        let event = match (self.quantity, self.value) {
            (Some(_), Some(_)) => return Err(both("quantity")),
            (_, Some(value)) => Event::value(&self.limit, &value),
            (quantity, None) => Event::quantity(&self.limit, quantity.unwrap_or(1)),
        };
        Ok(Check {
            event: Event {
                key: self.idempotency_key,
                ..event
            },
            limit: self.limit,
        })
    }
}

impl UsageQuery {
    fn window(&self) -> Result<Option<Window>, Problem> {
        match (&self.window, self.from, self.to) {
            (None, None, None) => Ok(None),
            (Some(window), None, None) => {
                let read = window.parse().map(Some);
                read.map_err(|error| query::invalid(format!("`window`: {error}")))
            }
            (None, Some(from), Some(to)) if from < to => {
                Ok(Some(Window::Range(Stretch { from, to })))
            }
            (None, Some(_), Some(_)) => Err(query::invalid("`to` lies after `from`")),
            _ => Err(query::invalid("give either `window`, or `from` and `to`")),
        }
    }
}

fn both(field: &'static str) -> Refusal {
    let message = "has either a quantity or a value, not both";
    Refusal::InvalidFields(vec![FieldError::new(field, message)])
}

fn list(subject: &str, usage: &[Usage]) -> UsageList {
    UsageList {
        subject: subject.to_owned(),
        usage: usage.iter().map(UsageView::from).collect(),
    }
}

impl From<&Usage> for UsageView {
    fn from(usage: &Usage) -> Self {
        Self {
            metric: usage.metric.to_string(),
            used: usage.used,
            unit: usage.unit.to_string(),
            from: usage.stretch.from,
            to: usage.stretch.to,
        }
    }
}

impl From<&Recorded> for RecordedView {
    fn from(recorded: &Recorded) -> Self {
        Self {
            usage: UsageView {
                metric: recorded.metric.to_string(),
                used: recorded.used,
                unit: recorded.unit.to_string(),
                from: recorded.bucket.from,
                to: recorded.bucket.to,
            },
            repeated: recorded.repeated,
        }
    }
}

impl From<&Checked> for CheckedView {
    fn from(checked: &Checked) -> Self {
        use entitlements::caps::CapState;
        Self {
            name: checked.name.clone(),
            allowed: checked.allowed,
            used: checked.used,
            remaining: checked.limit.remaining(checked.used),
            limit: checked.limit.count(),
            unit: checked.unit.clone(),
            state: match checked.state {
                CapState::Ok => StateView::Ok,
                CapState::Soft => StateView::Soft,
                CapState::Hard => StateView::Hard,
            },
        }
    }
}
