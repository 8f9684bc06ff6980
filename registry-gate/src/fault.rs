//! What nobody expects: logged once, with a request id, and hidden from the client behind it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::refusal::{ErrorBody, Refusal};

/// The header that carries a request's id, in and out.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Something that should have worked and did not.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    doing: Arc<str>,
    source: Arc<dyn Error + Send + Sync>,
}

impl Fault {
    /// `doing` says what failed, such as "reading packages/@acme/order".
    pub(crate) fn new(
        doing: impl Into<Arc<str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing: doing.into(),
            source: Arc::from(source.into()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.source)
    }
}

/// The two ways in which a request can fail.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Refusal(Refusal),
    Fault(Fault),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Failure {
    /// The answer to the request with these headers.
    pub(crate) fn into_answer(self, request: &HeaderMap) -> Response {
        match self {
            Self::Refusal(refusal) => refusal.into_response(),
            Self::Fault(fault) => {
                let id = request_id(request);
                tracing::error!(request_id = ?id, %fault, "request failed");
                internal(&id)
            }
        }
    }
}

/// The answer to a request that failed by a fault: it says nothing but its id.
pub(crate) fn internal(id: &HeaderValue) -> Response {
    const SENTENCE: &str = "this registry failed; its operator finds the reason by the request id";
    let body = Json(ErrorBody {
        error: SENTENCE,
        message: SENTENCE,
        code: "internal",
        request_id: id.to_str().ok(),
    });
    let no_store = HeaderValue::from_static("no-store");
    let headers = [(REQUEST_ID, id.clone()), (CACHE_CONTROL, no_store)];
    (StatusCode::INTERNAL_SERVER_ERROR, headers, body).into_response()
}

/// The id that came with the request, when it is a plain word, or else one of ours.
pub(crate) fn request_id(request: &HeaderMap) -> HeaderValue {
    own_id(request).cloned().unwrap_or_else(next_id)
}

/// The id that came with the request, when it is a plain word.
pub(crate) fn own_id(request: &HeaderMap) -> Option<&HeaderValue> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    request.get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=64).contains(&bytes.len()) && bytes.iter().copied().all(plain)
    })
}

/// Unique on this machine for as long as it does not start so many processes that numbers of
/// processes come again: enough to find a line in a log.
fn next_id() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let text = format!("gate-{}-{number}", std::process::id());
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("gate"))
}
