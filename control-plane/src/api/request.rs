//! Every request has an id: the caller's, where it sent a plain one, else a fresh one. It is in
//! the response, in the log, in problem bodies and in audit rows.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use data_encoding::HEXLOWER;
use tracing::Instrument;
use tracing::field::Empty;

use super::App;
use super::problem::{InItsOwnWords, Problem};
use crate::domain::{Actor, Requester};
use crate::entropy::random;
use crate::operations::Operations;
use crate::telemetry;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const BYTES_MAX: usize = 100;

/// A request's id.
#[derive(Debug, Clone)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    /// Who is asking, under this request.
    pub(super) fn requester(&self, actor: Actor) -> Requester {
        Requester {
            actor,
            request_id: Some(self.0.as_ref().to_owned()),
        }
    }
}

impl FromRequestParts<App> for RequestId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        // Set by `identify`, which wraps every route.
        Ok(parts.extensions.get().cloned().unwrap_or(Self("".into())))
    }
}

/// Gives the request its id and its line in the log, and renders the problem, where there is one.
pub(super) async fn identify(
    State(operations): State<Arc<Operations>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request
        .headers()
        .get(&HEADER)
        .and_then(plain)
        .map_or_else(|| fresh(&operations), Into::into);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    // The template: a path is the client's to choose, and may hold what no log should.
    let route = route.map_or("none", MatchedPath::as_str);
    let method = request.method().as_str();
    // An error's level, so that it stands beside every line, whatever is filtered.
    let span = tracing::error_span!(
        "request", request_id = %id, method, route, otel.name = Empty, otel.kind = Empty
    );
    telemetry::join_trace(&span, request.headers(), method, route);
    async {
        let mut response = next.run(request).await;
        let problem = response.extensions_mut().remove::<Problem>();
        let own_words = response.extensions().get::<InItsOwnWords>().is_some();
        let bare = || Problem::of_bare(response.status()).filter(|_| !own_words);
        if let Some(problem) = problem.or_else(bare) {
            let mut rendered = problem.render(&id);
            // `Allow`, for one, is set by the router.
            for (name, value) in response.headers() {
                rendered
                    .headers_mut()
                    .entry(name)
                    .or_insert_with(|| value.clone());
            }
            response = rendered;
        }
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(HEADER, value);
        }
        let status = response.status().as_u16();
        telemetry::note_status(status);
        let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        tracing::info!(status, duration_ms, "answered");
        response
    }
    .instrument(span)
    .await
}

fn plain(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ((1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(good)).then_some(text)
}

fn fresh(operations: &Operations) -> Arc<str> {
    let random = random::<16>(&*operations.entropy).unwrap_or_default();
    HEXLOWER.encode(&random).into()
}
