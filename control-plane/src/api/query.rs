//! Query strings and pages.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Rows on a page, where the caller does not say.
const ROWS: u32 = 50;
/// The most rows on a page.
const ROWS_MAX: u32 = 100;

/// A query string without members that nobody asked for.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|text| text.contains("%00")) {
            // PostgreSQL takes no text with one.
            return Err(invalid("a query has no NUL characters"));
        }
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let axum::extract::Query(value) = query.map_err(|rejection| {
            let text = std::error::Error::source(&rejection).map(ToString::to_string);
            invalid(super::json::told(&text.unwrap_or_default()))
        })?;
        Ok(Self(value))
    }
}

/// What is wrong with a query string.
pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

/// How many rows are wanted.
pub(super) fn rows(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(ROWS) {
        rows @ 1..=ROWS_MAX => Ok(rows),
        _ => Err(invalid(format!("`limit` is 1 to {ROWS_MAX}"))),
    }
}

/// Reads a cursor that [`next`] wrote.
pub(super) fn after<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let text = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.and_then(|text| text.parse().ok());
    place
        .map(Some)
        .ok_or_else(|| invalid("`cursor` is not one that a page of this list gave"))
}

/// Cuts a page that was read with one row more than wanted, and names the next one.
pub(super) fn next<T, I: ToString>(
    rows: &mut Vec<T>,
    rows_max: u32,
    place: impl FnOnce(&T) -> I,
) -> Option<String> {
    let wanted = usize::try_from(rows_max).unwrap_or(usize::MAX);
    if rows.len() <= wanted {
        return None;
    }
    rows.truncate(wanted);
    let last = rows.last()?;
    Some(BASE64URL_NOPAD.encode(place(last).to_string().as_bytes()))
}
