//! JSON bodies, in and out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::problem::Problem;

/// A request body: one JSON object, without members that nobody asked for.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send the body as `Content-Type: application/json`",
            ));
        }
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "body_too_large",
                        format!("a body has at most {} bytes", super::BODY_BYTES_MAX),
                    ),
                    _ => Problem::new(
                        StatusCode::BAD_REQUEST,
                        "unreadable_body",
                        "the body did not arrive whole",
                    ),
                })?;
        parse(&bytes).map(Self)
    }
}

/// Reads an object. serde would take an array for one as well, member by member.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    if matches!(bytes.trim_ascii_start().first(), None | Some(b'{')) {
        let read = serde_path_to_error::deserialize(&mut json);
        let read = read.map_err(|error| (error.path().to_string(), error.into_inner()));
        let value = read.map_err(|(path, error)| refuse(&path, &error))?;
        json.end().map_err(|error| refuse(".", &error))?;
        Ok(value)
    } else {
        let checked = IgnoredAny::deserialize(&mut json).and_then(|_| json.end());
        checked.map_err(|error| refuse(".", &error))?;
        Err(invalid("the body must be a JSON object".to_owned()))
    }
}

fn refuse(path: &str, error: &serde_json::Error) -> Problem {
    let text = told(&error.to_string());
    match error.classify() {
        Category::Data if path == "." => invalid(text),
        Category::Data => invalid(format!("`{path}`: {text}")),
        _ => Problem::new(StatusCode::BAD_REQUEST, "malformed_json", text),
    }
}

/// serde's text without the value that was sent, which may be a secret, and without the names of
/// Rust's types, which whoever reads this need not know.
fn told(text: &str) -> String {
    let text = match text.split_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => format!("expected {expected}"),
        _ => text.to_owned(),
    };
    match text.split_once("expected struct ") {
        Some((_, rest)) => {
            let place = rest.split_once(' ').map_or("", |(_, place)| place);
            format!("expected an object {place}")
        }
        None => text.replace("expected u32", "expected a whole number"),
    }
}

fn invalid(text: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", text)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// An answer that nobody may keep: it holds a secret, or what only its asker may see.
pub(super) fn private(status: StatusCode, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
