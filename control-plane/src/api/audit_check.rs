//! `/v1/audit/verify`: whether the audit log is what was written.
//!
//! The whole log is read, which may take longer than a request may. So an answer that is not there
//! soon is begun, and goes on with blanks, which JSON allows before a value, until it is known.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::caller::{Allowed, ReadAudit};
use super::json::shown;
use super::problem::{Problem, ReadProblems};
use super::query::{self, Query};
use crate::store::StoreError;
use crate::store::audit::{self, Damage, Head};

/// So long an answer may keep its caller waiting without a sign of life.
const BEAT: Duration = Duration::from_secs(5);
/// Who comes while a log is being read may come again after so many seconds.
const AGAIN_SECONDS: u64 = 5;
/// No caller has noted more rows.
const HEADS_MAX: usize = 10;

/// What the log must contain.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyQuery {
    /// Rows that were noted elsewhere, each as `ROW:HASH`, with commas between them, at most 10:
    /// the log must contain them. This shows when its end was cut.
    head: Option<String>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditVerified)]
pub(crate) struct VerifiedView {
    /// Whether every row is what was written, and none is missing.
    whole: bool,
    /// How many rows there are; `null` when the log is damaged.
    rows: Option<i64>,
    /// The newest row as `ROW:HASH`, to be noted elsewhere; `null` when the log is damaged.
    head: Option<String>,
    damage: Option<DamageView>,
}

/// What is wrong with the log: the first thing that was found.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditDamage)]
struct DamageView {
    /// `altered`, `unreadable`, `missing`, `unchained`, `unnumbered`, `cut`, `uncounted` or
    /// `forked`.
    kind: &'static str,
    /// The first row that is not right, where it is one.
    row: Option<i64>,
    /// The same in a sentence.
    detail: String,
    /// What may have led to it.
    hint: Option<&'static str>,
}

type Check = Pin<Box<dyn Future<Output = Result<VerifiedView, StoreError>> + Send>>;

/// Check that the audit log is what was written.
///
/// Reads the whole log, along the chain of keyed hashes that no database can forge. One is checked
/// at a time; whoever comes meanwhile is told to come again. A damaged log is an answer like a
/// whole one. The answer may begin with blanks.
#[utoipa::path(get, path = "/v1/audit/verify", operation_id = "verifyAudit", tag = "audit",
    security(("operator" = [])), params(VerifyQuery),
    responses((status = 200, body = VerifiedView), ReadProblems))]
pub(super) async fn verify(
    State(app): State<App>,
    _caller: Allowed<ReadAudit>,
    Query(query): Query<VerifyQuery>,
) -> Result<Response, Problem> {
    let noted = heads(query.head.as_deref())?;
    let permit = Arc::clone(&app.checks)
        .try_acquire_owned()
        .map_err(|_| Problem::too_many(AGAIN_SECONDS, "the audit log is being checked already"))?;
    let mut check: Check = Box::pin(check(app, noted, permit));
    match tokio::time::timeout(BEAT, &mut check).await {
        Ok(found) => shown(&found?),
        Err(_) => Ok(slowly(check, BEAT)),
    }
}

async fn check(
    app: App,
    noted: Vec<Head>,
    permit: OwnedSemaphorePermit,
) -> Result<VerifiedView, StoreError> {
    let mut conn = app.store.read().await?;
    let found = audit::verify(&mut conn, app.store.chain(), &noted).await?;
    drop(permit);
    Ok(VerifiedView::of(&found))
}

impl VerifiedView {
    /// What was found, as it is shown.
    pub(crate) fn of(found: &Result<Head, Damage>) -> Self {
        let head = found.as_ref().ok();
        Self {
            whole: head.is_some(),
            rows: head.map(|head| head.sequence),
            head: head.map(ToString::to_string),
            damage: found.as_ref().err().map(|damage| DamageView {
                kind: damage.kind(),
                row: damage.row(),
                detail: damage.to_string(),
                hint: damage.hint(),
            }),
        }
    }
}

/// Blanks, then the answer. A fault breaks the answer off: what was begun can be no problem any
/// more.
fn slowly(check: Check, beat: Duration) -> Response {
    let blanks = stream::unfold(Some(check), move |check| async move {
        let mut check: Check = check?;
        match tokio::time::timeout(beat, &mut check).await {
            Err(_) => Some((Ok(" ".to_owned()), Some(check))),
            Ok(Ok(found)) => Some((Ok(serde_json::json!(found).to_string()), None)),
            Ok(Err(fault)) => {
                let error: &(dyn std::error::Error + 'static) = &fault;
                tracing::error!(error, "the audit log cannot be checked");
                Some((Err(fault), None))
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(blanks)).into_response()
}

fn heads(text: Option<&str>) -> Result<Vec<Head>, Problem> {
    let heads = text.into_iter().flat_map(|text| text.split(','));
    let heads: Result<Vec<Head>, _> = heads.map(str::parse).collect();
    let heads = heads.map_err(|error: audit::NoHead| query::invalid(format!("`head`: {error}")))?;
    if heads.len() > HEADS_MAX {
        return Err(query::invalid(format!(
            "`head` has at most {HEADS_MAX} rows"
        )));
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_takes_long_begins_with_blanks() {
        let (done, wait) = oneshot::channel();
        let check: Check = Box::pin(async { wait.await.unwrap() });
        let answer = slowly(check, Duration::from_millis(1));
        let mut parts = answer.into_body().into_data_stream();
        assert_eq!(parts.next().await.unwrap().unwrap(), " ");
        let found = Ok(VerifiedView::of(&Ok(Head::start())));
        assert!(done.send(found).is_ok());
        let mut text = Vec::new();
        while let Some(part) = parts.next().await {
            text.extend(part.unwrap());
        }
        let answer: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(answer["whole"], true);
    }

    #[tokio::test]
    async fn a_fault_breaks_the_answer_off() {
        let fault = StoreError::Database(sqlx::Error::PoolClosed);
        let check: Check = Box::pin(async { Err(fault) });
        let mut parts = slowly(check, BEAT).into_body().into_data_stream();
        assert!(parts.next().await.unwrap().is_err());
        assert!(parts.next().await.is_none());
    }
}
