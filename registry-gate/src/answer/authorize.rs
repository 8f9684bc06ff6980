//! Decisions for a gateway that stands before another registry: would this gate let the request
//! pass that the gateway has received? The path that is asked about goes through the same grammar
//! and the same rule as if the request had come here.
//!
//! ```text
//! nginx    auth_request       X-Original-Method, X-Original-URI
//! Traefik  forwardAuth        X-Forwarded-Method, X-Forwarded-Uri
//! Envoy    ext_authz (HTTP)   the method, and the path behind /-/gate/authorize
//! ```

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::request::Parts as Head;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use manifest::PackageName;

use crate::access::Caller;
use crate::gate::Parts;
use crate::refusal::{Code, Refusal};
use crate::route::Route;

/// Headers of the gateways that tell the address and the method that are asked about.
const ORIGINALS: [(&str, &str); 2] = [
    ("x-original-uri", "x-original-method"),
    ("x-forwarded-uri", "x-forwarded-method"),
];
const REASON: HeaderName = HeaderName::from_static("x-tollgate-reason");
const CODE: HeaderName = HeaderName::from_static("x-tollgate-code");

/// Who may pass, and to which package.
#[derive(Default)]
struct Passed {
    caller: Option<Caller>,
    name: Option<PackageName>,
}

/// Answers 200 for what would pass, and 401 or 403 for what would not: gateways know no other
/// answers. That the gate cannot decide is 503.
pub(super) fn authorize(gate: &Parts, behind: &str, head: &Head) -> Response {
    let decided = original(behind, head).and_then(|(method, path)| {
        let route = Route::parse(&method, path)?;
        decide(gate, route, &head.headers)
    });
    match decided {
        Ok(passed) => pass(&passed),
        Err(refusal) => deny(refusal),
    }
}

/// The method and the raw path of the request that is asked about, without its query. All that
/// tell it must tell the same: a header that a gateway does not set is the client's to send.
fn original<'h>(behind: &'h str, head: &'h Head) -> Result<(Method, &'h str), Refusal> {
    let mut originals = Vec::with_capacity(ORIGINALS.len() + 1);
    for (uri, method) in ORIGINALS {
        match (one(&head.headers, uri)?, one(&head.headers, method)?) {
            (None, None) => {}
            (Some(uri), Some(method)) => {
                let method = Method::from_bytes(method.as_bytes());
                let method = method.map_err(|_| Refusal::OriginalAmbiguous)?;
                originals.push((method, uri.split('?').next().unwrap_or_default()));
            }
            // A method that is not told would be taken for the gateway's own GET.
            _ => return Err(Refusal::OriginalAmbiguous),
        }
    }
    if !behind.is_empty() {
        originals.push((head.method.clone(), behind));
    }
    let first = originals.pop().ok_or(Refusal::OriginalMissing)?;
    if originals.iter().all(|other| *other == first) {
        Ok(first)
    } else {
        Err(Refusal::OriginalAmbiguous)
    }
}

/// A header that stands there once or not at all.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(Refusal::OriginalAmbiguous),
    }
}

fn decide(gate: &Parts, route: Route, headers: &HeaderMap) -> Result<Passed, Refusal> {
    let rule = &gate.rule;
    match route {
        Route::Packument(name)
        | Route::Release(name, _)
        | Route::Tarball(name, _)
        | Route::DistTags(name)
        | Route::DistTag(name, _) => {
            let permit = rule.may_read(headers, name)?;
            Ok(Passed {
                caller: Some(permit.caller().clone()),
                name: Some(permit.name().clone()),
            })
        }
        Route::Publish(name)
        | Route::MoveTag(name, _)
        | Route::RemoveTag(name, _)
        | Route::Amend(name, _)
        | Route::Unpublish(name, _)
        | Route::UnpublishVersion(name, ..) => {
            let permit = rule.may_publish(headers, name)?;
            Ok(Passed {
                caller: Some(Caller::Publisher(permit.publisher().to_owned())),
                name: Some(permit.name().clone()),
            })
        }
        // The registry there would name packages of every tier.
        Route::Search => match rule.caller(headers)? {
            Caller::Box(_) => Err(Refusal::SearchUnbounded),
            caller @ Caller::Publisher(_) => Ok(Passed {
                caller: Some(caller),
                name: None,
            }),
        },
        Route::WhoAmI | Route::Audit(_) => Ok(Passed {
            caller: Some(rule.caller(headers)?),
            name: None,
        }),
        Route::Ping | Route::Keys => Ok(Passed::default()),
        Route::LogIn(_) => Err(Refusal::LogIn),
        // Of a gate, and not of a registry.
        Route::Live | Route::Ready | Route::Metrics | Route::Authorize(_) => Err(Refusal::NoRoute),
    }
}

fn pass(passed: &Passed) -> Response {
    let caller = passed.caller.as_ref();
    let told = [
        ("x-tollgate-customer", caller.and_then(Caller::customer)),
        ("x-tollgate-license", caller.and_then(Caller::license)),
        ("x-tollgate-box", caller.and_then(Caller::box_id)),
        ("x-tollgate-tier", caller.and_then(Caller::tier)),
        ("x-tollgate-publisher", caller.and_then(Caller::publisher)),
        (
            "x-tollgate-package",
            passed.name.as_ref().map(PackageName::as_str),
        ),
    ];
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Said, because HTTP/1.1 would say it and HTTP/2 would not.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    for (name, value) in told {
        // Empty ones too: a gateway that hands them on overwrites what a client sent. Ids hold no
        // control characters.
        let value = HeaderValue::from_bytes(value.unwrap_or_default().as_bytes());
        let value = value.unwrap_or(HeaderValue::from_static(""));
        headers.insert(HeaderName::from_static(name), value);
    }
    response
}

fn deny(refusal: Refusal) -> Response {
    let reason = HeaderValue::try_from(refusal.to_string());
    let mut response = refusal.into_response();
    let status = match response.status() {
        status if status == StatusCode::UNAUTHORIZED || status.is_server_error() => status,
        _ => StatusCode::FORBIDDEN,
    };
    *response.status_mut() = status;
    let code = response.extensions().get();
    let code = code.map(|Code(code)| HeaderValue::from_static(code));
    let headers = response.headers_mut();
    headers.remove(http::header::ALLOW);
    headers.extend(reason.ok().map(|reason| (REASON, reason)));
    headers.extend(code.map(|code| (CODE, code)));
    response
}
