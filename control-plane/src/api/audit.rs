//! `/v1/audit`: who did what, and why.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::caller::{Allowed, ReadAudit};
use super::json::shown;
use super::problem::{Problem, ReadProblems};
use super::query::{self, Query};
use crate::domain::audit::{Entry, Filter};
use crate::operations::Fault;
use crate::store::{StoreError, audit};

/// A row of the audit log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub(crate) struct EntryView {
    /// 1, 2, 3, without gaps.
    sequence: i64,
    at: Timestamp,
    /// A credential's id, `system`, `key-holder`, `stripe`, or `unknown`.
    actor: String,
    /// What was done, as `noun.verb`.
    action: String,
    /// To what.
    subject: String,
    /// The state before, where there was one.
    before: Option<Value>,
    /// The state after.
    after: Option<Value>,
    /// Why.
    reason: Option<String>,
    /// Under which request.
    request_id: Option<String>,
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        Self {
            sequence: entry.sequence,
            at: entry.at,
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            before: entry.before,
            after: entry.after,
            reason: entry.reason,
            request_id: entry.request_id,
        }
    }
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditPage {
    entries: Vec<EntryView>,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// Which rows are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// By whom.
    actor: Option<String>,
    /// What, for example `license.suspend`.
    action: Option<String>,
    /// To what: an id.
    subject: Option<String>,
    /// From when on, inclusive.
    from: Option<Timestamp>,
    /// Until when, exclusive.
    to: Option<Timestamp>,
    /// Rows on a page, 1 to 100; 50 if not said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Where an export begins.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// The last row that is there already.
    #[serde(default)]
    #[param(minimum = 0)]
    after: i64,
}

/// Read the audit log, newest first.
#[utoipa::path(get, path = "/v1/audit", operation_id = "listAudit", tag = "audit",
    security(("operator" = [])), params(ListQuery),
    responses((status = 200, body = AuditPage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadAudit>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let rows = query::rows(query.limit)?;
    let before: Option<i64> = query::after(query.cursor.as_deref())?;
    let filter = Filter {
        actor: query.actor,
        action: query.action,
        subject: query.subject,
        from: query.from,
        to: query.to,
    };
    let mut conn = app.store.read().await?;
    let mut entries = audit::page(conn.link(), &filter, before, rows + 1).await?;
    let next_cursor = query::next(&mut entries, rows, |entry| entry.sequence);
    shown(&AuditPage {
        entries: entries.into_iter().map(EntryView::from).collect(),
        next_cursor,
    })
}

/// Export the audit log, oldest first, as JSON lines.
#[utoipa::path(get, path = "/v1/audit/export", operation_id = "exportAudit", tag = "audit",
    security(("operator" = [])), params(ExportQuery),
    responses((status = 200, body = String, content_type = "application/jsonl"), ReadProblems))]
pub(super) async fn export(
    State(app): State<App>,
    _caller: Allowed<ReadAudit>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    if query.after < 0 {
        return Err(query::invalid("`after` is at least 0"));
    }
    // The first rows are read before anything is answered: a database that is gone shows.
    let first = lines(&app, query.after).await?;
    let rest = stream::try_unfold((app, first), |(app, chunk)| async move {
        let Some((text, last)) = chunk else {
            return Ok::<_, Fault>(None);
        };
        let next = lines(&app, last).await?;
        Ok(Some((text, (app, next))))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(rest)).into_response())
}

/// Some rows after a number as lines, and the number of the last one; none at the end.
async fn lines(app: &App, after: i64) -> Result<Option<(String, i64)>, StoreError> {
    let mut conn = app.store.read().await?;
    let entries = audit::entries_after(conn.link(), after).await?;
    let Some(last) = entries.last().map(|entry| entry.sequence) else {
        return Ok(None);
    };
    let mut text = String::new();
    for entry in entries {
        text += &serde_json::json!(EntryView::from(entry)).to_string();
        text.push('\n');
    }
    Ok(Some((text, last)))
}
