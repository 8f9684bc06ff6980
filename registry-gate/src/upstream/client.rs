//! Requests to a registry behind the gate. Its addresses are built here, its redirects are not
//! followed, its answers are bounded in time and size, and no name leads to where it must not.
//! Nothing of a client's request reaches it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use manifest::PackageName;
use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use semver::Version;
use serde_json::Value;
use url::{Host, Url};

use super::figures::{self, Kind};
use crate::config::{ConfigError, UpstreamConfig, UpstreamTimeouts};
use crate::reach::{Reach, Resolver};
use crate::route::{Report, tarball_file};

/// The largest package document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest answer about vulnerabilities, in bytes.
const AUDIT_BYTES_MAX: usize = 8 * 1024 * 1024;
const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks one registry.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    timeouts: UpstreamTimeouts,
    registry: &'static str,
}

/// What a registry says when it is asked for a package.
pub(super) enum Reply {
    /// Its document, and the `ETag` of that.
    Document(Bytes, Option<HeaderValue>),
    /// The document is the one whose `ETag` was told.
    Same,
    /// It has no such package.
    Missing,
}

/// What went wrong; logged, and told to clients as
/// [`Refusal::Upstream`](crate::refusal::Refusal::Upstream).
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    #[error("no whole answer")]
    Http(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("status {0}: it does not take the token that this gate has for it")]
    Credential(StatusCode),
    #[error("status {0}: redirects are not followed")]
    Redirect(StatusCode),
    #[error("the answer is over {0} bytes")]
    TooLarge(u64),
    #[error("the answer is no package document of that name")]
    Document,
    #[error("the bytes are not those that the package document announced")]
    Integrity,
    #[error("the work was broken off")]
    BrokenOff,
}

impl UpstreamError {
    /// A word for figures.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Http(error) if error.is_timeout() => "timeout",
            Self::Http(error) if error.is_connect() => "connect",
            Self::Http(_) => "broken",
            Self::Status(_) => "status",
            Self::Credential(_) => "credential",
            Self::Redirect(_) => "redirect",
            Self::TooLarge(_) => "too_large",
            Self::Document => "document",
            Self::Integrity => "integrity",
            Self::BrokenOff => "broken_off",
        }
    }
}

impl Client {
    pub(super) fn new(
        registry: &'static str,
        config: &UpstreamConfig,
    ) -> Result<Self, ConfigError> {
        let UpstreamConfig {
            url,
            token,
            timeouts,
            ..
        } = config;
        if !is_base(url) {
            return Err(ConfigError::UpstreamUrl);
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // Through a proxy, nobody would know where a connection leads.
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(Resolver(reach(config)?)))
            // The bytes of a tarball are those that were hashed, whatever a header says of them.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.silence)
            .user_agent(concat!("tollgate-gate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ConfigError::Client)?;
        Ok(Self {
            http,
            base: url.clone(),
            authorization: token.as_ref().map(bearer).transpose()?,
            timeouts: *timeouts,
            registry,
        })
    }

    /// `upstream` or `pass-through`.
    pub(super) fn registry(&self) -> &'static str {
        self.registry
    }

    /// Tells this registry apart from others, with what it was asked as.
    pub(super) fn origin(&self) -> String {
        format!("{}\0{}", self.registry, self.base)
    }

    /// Asks for a package. `etag` is that of the document that is here already.
    pub(super) async fn document(
        &self,
        name: &PackageName,
        etag: Option<&HeaderValue>,
    ) -> Result<Reply, UpstreamError> {
        let mut request = self
            .get(&[name.as_str()])
            .header(ACCEPT, "application/json")
            .timeout(self.timeouts.document);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = self.send(Kind::Document, request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Reply::Missing),
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Reply::Same),
            status => return Err(refused(status)),
        }
        let etag = response.headers().get(ETAG).cloned();
        let json = read_bounded(response, DOCUMENT_BYTES_MAX).await?;
        Ok(Reply::Document(json, etag))
    }

    /// Asks for a tarball. The bytes are still to come, and anything may come.
    pub(super) async fn tarball(
        &self,
        name: &PackageName,
        version: &Version,
        bytes_max: u64,
    ) -> Result<Response, UpstreamError> {
        let file = tarball_file(name, version);
        let parts: Vec<_> = name.as_str().split('/').chain(["-", &file]).collect();
        let request = self.get(&parts).timeout(self.timeouts.tarball);
        let response = self.send(Kind::Tarball, request).await?;
        match response.status() {
            StatusCode::OK if response.content_length() > Some(bytes_max) => {
                Err(UpstreamError::TooLarge(bytes_max))
            }
            StatusCode::OK => Ok(response),
            status => Err(refused(status)),
        }
    }

    /// Asks about vulnerabilities of the packages of a list. Installs wait for this.
    pub(super) async fn audit(&self, report: Report, list: &Value) -> Result<Bytes, UpstreamError> {
        let parts: Vec<_> = report.path().split('/').skip(1).collect();
        let request = self.request(Method::POST, &parts).json(list);
        let response = self
            .send(Kind::Audit, request.timeout(AUDIT_TIMEOUT))
            .await?;
        match response.status() {
            StatusCode::OK => read_bounded(response, AUDIT_BYTES_MAX).await,
            status => Err(refused(status)),
        }
    }

    /// Sends a request, and once more if the connection failed before anything was answered: one
    /// that was kept open may be closed by the other side just then.
    async fn send(&self, kind: Kind, request: RequestBuilder) -> Result<Response, UpstreamError> {
        figures::request(self.registry, kind);
        let again = request.try_clone();
        match (request.send().await, again) {
            (Err(error), Some(again)) if error.is_request() && !error.is_timeout() => {
                Ok(again.send().await?)
            }
            (answer, _) => Ok(answer?),
        }
    }

    fn get(&self, parts: &[&str]) -> RequestBuilder {
        self.request(Method::GET, parts)
    }

    /// A request under the registry's own address. A slash inside a part is escaped.
    fn request(&self, method: Method, parts: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        // An HTTP address always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        let request = self
            .http
            .request(method, url)
            .header(ACCEPT_ENCODING, "identity");
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }
}

/// Where the operator points himself counts as configured: an address in figures, or `localhost`.
/// A name may lead inside if the operator says that it may.
fn reach(config: &UpstreamConfig) -> Result<Reach, ConfigError> {
    let told = match config.url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain("localhost")) => return Ok(Reach::Internal),
        _ => return Ok(config.reach),
    };
    if Reach::Internal.allows(told) {
        Ok(config.reach)
    } else {
        Err(ConfigError::UpstreamAddress)
    }
}

fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

fn bearer(token: &SecretString) -> Result<HeaderValue, ConfigError> {
    let text = format!("Bearer {}", token.expose_secret());
    let mut value = HeaderValue::try_from(text).map_err(|_| ConfigError::UpstreamToken)?;
    value.set_sensitive(true);
    Ok(value)
}

fn refused(status: StatusCode) -> UpstreamError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => UpstreamError::Credential(status),
        status if status.is_redirection() => UpstreamError::Redirect(status),
        status => UpstreamError::Status(status),
    }
}

/// Reads a body to its end, but never more than `bytes_max`.
async fn read_bounded(mut response: Response, bytes_max: usize) -> Result<Bytes, UpstreamError> {
    let too_large = || UpstreamError::TooLarge(bytes_max as u64);
    let told = response.content_length().unwrap_or(0);
    if told > bytes_max as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}
