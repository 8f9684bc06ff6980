//! Reading: package documents, releases, dist-tags, tarballs.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use semver::Version;

use crate::access::Permit;
use crate::document::{Document, Form};
use crate::fault::Failure;
use crate::gate::Parts;
use crate::negotiate::{matches_etag, prefers_abbreviated, takes_gzip};
use crate::refusal::Refusal;
use crate::route::Selector;

/// Documents are asked for again each time, which a 304 makes cheap. `private`: no cache may
/// hand them to somebody for whom the rule was not asked.
const DOCUMENT_CACHING: HeaderValue = HeaderValue::from_static("private, no-cache");
/// A version's bytes never change.
const TARBALL_CACHING: HeaderValue =
    HeaderValue::from_static("private, max-age=31536000, immutable");

/// The whole package, in the form that was asked for.
pub(super) async fn packument(
    gate: &Parts,
    permit: &Permit,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let found = gate.packages.find(permit).await?;
    let abbreviated = prefers_abbreviated(headers.get_all(ACCEPT));
    Ok(document(found.package.document(abbreviated), headers))
}

/// One release's manifest.
pub(super) async fn release(
    gate: &Parts,
    permit: &Permit,
    selector: &Selector,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let found = gate.packages.find(permit).await?;
    let release = found.package.select(selector);
    let release = release.ok_or_else(|| no_such_release(permit))?;
    Ok(document(&release.document, headers))
}

/// Where the dist-tags point.
pub(super) async fn dist_tags(
    gate: &Parts,
    permit: &Permit,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let found = gate.packages.find(permit).await?;
    Ok(document(found.package.tags(), headers))
}

/// A release's bytes.
pub(super) async fn tarball(
    gate: &Parts,
    permit: &Permit,
    version: &Version,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let found = gate.packages.find(permit).await?;
    let release = found.package.release(version);
    let release = release.ok_or_else(|| no_such_release(permit))?;
    let etag = &release.tarball_etag;
    if matches_etag(&headers.get_all(IF_NONE_MATCH), etag) {
        return Ok(not_modified(etag, TARBALL_CACHING));
    }
    let tarball = gate
        .packages
        .tarball(permit, &found, version, release)
        .await?;
    tracing::debug!(name = %permit.name(), %version, caller = ?permit.caller(), "download");
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (CONTENT_LENGTH, HeaderValue::from(tarball.bytes)),
        (ETAG, etag.clone()),
        (CACHE_CONTROL, TARBALL_CACHING),
    ];
    Ok((headers, tarball.body).into_response())
}

fn no_such_release(permit: &Permit) -> Refusal {
    Refusal::NoSuchRelease {
        name: permit.name().clone(),
    }
}

/// A document in the encoding that the client takes, or that it has it already.
fn document(document: &Document, headers: &HeaderMap) -> Response {
    let takes_gzip = takes_gzip(headers.get_all(ACCEPT_ENCODING));
    let known = document.known_etag(&headers.get_all(IF_NONE_MATCH), takes_gzip);
    let mut response = match known {
        Some(etag) => not_modified(etag, DOCUMENT_CACHING),
        None => whole(&document.content_type, document.form(takes_gzip)),
    };
    if let Some(vary) = &document.vary {
        response.headers_mut().insert(VARY, vary.clone());
    }
    response
}

fn whole(content_type: &HeaderValue, form: &Form) -> Response {
    let mut response = Response::new(Body::from(form.body.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type.clone());
    headers.insert(ETAG, form.etag.clone());
    headers.insert(CACHE_CONTROL, DOCUMENT_CACHING);
    if let Some(encoding) = &form.encoding {
        headers.insert(CONTENT_ENCODING, encoding.clone());
    }
    response
}

fn not_modified(etag: &HeaderValue, caching: HeaderValue) -> Response {
    let headers = [(ETAG, etag.clone()), (CACHE_CONTROL, caching)];
    (StatusCode::NOT_MODIFIED, headers).into_response()
}
