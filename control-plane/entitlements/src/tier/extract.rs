//! [`TierInfo`] as an argument of axum's handlers, and [`TierError`] as their answer.

use std::convert::Infallible;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::{TierError, TierInfo};

impl<S: Send + Sync> FromRequestParts<S> for TierInfo {
    type Rejection = TierError;

    /// 500 where no tier was found out (MODO-23).
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, TierError> {
        let info = parts.extensions.get::<Self>();
        info.cloned().ok_or(TierError::NoTier)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for TierInfo {
    type Rejection = Infallible;

    /// Nothing where no tier was found out, and never an error (MODO-23).
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl IntoResponse for TierError {
    fn into_response(self) -> Response {
        self.respond::<Body>()
    }
}
