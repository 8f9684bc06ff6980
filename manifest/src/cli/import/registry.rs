//! Packages of a running registry: the latest version of each, and whatever that requires.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};
use manifest::{FoundPackage, PackageName};
use reqwest::{Client, StatusCode, header};
use serde::Deserialize;
use url::Url;

use super::{Npm, progress};

/// Requests under way at a time.
const PARALLEL: usize = 8;
/// Largest packument that is read.
const PACKUMENT_BYTES_MAX: usize = 64 << 20;
/// The short form of a packument: what an installer needs.
const ABBREVIATED: &str = "application/vnd.npm.install-v1+json, application/json;q=0.9";

/// Finds the given packages and, round by round, what they require in the scope.
pub(super) fn find(
    registry: &Url,
    token: Option<&str>,
    scope: &str,
    start: BTreeSet<PackageName>,
) -> anyhow::Result<Vec<FoundPackage>> {
    if start.is_empty() {
        bail!("there is no package to start from\nuse `--package`");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the network")?;
    runtime.block_on(follow(&Registry::new(registry, token)?, scope, start))
}

async fn follow(
    registry: &Registry,
    scope: &str,
    start: BTreeSet<PackageName>,
) -> anyhow::Result<Vec<FoundPackage>> {
    let bar = progress("packages", start.len());
    let mut found = Vec::new();
    let mut asked = start.clone();
    let mut open = start;
    while !open.is_empty() {
        let mut answers = stream::iter(std::mem::take(&mut open))
            .map(|name| registry.latest(name))
            .buffer_unordered(PARALLEL);
        while let Some(answer) = answers.next().await {
            bar.inc(1);
            let Some(package) = answer?.and_then(|npm| npm.in_scope(scope)) else {
                continue;
            };
            open.extend(
                package
                    .requires
                    .iter()
                    .filter(|name| asked.insert((*name).clone()))
                    .cloned(),
            );
            bar.set_length(asked.len() as u64);
            found.push(package);
        }
    }
    bar.finish_and_clear();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

struct Registry {
    client: Client,
    base: String,
}

/// As much of a packument as is needed.
#[derive(Deserialize)]
struct Packument {
    #[serde(rename = "dist-tags", default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    versions: BTreeMap<String, Npm>,
}

impl Registry {
    fn new(url: &Url, token: Option<&str>) -> anyhow::Result<Self> {
        let mut headers = header::HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            header::HeaderValue::from_static(ABBREVIATED),
        );
        if let Some(token) = token {
            let mut value = header::HeaderValue::from_str(&format!("Bearer {token}"))
                .context("the token has characters that no header takes")?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let client = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("manifest/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(30))
            .build()
            .context("cannot set up the network")?;
        Ok(Self {
            client,
            base: url.as_str().trim_end_matches('/').to_owned(),
        })
    }

    /// The latest version of a package; `None` when the registry has no such package.
    async fn latest(&self, name: PackageName) -> anyhow::Result<Option<Npm>> {
        let url = format!("{}/{}", self.base, name.as_str().replace('/', "%2f"));
        let mut response = self
            .client
            .get(&url)
            .send()
            .await
            .with_context(|| format!("the registry does not answer for `{name}`"))?;
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                bail!(
                    "the registry refuses `{name}`: {}\ncheck the token",
                    response.status()
                );
            }
            status if !status.is_success() => bail!("the registry fails for `{name}`: {status}"),
            _ => {}
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .with_context(|| format!("the answer for `{name}` breaks off"))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > PACKUMENT_BYTES_MAX {
                bail!("the answer for `{name}` is too large");
            }
        }
        let mut packument: Packument = serde_json::from_slice(&body)
            .with_context(|| format!("the answer for `{name}` is no packument"))?;
        let latest = packument
            .tags
            .get("latest")
            .or_else(|| packument.versions.keys().last())
            .cloned();
        let version = latest.and_then(|latest| packument.versions.remove(&latest));
        Ok(version.map(|version| Npm {
            name: name.to_string(),
            ..version
        }))
    }
}
