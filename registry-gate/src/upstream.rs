//! The registry behind the gate. It is not trusted: its answers are bounded in time and size,
//! its addresses are built here, its redirects are not followed, and its tarballs are checked
//! before their first byte is passed on. Nothing of a client's request reaches it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use activation_token::clock::Clock;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use jiff::SignedDuration;
use manifest::PackageName;
use reqwest::{Client, Response};
use secrecy::ExposeSecret;
use semver::Version;
use serde_json::value::RawValue;
use url::Url;

use crate::access::Permit;
use crate::config::{ConfigError, UpstreamConfig};
use crate::integrity::Integrity;
use crate::packument::{Members, Package, PublicUrl, Release};
use crate::refusal::Refusal;
use crate::route::{parse_version, tarball_file};
use crate::shelf::Shelf;

/// How long a package is taken for current before the upstream is asked again, in seconds.
const FRESH_SECONDS: i64 = 60;
/// The most packages kept ready.
const PACKAGES_MAX: usize = 10_000;
/// The largest package document, in bytes.
const PACKUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const TOTAL_TIMEOUT: Duration = Duration::from_mins(5);
/// The members of a package document that are made here, or concern the upstream alone.
const OWN_MEMBERS: [&str; 6] = [
    "_attachments",
    "_id",
    "_rev",
    "dist-tags",
    "name",
    "versions",
];

/// A client of the registry behind the gate.
pub(crate) struct Upstream {
    client: Client,
    base: Url,
    authorization: Option<HeaderValue>,
    tarball_bytes_max: usize,
    public_url: PublicUrl,
    shelf: Shelf<Shown, Refusal>,
}

/// A package and the `ETag` under which the upstream knows this state of it.
pub(crate) struct Shown {
    pub(crate) package: Arc<Package>,
    etag: Option<HeaderValue>,
}

/// What went wrong at the upstream; logged here, and told to clients as [`Refusal::Upstream`].
#[derive(Debug, thiserror::Error)]
enum UpstreamError {
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("the answer is over {0} bytes")]
    TooLarge(usize),
    #[error("the answer is no package document of that name")]
    Document,
    #[error("the work was cancelled")]
    Cancelled,
}

impl Upstream {
    pub(crate) fn new(
        config: &UpstreamConfig,
        public_url: PublicUrl,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let base = &config.url;
        if !matches!(base.scheme(), "http" | "https") || base.query().is_some() {
            return Err(ConfigError::UpstreamUrl);
        }
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .user_agent(concat!("tollgate-gate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ConfigError::Client)?;
        Ok(Self {
            client,
            base: base.clone(),
            authorization: config.token.as_ref().map(bearer).transpose()?,
            tarball_bytes_max: config.tarball_bytes_max,
            public_url,
            shelf: Shelf::new(
                PACKAGES_MAX,
                SignedDuration::from_secs(FRESH_SECONDS),
                clock,
            ),
        })
    }

    /// The package, if the upstream has it. An upstream that fails does not take away what it
    /// said before.
    pub(crate) async fn package(&self, permit: &Permit) -> Result<Option<Arc<Shown>>, Refusal> {
        let name = permit.name();
        let load = async |last: Option<Arc<Shown>>| match self.load(name, last.clone()).await {
            Ok(shown) => Ok(shown),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(%name, error, "upstream failed");
                last.map(Some).ok_or(Refusal::Upstream)
            }
        };
        self.shelf.get(name, load).await
    }

    /// A tarball's bytes, checked.
    pub(crate) async fn tarball(
        &self,
        permit: &Permit,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<Bytes, Refusal> {
        let name = permit.name();
        let failed = |error: UpstreamError| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%name, %version, error, "upstream failed");
            Refusal::Upstream
        };
        let bytes = self.fetch_tarball(name, version).await.map_err(failed)?;
        let integrity = *integrity;
        let check = move || integrity.fits(&bytes).then_some(bytes);
        let checked = tokio::task::spawn_blocking(check).await;
        checked
            .map_err(|_| failed(UpstreamError::Cancelled))?
            .ok_or_else(|| {
                tracing::warn!(%name, %version, "upstream sent bytes of another hash");
                Refusal::UpstreamIntegrity
            })
    }

    async fn load(
        &self,
        name: &PackageName,
        last: Option<Arc<Shown>>,
    ) -> Result<Option<Arc<Shown>>, UpstreamError> {
        let mut request = self
            .get(&[name.as_str()])
            .header(ACCEPT, "application/json");
        if let Some(etag) = last.as_ref().and_then(|last| last.etag.as_ref()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::NOT_MODIFIED if last.is_some() => return Ok(last),
            status => return Err(UpstreamError::Status(status)),
        }
        let etag = response.headers().get(ETAG).cloned();
        let json = read_bounded(response, PACKUMENT_BYTES_MAX).await?;
        let (name, public_url) = (name.clone(), self.public_url.clone());
        let render = move || render(&name, &json, &public_url);
        let package = tokio::task::spawn_blocking(render)
            .await
            .map_err(|_| UpstreamError::Cancelled)?
            .ok_or(UpstreamError::Document)?;
        Ok(Some(Arc::new(Shown {
            package: Arc::new(package),
            etag,
        })))
    }

    async fn fetch_tarball(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> Result<Bytes, UpstreamError> {
        let file = tarball_file(name, version);
        let parts = name.as_str().split('/').chain(["-", &file]);
        let response = self.get(&parts.collect::<Vec<_>>()).send().await?;
        match response.status() {
            StatusCode::OK => read_bounded(response, self.tarball_bytes_max).await,
            status => Err(UpstreamError::Status(status)),
        }
    }

    /// A request under the upstream's own address. A slash inside a part is escaped.
    fn get(&self, parts: &[&str]) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        // An HTTP address always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        let request = self.client.get(url);
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }
}

fn bearer(token: &secrecy::SecretString) -> Result<HeaderValue, ConfigError> {
    let text = format!("Bearer {}", token.expose_secret());
    let mut value = HeaderValue::try_from(text).map_err(|_| ConfigError::UpstreamToken)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a body to its end, but never more than `bytes_max`.
async fn read_bounded(mut response: Response, bytes_max: usize) -> Result<Bytes, UpstreamError> {
    let told = response.content_length().unwrap_or(0);
    if told > bytes_max as u64 {
        return Err(UpstreamError::TooLarge(bytes_max));
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(UpstreamError::TooLarge(bytes_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// The upstream's document in our own form. Releases that cannot be checked are left out.
pub(crate) fn render(name: &PackageName, json: &[u8], public_url: &PublicUrl) -> Option<Package> {
    let members: Members<'_> = serde_json::from_slice(json).ok()?;
    let told: String = serde_json::from_str(members.get("name")?.get()).ok()?;
    if told != name.as_str() {
        return None;
    }
    let versions: Members<'_> = serde_json::from_str(members.get("versions")?.get()).ok()?;
    let releases = versions.iter().filter_map(|(version, manifest)| {
        let version = parse_version(version)?;
        let release = Release::read(name, &version, manifest, public_url)?;
        Some((version, Arc::new(release)))
    });
    let tags: BTreeMap<String, String> = match members.get("dist-tags") {
        Some(tags) => serde_json::from_str(tags.get()).ok()?,
        None => BTreeMap::new(),
    };
    let tags = tags.into_iter();
    let tags = tags.filter_map(|(tag, version)| Some((tag, parse_version(&version)?)));
    let rest: BTreeMap<String, Box<RawValue>> = members
        .iter()
        .filter(|(member, _)| !OWN_MEMBERS.contains(&member.as_str()))
        .map(|(member, value)| (member.clone(), (*value).to_owned()))
        .collect();
    let modified = modified(&members);
    Package::render(
        name,
        tags.collect(),
        releases.collect(),
        modified.as_deref(),
        &rest,
    )
    .ok()
}

fn modified(members: &Members<'_>) -> Option<String> {
    let times: Members<'_> = serde_json::from_str(members.get("time")?.get()).ok()?;
    serde_json::from_str(times.get("modified")?.get()).ok()
}
