//! Refusal or fault → status and problem body (RFC 9457). The one place that logs faults.

use std::any::Any;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::domain::Refusal;
use crate::operations::{Error, Fault};
use crate::store::StoreError;

/// An answer that is not a success. Rendered by [`super::request::identify`], which knows the
/// request's id.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<ProblemField>,
    fault: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// One member of the request and what is wrong with it.
#[derive(Debug, Clone, Serialize)]
struct ProblemField {
    field: &'static str,
    message: String,
}

/// The body, `application/problem+json`. `type` is left at its default, `about:blank`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'p> {
    title: &'p str,
    status: u16,
    code: &'p str,
    detail: &'p str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'p [ProblemField],
    request_id: &'p str,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            fault: None,
        }
    }

    fn internal() -> Self {
        let detail = "something broke on our side; the request id finds it in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    fn fault(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            fault: Some(Arc::new(error)),
            ..Self::internal()
        }
    }

    /// What an error answer means that no handler of ours gave: a layer's or an extractor's.
    pub(super) fn of_bare(status: StatusCode) -> Option<Self> {
        let (code, detail) = match status {
            StatusCode::SERVICE_UNAVAILABLE => ("timeout", "the request took too long"),
            status if status.is_client_error() => ("bad_request", "the request cannot be read"),
            status if status.is_server_error() => ("internal_error", "something broke on our side"),
            _ => return None,
        };
        Some(Self::new(status, code, detail))
    }

    /// The finished response. A fault is logged here, once.
    pub(super) fn render(&self, request_id: &str) -> Response {
        if let Some(fault) = &self.fault {
            let error: &dyn std::error::Error = &**fault;
            tracing::error!(request_id, error, source = error.source(), "request failed");
        }
        let body = Body {
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            errors: &self.errors,
            request_id,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let content_type = HeaderValue::from_static("application/problem+json");
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::UnknownTier { .. }
            | Refusal::UnknownPackages(_)
            | Refusal::InvalidFields(_)
            | Refusal::BoxRequired => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::LicenseNotFound => StatusCode::NOT_FOUND,
            Refusal::LicenseUnusable | Refusal::BoxLimitReached { .. } => StatusCode::FORBIDDEN,
        };
        let problem = Self::new(status, refusal.code(), refusal.to_string());
        let errors = match refusal {
            Refusal::InvalidFields(errors) => errors
                .into_iter()
                .map(|error| ProblemField {
                    field: error.field,
                    message: error.message,
                })
                .collect(),
            _ => Vec::new(),
        };
        Self { errors, ..problem }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::fault(fault)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::fault(error)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Fault(fault) => fault.into(),
        }
    }
}

/// Nothing is served at this path.
pub(super) async fn no_such_route(uri: Uri) -> Problem {
    let detail = format!("nothing is served at `{}`", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "no_such_route", detail)
}

/// Something is served at this path, by another method; `Allow` names it.
pub(super) async fn method_not_allowed() -> Problem {
    let detail = "this path is served by other methods; see the `Allow` header";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// A handler panicked: a fault like any other, which the panic hook has logged.
pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::internal().into_response()
}
