//! The gate, as a publisher sees it.

use std::collections::BTreeMap;
use std::time::Duration;

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
pub(in crate::cli) const NEWS_TIMEOUT: Duration = Duration::from_mins(2);
/// The same for a token that is given, which is more likely wrong than new.
pub(super) const GIVEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The short form of a package's document.
const ABBREVIATED: &str = "application/vnd.npm.install-v1+json";

/// A gate and a publisher's token for it.
pub(in crate::cli) struct Gate {
    client: Client,
    url: Url,
    token: SecretString,
}

/// The versions of a package that a gate has, and the hash of each.
pub(in crate::cli) type Versions = BTreeMap<Version, String>;

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
    pub(in crate::cli) fn new(url: Url, token: SecretString) -> anyhow::Result<Self> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url, token })
    }

    /// Its address without a slash at the end.
    pub(in crate::cli) fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Over when the gate knows the token.
    pub(in crate::cli) async fn knows_token(&self, patience: Duration) -> anyhow::Result<()> {
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
    pub(in crate::cli) async fn versions(&self, name: &PackageName) -> anyhow::Result<Versions> {
        let request = self.request(Method::GET, &format!("/{name}"));
        let answer = self.send(request.header("accept", ABBREVIATED)).await?;
        let status = answer.status();
        if !status.is_success() {
            let told = told(answer).await;
            return match &*told.code {
                "not_published" => Ok(Versions::new()),
                _ => Err(refusal(status, &told).into()),
            };
        }
        let packument: Result<Packument, _> = answer.json().await;
        let packument = packument.map_err(|_| self.no_gate())?;
        let versions = packument.versions.into_iter();
        Ok(versions
            .map(|(version, release)| (version, release.dist.integrity))
            .collect())
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
    pub(in crate::cli) async fn tarball(
        &self,
        name: &PackageName,
        version: &Version,
    ) -> anyhow::Result<Vec<u8>> {
        let path = format!("/{name}/-/{}-{version}.tgz", name.base());
        let answer = self.send(self.request(Method::GET, &path)).await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await.into());
        }
        let bytes = answer.bytes().await.map_err(|error| self.lost(error))?;
        Ok(bytes.into())
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
