//! Why a request goes no further, and the answer that says so.

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::premium::NotPremium;

/// Why a request goes no further: a refusal, which is shown, or a fault, which is logged and hidden.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TierError {
    /// The feature is off, or nothing of the limit is granted.
    #[error("`{feature}` is not part of the tier `{tier}`; a tier that includes it is needed")]
    NotEntitled {
        /// The feature or limit.
        feature: Arc<str>,
        /// The tier that holds.
        tier: Arc<str>,
    },
    /// As much is used as the limit allows.
    #[error(
        "the limit `{limit}` is reached: {current} of {ceiling} are used; a tier with more is needed"
    )]
    LimitExceeded {
        /// The limit.
        limit: Arc<str>,
        /// What is used.
        current: u64,
        /// What may be used.
        ceiling: u64,
    },
    /// For premium users alone.
    #[error(transparent)]
    PremiumRequired(#[from] NotPremium),
    /// A refusal of the application's own, shown as it is.
    #[error("{detail}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its stable code.
        code: &'static str,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// Nobody found out which tier holds.
    #[error(
        "no tier is known for this request; put a `TierLayer` with a default tier around the route"
    )]
    NoTier,
    /// A feature was taken for a limit.
    #[error("`{key}` is a feature and was asked for as a limit; name one key for each")]
    NotALimit {
        /// The feature.
        key: Arc<str>,
    },
    /// Something broke.
    #[error("the tier could not be found out")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The stable code of an answer, in the response's extensions for whoever wraps the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(pub &'static str);

/// A problem (RFC 9457). `type` is left at its default, `about:blank`.
#[derive(Serialize)]
struct Problem<'e> {
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'e str,
    #[serde(flatten)]
    details: Option<Details<'e>>,
}

/// What the refusal is about, for programs.
#[derive(Serialize)]
#[serde(untagged)]
enum Details<'e> {
    Feature {
        feature: &'e str,
        tier: &'e str,
    },
    Limit {
        limit: &'e str,
        current: u64,
        ceiling: u64,
    },
}

impl TierError {
    /// Something broke; the caller is told nothing of it.
    pub fn fault(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Fault(error.into())
    }

    /// A refusal of the application's own, such as that of a bad credential.
    pub fn refused(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Refused {
            status,
            code,
            detail: detail.into(),
        }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotEntitled { .. } | Self::LimitExceeded { .. } => StatusCode::FORBIDDEN,
            Self::PremiumRequired(_) => StatusCode::PAYMENT_REQUIRED,
            Self::Refused { status, .. } => *status,
            Self::NoTier | Self::NotALimit { .. } | Self::Fault(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The stable code it is answered with.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotEntitled { .. } => "feature_not_entitled",
            Self::LimitExceeded { .. } => "limit_exceeded",
            Self::PremiumRequired(_) => NotPremium::CODE,
            Self::Refused { code, .. } => code,
            Self::NoTier | Self::NotALimit { .. } | Self::Fault(_) => "internal_error",
        }
    }

    fn is_fault(&self) -> bool {
        matches!(self, Self::NoTier | Self::NotALimit { .. } | Self::Fault(_))
    }

    fn details(&self) -> Option<Details<'_>> {
        match self {
            Self::NotEntitled { feature, tier } => Some(Details::Feature { feature, tier }),
            Self::LimitExceeded {
                limit,
                current,
                ceiling,
            } => Some(Details::Limit {
                limit,
                current: *current,
                ceiling: *ceiling,
            }),
            _ => None,
        }
    }

    /// The finished answer. A fault is logged here, once.
    pub fn respond<B: From<String>>(self) -> Response<B> {
        let detail = if self.is_fault() {
            let error: &(dyn std::error::Error + 'static) = &self;
            tracing::error!(error, source = error.source(), "request failed");
            "something broke on our side; it is logged".to_owned()
        } else {
            self.to_string()
        };
        let status = self.status();
        let problem = Problem {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: self.code(),
            detail: &detail,
            details: self.details(),
        };
        // Texts and numbers always serialize.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = Response::new(B::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(ErrorCode(self.code()));
        response
    }
}
