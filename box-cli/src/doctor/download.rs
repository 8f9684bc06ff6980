//! A download as a package manager does it: a document, its tarball, and whether that is the one
//! that the document means.

use anyhow::{Context, bail};
use data_encoding::BASE64;
use manifest::PackageName;
use reqwest::{Client, Response, StatusCode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha512};
use terminal::checks::Check;
use terminal::reach::chain;
use url::Url;

use super::ways;
use crate::session::Session;

const NAME: &str = "download";
/// No more packages are looked at until one is found that is published.
const PACKAGES_MAX: usize = 20;

/// What is read of a version in a document.
#[derive(Deserialize)]
struct Version {
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    tarball: Url,
    integrity: String,
}

pub(super) async fn look(session: &Session) -> Check {
    match download(session).await {
        Ok(Some(seen)) => Check::ok(NAME, seen),
        Ok(None) => Check::warning(
            NAME,
            "nothing that this box may install is published",
            "ask the vendor to publish it",
        ),
        Err(error) => {
            let told = chain(error.as_ref());
            let fix = "do what it says, or ask the vendor; `box renew --force` gets another token";
            Check::failed(NAME, told, fix)
        }
    }
}

async fn download(session: &Session) -> anyhow::Result<Option<String>> {
    let gate = Gate {
        client: ways::client()?,
        session,
    };
    for name in session.packages.iter().take(PACKAGES_MAX) {
        let Some((version, dist)) = gate.latest(name).await? else {
            continue;
        };
        let answer = gate.get(dist.tarball).await?;
        let bytes = good(answer).await?.bytes().await?;
        let hash = format!("sha512-{}", BASE64.encode(&Sha512::digest(&bytes)));
        if !dist.integrity.split_whitespace().any(|one| one == hash) {
            bail!("the tarball of {name} {version} is not the one that its document means");
        }
        let size = bytes.len();
        return Ok(Some(format!(
            "{name} {version}, {size} bytes, as its hash says"
        )));
    }
    Ok(None)
}

struct Gate<'s> {
    client: Client,
    session: &'s Session,
}

impl Gate<'_> {
    async fn get(&self, url: Url) -> anyhow::Result<Response> {
        // The token is for nobody else.
        if url.origin() != self.session.registry_url.origin() {
            bail!("the document leads away from the gate, to {url}");
        }
        let request = self.client.get(url);
        let request = request.bearer_auth(self.session.token.expose_secret());
        let answer = request.send().await;
        Ok(answer.map_err(reqwest::Error::without_url)?)
    }

    /// The latest version of a package, if it is published.
    async fn latest(&self, name: &PackageName) -> anyhow::Result<Option<(String, Dist)>> {
        let registry = self.session.registry_url.as_str().trim_end_matches('/');
        let path = name.as_str().replace('/', "%2f");
        let answer = self.get(format!("{registry}/{path}").parse()?).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let document: Value = good(answer).await?.json().await?;
        let latest = document.pointer("/dist-tags/latest");
        let Some(latest) = latest.and_then(Value::as_str) else {
            return Ok(None);
        };
        let versions = document.get("versions");
        let version = versions.and_then(|versions| versions.get(latest));
        let version = version.with_context(|| format!("{name} has no version {latest}"))?;
        let version = Version::deserialize(version)
            .with_context(|| format!("the document of {name} has no tarball with a sha512"))?;
        Ok(Some((latest.to_owned(), version.dist)))
    }
}

/// The answer, unless it is a refusal or a fault: that is told in the gate's own words.
async fn good(answer: Response) -> anyhow::Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let told: Value = answer.json().await.unwrap_or_default();
    match told.get("error").and_then(Value::as_str) {
        Some(told) => bail!("the gate answers {}: {told}", status.as_u16()),
        None => bail!("the gate answers {status}"),
    }
}
