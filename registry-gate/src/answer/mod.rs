//! The answers, one per route. Those that name a package ask the rule first, and have nothing
//! to work with before it has given them a permit.

mod change;
mod publish;
mod read;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::json;

use crate::fault::Failure;
use crate::gate::Parts;
use crate::route::Route;

pub(crate) use publish::room;

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
            read::packument(gate, &permit, headers).await
        }
        Route::Release(name, selector) => {
            let permit = gate.rule.may_read(headers, name)?;
            read::release(gate, &permit, &selector, headers).await
        }
        Route::DistTags(name) => {
            let permit = gate.rule.may_read(headers, name)?;
            read::dist_tags(gate, &permit, headers).await
        }
        Route::Tarball(name, version) => {
            let permit = gate.rule.may_read(headers, name)?;
            read::tarball(gate, &permit, &version, headers).await
        }
        Route::DistTag(name, tag) => {
            let permit = gate.rule.may_read(headers, name)?;
            read::dist_tag(gate, &permit, &tag, headers).await
        }
        write @ (Route::Publish(_)
        | Route::MoveTag(..)
        | Route::RemoveTag(..)
        | Route::Amend(..)
        | Route::Unpublish(..)
        | Route::UnpublishVersion(..)) => change::change(gate, write, headers, body).await,
    }
}
