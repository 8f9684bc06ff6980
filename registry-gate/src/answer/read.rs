//! Reading: package documents, releases, dist-tags, tarballs.

use std::ops::Range;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use semver::Version;

use crate::access::{Caller, Permit};
use crate::document::{Document, Form};
use crate::downloads::Download;
use crate::fault::{Failure, Fault};
use crate::gate::Parts;
use crate::negotiate::{matches_etag, prefers_abbreviated, takes_gzip};
use crate::range::Wanted;
use crate::refusal::Refusal;
use crate::route::Selector;
use crate::tag::Tag;

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
    let abbreviated = prefers_abbreviated(headers.get_all(ACCEPT));
    if !abbreviated && matches!(permit.caller(), Caller::Publisher(_)) {
        // Publishers send it back with a change, so it must not be a moment old.
        gate.packages.hosted.renew(permit);
    }
    let found = gate.packages.find(permit).await?;
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

/// Where one dist-tag points.
pub(super) async fn dist_tag(
    gate: &Parts,
    permit: &Permit,
    tag: &Tag,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let found = gate.packages.find(permit).await?;
    let version = found.package.tagged(tag);
    let version = version.ok_or_else(|| no_such_release(permit))?;
    let rendered = Document::render("application/json", version);
    let rendered = rendered.map_err(|error| Fault::new("rendering a version", error))?;
    Ok(document(&rendered, headers))
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
    let length = tarball.bytes();
    let (status, part) = match Wanted::of(headers, etag, length) {
        Wanted::Whole => (StatusCode::OK, 0..length),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Nothing => return Err(Refusal::NoSuchPart { length }.into()),
    };
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (CONTENT_LENGTH, HeaderValue::from(part.end - part.start)),
        (ETAG, etag.clone()),
        (CACHE_CONTROL, TARBALL_CACHING),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ];
    let told = (status == StatusCode::PARTIAL_CONTENT)
        .then(|| content_range(&part, length))
        .transpose()?;
    let mut response = (status, headers, tarball.into_part(part)).into_response();
    response
        .headers_mut()
        .extend(told.map(|range| (CONTENT_RANGE, range)));
    if let Some(download) = Download::of(permit, version) {
        response.extensions_mut().insert(download);
    }
    Ok(response)
}

fn content_range(part: &Range<u64>, length: u64) -> Result<HeaderValue, Fault> {
    let last = part.end.saturating_sub(1);
    HeaderValue::try_from(format!("bytes {}-{last}/{length}", part.start))
        .map_err(|error| Fault::new("naming a part", error))
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
