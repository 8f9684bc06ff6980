//! The answers, one per route. Those that name a package ask the rule first, and have nothing
//! to work with before it has given them a permit.

mod audit;
mod authorize;
mod change;
mod publish;
mod read;
mod search;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts as Head;
use serde_json::json;

use crate::access::{Permit, bearer};
use crate::fault::Failure;
use crate::gate::Parts;
use crate::notices::{NOT_KEPT, NPM_NOTICE};
use crate::refusal::Refusal;
use crate::route::Route;

pub(crate) use publish::room;

/// Answers a request for a route.
pub(crate) async fn to(
    gate: &Parts,
    route: Route,
    head: &Head,
    body: Body,
) -> Result<Response, Failure> {
    let headers = &head.headers;
    match route {
        Route::Live => Ok(Json(json!({ "status": "live" })).into_response()),
        Route::Ready => {
            gate.is_ready()?;
            Ok(Json(json!({ "status": "ready" })).into_response())
        }
        Route::Ping => Ok(Json(json!({})).into_response()),
        Route::WhoAmI => {
            let caller = gate.rule.caller(headers)?;
            let body = Json(json!({ "username": caller.user_name() }));
            Ok(([(CACHE_CONTROL, NOT_KEPT)], body).into_response())
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
        Route::DistTag(name, tag) => {
            let permit = gate.rule.may_read(headers, name)?;
            let answer = read::dist_tag(gate, &permit, &tag, headers).await?;
            Ok(with_notice(gate, &permit, answer))
        }
        write @ (Route::Publish(_)
        | Route::MoveTag(..)
        | Route::RemoveTag(..)
        | Route::Amend(..)
        | Route::Unpublish(..)
        | Route::UnpublishVersion(..)) => change::change(gate, write, headers, body).await,
        Route::Search => search::search(gate, head.uri.query(), headers).await,
        Route::Audit(report) => audit::audit(gate, report, headers, body).await,
        Route::Keys => Err(Refusal::NoKeys.into()),
        Route::LogIn(_) => {
            // Read to its end unseen: a password, perhaps.
            publish::drain(body).await;
            Err(Refusal::LogIn.into())
        }
        Route::Authorize(behind) => Ok(authorize::authorize(gate, &behind, head)),
        Route::Metrics => metrics(gate, head),
    }
}

/// What is measured, for whoever has the token for it.
fn metrics(gate: &Parts, head: &Head) -> Result<Response, Failure> {
    let page = gate.metrics.as_ref().ok_or(Refusal::NoRoute)?;
    if !bearer(&head.headers).is_ok_and(|token| page.opens(token)) {
        return Err(Refusal::MetricsToken.into());
    }
    gate.tell_metrics();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, NOT_KEPT)];
    Ok((headers, (page.render)()).into_response())
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
