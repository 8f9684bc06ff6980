//! Every way in which the gate says no, with status, code and sentence in one place.
//!
//! Clients show different parts of an answer: npm and yarn the JSON member `error`, pnpm and
//! yarn berry the HTTP/1.1 reason phrase. The sentence stands in both.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_RANGE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use manifest::{PackageName, TierName};
use semver::Version;
use serde::Serialize;

use crate::publication::PublicationError;
use crate::route::RouteError;

/// Longest reason phrase, in bytes; some clients cut a longer one or take it ill.
const REASON_BYTES_MAX: usize = 100;

/// An expected no. Its sentence is plain ASCII and holds nothing that a client sent but a
/// name that passed the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "no token was sent; run `box activate`, which sets this project's token, then try again"
    )]
    NoToken,
    #[error("this token is not valid here; run `box activate` for a new one, then try again")]
    InvalidToken,
    #[error("this publisher token is not valid here; ask your operator for a new one")]
    InvalidPublisher,
    #[error("your activation token has expired; run `box activate` to renew it, then try again")]
    ExpiredToken,
    #[error("your publisher token has expired; ask your operator for a new one")]
    ExpiredPublisher,
    #[error("your activation token is not valid yet; check the clocks and try again")]
    EarlyToken,
    #[error("your activation token names a package set that is gone; run `box activate` again")]
    UnknownSet,
    #[error("your license has changed since this token was issued; run `box activate` again")]
    SupersededToken,

    #[error("your license is suspended; ask your vendor to reinstate it")]
    LicenseSuspended,
    #[error("your license has been revoked; ask your vendor for a new one")]
    LicenseRevoked,
    #[error("this machine was released from its license; run `box activate` to install here")]
    BoxReleased,
    #[error("this registry serves the bundle of another license; ask your vendor for yours")]
    NotOfBundle,
    #[error("{name} is not in your tier {tier}{}", comes_with(upgrade.as_ref()))]
    NotEntitled {
        name: PackageName,
        tier: TierName,
        /// The lowest tier that has it, when one above does.
        upgrade: Option<TierName>,
    },
    /// The tier has it by now, but the token is older than that.
    #[error("{name} is in your tier {tier} but not in your token; run `box activate` again")]
    OutdatedToken { name: PackageName, tier: TierName },
    #[error("only a publisher token may publish; an activation token may install")]
    PublisherOnly,

    #[error("this registry serves only {scope} packages")]
    OutOfScope { scope: String },
    #[error("{name} has not been published")]
    NotPublished { name: PackageName },
    #[error("{name} has no such version or tag")]
    NoSuchRelease { name: PackageName },
    #[error("this registry signs nothing, so it has no keys to check signatures with")]
    NoKeys,
    #[error("nobody logs in here: run `box activate`, which sets this project's token")]
    LogIn,
    #[error("the token for metrics is missing or wrong")]
    MetricsToken,
    #[error("the gateway does not say which request it asks about; see its settings")]
    OriginalMissing,
    #[error("the gateway does not say clearly which request it asks about; see its settings")]
    OriginalAmbiguous,
    #[error("this registry cannot narrow a search to your packages; install them by name")]
    SearchUnbounded,
    #[error("this file has only {length} bytes")]
    NoSuchPart { length: u64 },
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
    #[error("this registry's bundle has ended; ask your vendor for a new one")]
    BundleEnded,
    #[error("this registry has not heard of your token's packages yet; try again shortly")]
    SnapshotBehind,
    #[error("this registry is about to stop; another one serves on")]
    Stopping,
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Malformed => Self::MalformedPath,
            RouteError::Unknown => Self::NoRoute,
            RouteError::Method { allow } => Self::Method { allow },
        }
    }
}

/// A refusal's code, beside its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code(pub(crate) &'static str);

fn comes_with(tier: Option<&TierName>) -> String {
    tier.map_or_else(
        || "; check its name, or ask your vendor".to_owned(),
        |tier| format!("; it comes with {tier}; ask your vendor to upgrade"),
    )
}

impl Refusal {
    /// The status, and the stable code that programs tell refusals apart by.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "token_missing"),
            Self::InvalidToken | Self::InvalidPublisher => {
                (StatusCode::UNAUTHORIZED, "token_invalid")
            }
            Self::ExpiredToken | Self::ExpiredPublisher => {
                (StatusCode::UNAUTHORIZED, "token_expired")
            }
            Self::EarlyToken => (StatusCode::UNAUTHORIZED, "token_not_yet_valid"),
            Self::UnknownSet => (StatusCode::UNAUTHORIZED, "package_set_unknown"),
            Self::SupersededToken => (StatusCode::UNAUTHORIZED, "token_superseded"),
            Self::LicenseSuspended => (StatusCode::FORBIDDEN, "license_suspended"),
            Self::LicenseRevoked => (StatusCode::FORBIDDEN, "license_revoked"),
            Self::BoxReleased => (StatusCode::FORBIDDEN, "box_released"),
            Self::NotOfBundle => (StatusCode::FORBIDDEN, "not_of_bundle"),
            Self::NotEntitled { .. } => (StatusCode::FORBIDDEN, "not_entitled"),
            Self::OutdatedToken { .. } => (StatusCode::FORBIDDEN, "token_outdated"),
            Self::PublisherOnly => (StatusCode::FORBIDDEN, "publisher_only"),
            Self::OutOfScope { .. } => (StatusCode::NOT_FOUND, "out_of_scope"),
            Self::NotPublished { .. } => (StatusCode::NOT_FOUND, "not_published"),
            Self::NoSuchRelease { .. } => (StatusCode::NOT_FOUND, "release_not_found"),
            Self::NoKeys => (StatusCode::NOT_FOUND, "keys_none"),
            Self::LogIn => (StatusCode::FORBIDDEN, "login_by_activation"),
            Self::MetricsToken => (StatusCode::UNAUTHORIZED, "metrics_token_invalid"),
            Self::OriginalMissing => (StatusCode::FORBIDDEN, "original_missing"),
            Self::OriginalAmbiguous => (StatusCode::FORBIDDEN, "original_ambiguous"),
            Self::SearchUnbounded => (StatusCode::FORBIDDEN, "search_refused"),
            Self::NoSuchPart { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable"),
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
            Self::BundleEnded => (StatusCode::SERVICE_UNAVAILABLE, "bundle_ended"),
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
        response.extensions_mut().insert(Code(code));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Method { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::NoSuchPart { length } => {
                let range = HeaderValue::try_from(format!("bytes */{length}"));
                headers.extend(range.ok().map(|range| (CONTENT_RANGE, range)));
            }
            _ => {}
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// The sentence, or as many of its clauses as fit: what is wrong stands first. A first clause
/// that is too long by itself, for a long name, is cut.
fn shortened(sentence: &str) -> String {
    if sentence.len() <= REASON_BYTES_MAX {
        return sentence.to_owned();
    }
    let clauses = sentence.match_indices("; ").map(|(end, _)| end);
    if let Some(whole) = clauses
        .filter(|end| *end <= REASON_BYTES_MAX)
        .last()
        .and_then(|end| sentence.get(..end))
    {
        return whole.to_owned();
    }
    let cut: String = sentence.chars().take(REASON_BYTES_MAX - 3).collect();
    format!("{cut}...")
}
