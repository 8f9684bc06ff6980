//! Refusal or fault → status and problem body (RFC 9457). The one place that logs faults.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{Content, Ref, RefOr, Response as OpenApiResponse, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::domain::{FieldError, Refusal};
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
    /// Seconds.
    retry_after: Option<u64>,
    /// What else is told.
    headers: Option<Box<HeaderMap>>,
    fault: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Whoever meets a database that is gone may try again after so many seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// One member of the request and what is wrong with it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ProblemField {
    field: &'static str,
    message: String,
}

impl ProblemField {
    /// Each member that a refusal is about.
    pub(super) fn of(refusal: &Refusal) -> Vec<Self> {
        let Refusal::InvalidFields(errors) = refusal else {
            return Vec::new();
        };
        let field = |error: &FieldError| Self {
            field: error.field,
            message: error.message.clone(),
        };
        errors.iter().map(field).collect()
    }
}

/// A problem (RFC 9457). `type` is left at its default, `about:blank`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(super) struct Body<'p> {
    /// The status in words.
    title: &'p str,
    /// The HTTP status.
    status: u16,
    /// What programs go by; it never changes.
    code: &'p str,
    /// What is wrong, and what to do.
    detail: &'p str,
    /// Each member of the request that is wrong.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'p [ProblemField],
    /// The request's id, which finds it in the log and in the audit log.
    request_id: &'p str,
}

/// The statuses that every reading route may answer with instead of a success.
pub(super) struct ReadProblems;

/// The statuses that every writing route may answer with instead of a success.
pub(super) struct WriteProblems;

/// The statuses that evaluating routes answer with beside those of their protocol.
pub(super) struct EvaluationProblems;

/// Marks an error answer in another protocol's words, which stays as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct InItsOwnWords;

const READ_PROBLEMS: [(&str, &str); 7] = [
    ("400", "The request cannot be read"),
    ("401", "No credential, or none that is known"),
    ("403", "The credential may not do this"),
    ("404", "There is no such thing"),
    ("422", "The request breaks a rule"),
    ("500", "Something broke"),
    ("503", "The database does not answer"),
];

const WRITE_PROBLEMS: [(&str, &str); 4] = [
    (
        "409",
        "The state of things forbids it, or a request with this idempotency key still runs",
    ),
    ("413", "The body is too large"),
    ("415", "The body is not of the right type"),
    ("429", "Too many requests"),
];

fn declared(problems: &[(&str, &str)]) -> BTreeMap<String, RefOr<OpenApiResponse>> {
    let declare = |&(status, text): &(&str, &str)| {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(text)
            .content("application/problem+json", content);
        (status.to_owned(), response.build().into())
    };
    problems.iter().map(declare).collect()
}

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<OpenApiResponse>> {
        declared(&READ_PROBLEMS)
    }
}

impl IntoResponses for WriteProblems {
    fn responses() -> BTreeMap<String, RefOr<OpenApiResponse>> {
        let mut all = declared(&READ_PROBLEMS);
        all.extend(declared(&WRITE_PROBLEMS));
        all
    }
}

impl IntoResponses for EvaluationProblems {
    fn responses() -> BTreeMap<String, RefOr<OpenApiResponse>> {
        let mut all = WriteProblems::responses();
        all.retain(|status, _| !["400", "404", "409", "422", "429"].contains(&status.as_str()));
        all
    }
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            headers: None,
            fault: None,
        }
    }

    /// The caller has asked too often and may ask again in so many seconds.
    pub(super) fn too_many(retry_after: u64, detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(retry_after.max(1)),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
        }
    }

    /// The same with headers of its own.
    pub(super) fn with_headers(self, headers: HeaderMap) -> Self {
        let headers = Some(Box::new(headers));
        Self { headers, ..self }
    }

    /// The same with another status.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    fn internal() -> Self {
        let detail = "something broke on our side; the request id finds it in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// Something broke that the caller can do nothing about.
    pub(super) fn fault(error: impl std::error::Error + Send + Sync + 'static) -> Self {
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
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers.as_deref().cloned().unwrap_or_default());
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
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
            | Refusal::UnknownFlag(_)
            | Refusal::UnknownMetrics { .. }
            | Refusal::NotConsumable(_)
            | Refusal::UsageKeyReused(_)
            | Refusal::UsageForgotten(_)
            // Waiting does not help.
            | Refusal::StockFull { .. }
            | Refusal::UnknownName(_)
            | Refusal::InvalidFields(_)
            | Refusal::BoxRequired => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::LicenseNotFound
            | Refusal::BoxNotFound
            | Refusal::CredentialNotFound
            | Refusal::WebhookNotFound
            | Refusal::CustomerTierNotFound
            | Refusal::FlagOverrideNotFound
            | Refusal::SigningKeyNotFound => StatusCode::NOT_FOUND,
            Refusal::LicenseRevoked
            | Refusal::LicenseSuspended
            | Refusal::LicenseExpired
            | Refusal::LicenseChanged
            | Refusal::SwitchChanged
            | Refusal::LastAdmin
            | Refusal::CustomerTierBilled
            | Refusal::WebhookDisabled
            | Refusal::TooManyWebhooks
            | Refusal::KeyNotAdded(_) => StatusCode::CONFLICT,
            Refusal::LicenseUnusable | Refusal::BoxLimitReached { .. } => StatusCode::FORBIDDEN,
        };
        Self {
            errors: ProblemField::of(&refusal),
            ..Self::new(status, refusal.code(), refusal.to_string())
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error.into(),
            fault => Self::fault(fault),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if !error.is_outage() {
            return Self::fault(error);
        }
        let detail = "the database does not answer; send the request again later";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self {
            fault: Some(Arc::new(error)),
            retry_after: Some(RETRY_AFTER_SECONDS),
            ..Self::new(status, "database_unavailable", detail)
        }
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
pub(super) async fn no_such_route() -> Problem {
    // The path is not repeated: it may hold a secret that went astray.
    let detail = "nothing is served at this path; see `/openapi.json`";
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
