//! The gate, as the operator's commands ask it: with a publisher's token, or with one that reads the
//! packages of a license.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use manifest::PackageName;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use semver::Version;
use serde::Deserialize;
use terminal::{Exit, Failure};
use tokio::time::{Instant, sleep};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one tarball may take.
const TIMEOUT: Duration = Duration::from_mins(10);
/// How often a request is sent that the gate was not well for, or that got lost.
const ATTEMPTS_MAX: u32 = 4;
/// The first wait between two attempts; it doubles.
const WAIT: Duration = Duration::from_millis(500);
/// How long a gate may take to hear of a publisher that was just made: one without a change stream
/// asks seldom.
pub(super) const NEWS_TIMEOUT: Duration = Duration::from_mins(2);
/// The same for a token that is given, which is more likely wrong than new.
pub(super) const GIVEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The short form of a package's document.
const ABBREVIATED: &str = "application/vnd.npm.install-v1+json";

/// The longest document or tarball that is read, in bytes.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// A gate and a token for it.
#[derive(Clone)]
pub(super) struct Gate {
    client: Client,
    url: Url,
    token: SecretString,
}

/// The versions of a package that a gate has, and the hash of each.
pub(super) type Versions = BTreeMap<Version, String>;

/// What became of a tarball that was sent.
pub(super) enum Sent {
    /// It is there.
    Published,
    /// The gate does not take it.
    Refused(String),
    /// The version is there, or was; in the gate's words.
    Exists(String),
}

#[derive(Deserialize)]
struct Packument {
    versions: BTreeMap<Version, Release>,
}

#[derive(Deserialize)]
struct Release {
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    #[serde(default)]
    integrity: String,
}

#[derive(Deserialize)]
struct Told {
    error: String,
    #[serde(default)]
    code: String,
}

impl Gate {
    pub(super) fn new(url: Url, token: SecretString) -> anyhow::Result<Self> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url, token })
    }

    /// Its address without a slash at the end.
    pub(super) fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Over when the gate knows the token.
    pub(super) async fn knows_token(&self, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let answer = self.send(self.request(Method::GET, "/-/whoami")).await?;
            match answer.status() {
                status if status.is_success() => return Ok(()),
                StatusCode::UNAUTHORIZED if start.elapsed() < patience => sleep(WAIT).await,
                _ => return Err(refused(answer).await.into()),
            }
        }
    }

    /// The versions of a package that are there.
    pub(super) async fn versions(&self, name: &PackageName) -> anyhow::Result<Versions> {
        let Some(answer) = self.document(name, ABBREVIATED).await? else {
            return Ok(Versions::new());
        };
        let packument: Result<Packument, _> = answer.json().await;
        let packument = packument.map_err(|_| self.no_gate())?;
        let versions = packument.versions.into_iter();
        Ok(versions
            .map(|(version, release)| (version, release.dist.integrity))
            .collect())
    }

    /// A package's whole document; none where it was never published.
    pub(super) async fn whole_document(
        &self,
        name: &PackageName,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        match self.document(name, "application/json").await? {
            Some(answer) => self.bytes(answer).await.map(Some),
            None => Ok(None),
        }
    }

    async fn document(&self, name: &PackageName, form: &str) -> anyhow::Result<Option<Response>> {
        let request = self.request(Method::GET, &format!("/{name}"));
        let answer = self.send(request.header("accept", form)).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Some(answer));
        }
        let told = told(answer).await;
        match &*told.code {
            "not_published" => Ok(None),
            _ => Err(refusal(status, &told).into()),
        }
    }

    /// Sends a publish document. What is wrong with it is told; what is wrong with the gate, or
    /// with the token, is an error.
    pub(super) async fn publish(
        &self,
        name: &PackageName,
        document: Vec<u8>,
    ) -> anyhow::Result<Sent> {
        let request = self.request(Method::PUT, &format!("/{name}"));
        let request = request
            .header("content-type", "application/json")
            .body(document);
        let answer = self.send(request).await?;
        match answer.status() {
            status if status.is_success() => Ok(Sent::Published),
            StatusCode::CONFLICT => Ok(Sent::Exists(told(answer).await.error)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(refused(answer).await.into()),
            status if status.is_client_error() => Ok(Sent::Refused(told(answer).await.error)),
            _ => Err(refused(answer).await.into()),
        }
    }

    /// Downloads a version's tarball, to be checked.
    pub(super) async fn tarball(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> anyhow::Result<Vec<u8>> {
        let path = format!("/{name}/-/{}-{version}.tgz", name.base());
        self.read(&path).await
    }

    /// Downloads what is at an address that the gate itself named.
    pub(super) async fn named(&self, url: &str) -> anyhow::Result<Vec<u8>> {
        // The token is for this gate alone.
        let path = url
            .strip_prefix(self.url())
            .filter(|path| path.starts_with('/'));
        let away = || {
            format!(
                "the gate at {} leads away from itself, to {url}",
                self.url()
            )
        };
        self.read(path.with_context(away)?).await
    }

    async fn read(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await.into());
        }
        self.bytes(answer).await
    }

    async fn bytes(&self, mut answer: Response) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.lost(error))? {
            if bytes.len() + piece.len() > BYTES_MAX {
                bail!(
                    "{} sends more than {BYTES_MAX} bytes for one file",
                    self.url()
                );
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url()))
            .bearer_auth(self.token.expose_secret())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let mut wait = WAIT;
        for _ in 1..ATTEMPTS_MAX {
            let Some(again) = request.try_clone() else {
                break;
            };
            match again.send().await {
                Ok(answer) if !answer.status().is_server_error() => return Ok(answer),
                Err(error) if error.is_connect() || error.is_builder() => {
                    return Err(self.lost(error));
                }
                _ => sleep(wait).await,
            }
            wait *= 2;
        }
        request.send().await.map_err(|error| self.lost(error))
    }

    fn lost(&self, error: reqwest::Error) -> Failure {
        let error = anyhow::Error::from(error.without_url());
        let url = self.url();
        Failure::new(
            Exit::Unreachable,
            format!("cannot reach the gate at {url}: {error:#}"),
        )
        .hint("is it up, and is that its address? `--gate URL` names another")
    }

    fn no_gate(&self) -> Failure {
        let text = format!("{} does not answer as a gate does", self.url());
        Failure::new(Exit::Unreachable, text)
    }
}

async fn refused(answer: Response) -> Failure {
    let status = answer.status();
    refusal(status, &told(answer).await)
}

fn refusal(status: StatusCode, told: &Told) -> Failure {
    let exit = match status.as_u16() {
        401 | 403 => Exit::NotAllowed,
        500.. => Exit::Unreachable,
        _ => Exit::Refused,
    };
    Failure::new(exit, format!("the gate answers {status}: {}", told.error))
}

/// The sentence that a gate says where it refuses.
async fn told(answer: Response) -> Told {
    let status = answer.status();
    answer.json().await.unwrap_or_else(|_| Told {
        error: status.to_string(),
        code: String::new(),
    })
}
