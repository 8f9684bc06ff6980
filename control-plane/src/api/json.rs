//! JSON bodies, in and out.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::problem::Problem;

/// Refuses a body that is not said to be JSON.
pub(super) fn require(headers: &HeaderMap) -> Result<(), Problem> {
    if is_json(headers) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "send the body as `Content-Type: application/json`",
    ))
}

/// Reads an object. serde would take an array for one as well, member by member.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
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
pub(super) fn told(text: &str) -> String {
    // In a query, the member's name stands before it.
    let (member, text) = match text.split_once(": ") {
        Some((member, rest)) if is_about_a_value(rest) => (format!("{member}: "), rest),
        _ => (String::new(), text),
    };
    let text = match text.rsplit_once(", expected ") {
        Some((found, expected)) if is_about_a_value(found) => {
            format!("{member}expected {expected}")
        }
        _ => format!("{member}{text}"),
    };
    match text.split_once("expected struct ") {
        Some((_, rest)) => {
            let place = rest.split_once(' ').map_or("", |(_, place)| place);
            format!("expected an object {place}")
        }
        None => text
            .replace("expected u32", "expected a whole number")
            .replace("expected u64", "expected a whole number"),
    }
}

fn is_about_a_value(text: &str) -> bool {
    let kinds = [
        "invalid type",
        "invalid value",
        "invalid length",
        "unknown variant",
    ];
    kinds.iter().any(|kind| text.starts_with(kind))
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
pub(super) fn private(status: StatusCode, body: String) -> Response {
    const HEADERS: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    if status == StatusCode::NO_CONTENT {
        return (status, [(header::CACHE_CONTROL, "no-store")]).into_response();
    }
    (status, HEADERS, body).into_response()
}

/// What was asked for, for nobody else to keep.
pub(super) fn shown(body: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_string(body).map_err(Problem::fault)?;
    Ok(private(StatusCode::OK, body))
}
