//! Every way in which the gate says no, with status, code and sentence in one place.
//!
//! Clients show different parts of an answer: npm and yarn the JSON member `error`, pnpm and
//! yarn berry the HTTP/1.1 reason phrase. The sentence stands in both.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use manifest::{PackageName, TierName};
use semver::Version;
use serde::Serialize;

use crate::publication::PublicationError;

/// Longest reason phrase, in bytes; some clients cut a longer one or take it ill.
const REASON_BYTES_MAX: usize = 100;

/// An expected no. Its sentence is plain ASCII and holds nothing that a client sent but a
/// name that passed the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no token was sent; activate this machine, then install with the token it receives")]
    NoToken,
    #[error("this token is not valid here; activate again to receive a new one")]
    InvalidToken,
    #[error("your activation token has expired; activate again to receive a new one")]
    ExpiredToken,
    #[error("your publisher token has expired; ask your operator for a new one")]
    ExpiredPublisher,
    #[error("your activation token is not valid yet; check the clocks and try again")]
    EarlyToken,
    #[error("your activation token names a package set that is gone; activate again")]
    UnknownSet,
    #[error("your license has changed since this token was issued; activate again")]
    SupersededToken,

    #[error("your license is suspended; ask your vendor to reinstate it")]
    LicenseSuspended,
    #[error("your license has been revoked; ask your vendor for a new one")]
    LicenseRevoked,
    #[error("this machine was released from its license; activate again to install here")]
    BoxReleased,
    #[error("{name} is not in your tier {tier}{}", comes_with(upgrade.as_ref()))]
    NotEntitled {
        name: PackageName,
        tier: TierName,
        /// The lowest tier that has it, when one above does.
        upgrade: Option<TierName>,
    },
    /// The tier has it by now, but the token is older than that.
    #[error("{name} is in your tier {tier} but not in your token; activate again")]
    OutdatedToken { name: PackageName, tier: TierName },
    #[error("only a publisher token may publish; an activation token may install")]
    PublisherOnly,

    #[error("this registry serves only {scope} packages")]
    OutOfScope { scope: String },
    #[error("{name} has not been published")]
    NotPublished { name: PackageName },
    #[error("{name} has no such version or tag")]
    NoSuchRelease { name: PackageName },
    #[error("this version is no longer there")]
    TarballGone,
    #[error("there is nothing at this address")]
    NoRoute,

    #[error("this path is outside the npm name grammar")]
    MalformedPath,
    #[error("this address does not take that method")]
    Method { allow: &'static str },
    #[error("the body is larger than this registry takes")]
    BodyTooLarge,
    #[error("the body did not arrive whole")]
    BodyCutShort,
    #[error("a package is published as application/json")]
    MediaType,
    #[error(transparent)]
    Publication(#[from] PublicationError),
    #[error("cannot publish over the existing version of {name}")]
    VersionExists { name: PackageName },
    #[error("{name} {version} was unpublished; a version can never be published again")]
    VersionUnpublished { name: PackageName, version: Version },
    #[error("{name} has changed since it was read; try again")]
    RevisionConflict { name: PackageName },
    #[error("a package always has its tag latest; point it to another version instead")]
    LatestStays,
    #[error("a dist-tag is set with one version as a JSON string")]
    TagBody,
    #[error("the document does not say by `_rev` what it was when it was read; read it again")]
    NoRevision,

    #[error("the registry behind this one does not answer; try again later")]
    Upstream,
    #[error("the registry behind this one sent bytes that are not those it announced")]
    UpstreamIntegrity,
    #[error("this registry has not heard from its control plane yet; try again shortly")]
    NoSnapshot,
    #[error("this registry has not heard from its control plane for too long; try again later")]
    StaleSnapshot,
    #[error("this registry has not heard of your token's packages yet; try again shortly")]
    SnapshotBehind,
    #[error("this registry is about to stop; another one serves on")]
    Stopping,
}

fn comes_with(tier: Option<&TierName>) -> String {
    tier.map(|tier| format!("; it comes with {tier}"))
        .unwrap_or_default()
}

impl Refusal {
    /// The status, and the stable code that programs tell refusals apart by.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "token_missing"),
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, "token_invalid"),
            Self::ExpiredToken | Self::ExpiredPublisher => {
                (StatusCode::UNAUTHORIZED, "token_expired")
            }
            Self::EarlyToken => (StatusCode::UNAUTHORIZED, "token_not_yet_valid"),
            Self::UnknownSet => (StatusCode::UNAUTHORIZED, "package_set_unknown"),
            Self::SupersededToken => (StatusCode::UNAUTHORIZED, "token_superseded"),
            Self::LicenseSuspended => (StatusCode::FORBIDDEN, "license_suspended"),
            Self::LicenseRevoked => (StatusCode::FORBIDDEN, "license_revoked"),
            Self::BoxReleased => (StatusCode::FORBIDDEN, "box_released"),
            Self::NotEntitled { .. } => (StatusCode::FORBIDDEN, "not_entitled"),
            Self::OutdatedToken { .. } => (StatusCode::FORBIDDEN, "token_outdated"),
            Self::PublisherOnly => (StatusCode::FORBIDDEN, "publisher_only"),
            Self::OutOfScope { .. } => (StatusCode::NOT_FOUND, "out_of_scope"),
            Self::NotPublished { .. } => (StatusCode::NOT_FOUND, "not_published"),
            Self::NoSuchRelease { .. } | Self::TarballGone => {
                (StatusCode::NOT_FOUND, "release_not_found")
            }
            Self::NoRoute => (StatusCode::NOT_FOUND, "route_not_found"),
            Self::MalformedPath => (StatusCode::BAD_REQUEST, "path_malformed"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyCutShort => (StatusCode::BAD_REQUEST, "body_cut_short"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported"),
            Self::Publication(_) => (StatusCode::BAD_REQUEST, "publication_invalid"),
            Self::VersionExists { .. } => (StatusCode::CONFLICT, "version_exists"),
            Self::VersionUnpublished { .. } => (StatusCode::CONFLICT, "version_unpublished"),
            Self::RevisionConflict { .. } => (StatusCode::CONFLICT, "revision_conflict"),
            Self::LatestStays => (StatusCode::BAD_REQUEST, "latest_stays"),
            Self::TagBody => (StatusCode::BAD_REQUEST, "tag_body_invalid"),
            Self::NoRevision => (StatusCode::BAD_REQUEST, "revision_missing"),
            Self::Upstream => (StatusCode::BAD_GATEWAY, "upstream_failed"),
            Self::UpstreamIntegrity => (StatusCode::BAD_GATEWAY, "upstream_integrity"),
            Self::NoSnapshot => (StatusCode::SERVICE_UNAVAILABLE, "snapshot_missing"),
            Self::StaleSnapshot => (StatusCode::SERVICE_UNAVAILABLE, "snapshot_stale"),
            Self::SnapshotBehind => (StatusCode::SERVICE_UNAVAILABLE, "snapshot_behind"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        }
    }
}

/// The body of every answer that is not a success. `message` is for yarn classic.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorBody<'a> {
    pub(crate) error: &'a str,
    pub(crate) message: &'a str,
    pub(crate) code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<&'a str>,
}

impl IntoResponse for Refusal {
    /// Never with `WWW-Authenticate`: npm would hide the sentence behind a text of its own.
    fn into_response(self) -> Response {
        let (status, code) = self.kind();
        let sentence = self.to_string();
        let body = Json(ErrorBody {
            error: &sentence,
            message: &sentence,
            code,
            request_id: None,
        });
        let mut response = (status, body).into_response();
        if let Ok(reason) = ReasonPhrase::try_from(shortened(&sentence).into_bytes()) {
            response.extensions_mut().insert(reason);
        }
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Self::Method { allow } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

fn shortened(sentence: &str) -> String {
    if sentence.len() <= REASON_BYTES_MAX {
        return sentence.to_owned();
    }
    let cut: String = sentence.chars().take(REASON_BYTES_MAX - 3).collect();
    format!("{cut}...")
}
