//! The answers, one per route. Those that name a package ask the rule first, and have nothing
//! to work with before it has given them a permit.

mod publish;
mod read;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::access::Permit;
use crate::fault::Failure;
use crate::gate::Parts;
use crate::notices::{NOT_KEPT, NPM_NOTICE};
use crate::route::Route;

/// Answers a request for a route.
pub(crate) async fn to(
    gate: &Parts,
    route: Route,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    match route {
        Route::Live => Ok(Json(json!({ "status": "live" })).into_response()),
        Route::Ready => {
            gate.is_ready()?;
            Ok(Json(json!({ "status": "ready" })).into_response())
        }
        Route::Ping => Ok(Json(json!({})).into_response()),
        Route::WhoAmI => {
            let caller = gate.rule.caller(headers)?;
            Ok(Json(json!({ "username": caller.user_name() })).into_response())
        }
        Route::Packument(name) => {
            let permit = gate.rule.may_read(headers, name)?;
            let answer = read::packument(gate, &permit, headers).await?;
            Ok(with_notice(gate, &permit, answer))
        }
        Route::Release(name, selector) => {
            let permit = gate.rule.may_read(headers, name)?;
            let answer = read::release(gate, &permit, &selector, headers).await?;
            Ok(with_notice(gate, &permit, answer))
        }
        Route::DistTags(name) => {
            let permit = gate.rule.may_read(headers, name)?;
            let answer = read::dist_tags(gate, &permit, headers).await?;
            Ok(with_notice(gate, &permit, answer))
        }
        Route::Tarball(name, version) => {
            let permit = gate.rule.may_read(headers, name)?;
            read::tarball(gate, &permit, &version, headers).await
        }
        Route::Publish(name) => match gate.rule.may_publish(headers, name) {
            Ok(permit) => publish::publish(gate, permit, headers, body).await,
            Err(refusal) => {
                publish::drain(body).await;
                Err(refusal.into())
            }
        },
    }
}

/// The same answer, with what its caller is to be told. Body and `ETag` are nobody's own.
fn with_notice(gate: &Parts, permit: &Permit, mut answer: Response) -> Response {
    let shown = answer.status() != StatusCode::NOT_MODIFIED;
    if let Some(notice) = gate.rule.notice(permit.caller(), shown) {
        answer.headers_mut().insert(NPM_NOTICE, notice);
        if shown {
            answer.headers_mut().insert(CACHE_CONTROL, NOT_KEPT);
        }
    }
    answer
}
