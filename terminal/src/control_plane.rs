//! The control plane, as its callers on a command line see it: JSON in and out, problems
//! (RFC 9457) as errors, writes that are safe to repeat.

use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::Exit;
use crate::output::plain;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_mins(1);
/// How often a request is sent that a server was too busy for, or that got lost.
const ATTEMPTS_MAX: u32 = 4;
/// The first wait between two attempts; it doubles.
const WAIT: Duration = Duration::from_millis(250);
/// No longer is waited, whatever a server says.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A control plane, and with which credential it is asked.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    client: Client,
    url: Url,
    token: Option<SecretString>,
}

/// Why a question has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It cannot be reached.
    #[error("cannot reach the control plane at {url}")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// It refused, or had a fault.
    #[error("{}", .0.sentence())]
    Problem(Problem),
    /// It answered something that a control plane does not answer.
    #[error("{url} answered {status} and no JSON; is it a Tollgate control plane?")]
    NoControlPlane {
        /// Where it should be.
        url: String,
        /// The status.
        status: StatusCode,
    },
}

/// What a control plane says in place of an answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// A sentence for people.
    pub detail: Option<String>,
    /// What is wrong with which field.
    #[serde(default)]
    pub errors: Vec<Value>,
    /// By which the server's log knows a fault.
    #[serde(rename = "requestId")]
    pub request_id: Option<String>,
}

impl Problem {
    /// What the sentence does not say, a line each: which field is wrong and why, the stable code,
    /// and the request's id where the server's log has more to say.
    pub fn particulars(&self) -> Vec<String> {
        let text = |error: &Value, name| {
            let text = error.get(name).and_then(Value::as_str);
            plain(text.unwrap_or("-"))
        };
        // Of a single one, the sentence tells all.
        let errors = self.errors.iter().filter(|_| self.errors.len() > 1);
        let mut lines: Vec<String> = errors
            .map(|error| format!("{}: {}", text(error, "field"), text(error, "message")))
            .collect();
        lines.push(format!("code: {}", plain(&self.code)));
        if let Some(id) = &self.request_id
            && self.status >= 500
        {
            lines.push(format!(
                "request: {} (the server's log tells more)",
                plain(id)
            ));
        }
        lines
    }

    fn sentence(&self) -> String {
        self.detail.clone().unwrap_or_else(|| self.code.clone())
    }
}

impl Unanswered {
    /// What it means for the exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::NoControlPlane { .. } => Exit::Unreachable,
            Self::Problem(problem) => match (problem.status, &*problem.code) {
                // The credential is good; there is no seat for it.
                (403, "box_limit_reached") => Exit::Refused,
                (401 | 403, _) => Exit::NotAllowed,
                (429 | 500.., _) => Exit::Unreachable,
                _ => Exit::Refused,
            },
        }
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            _ => None,
        }
    }
}

impl ControlPlane {
    /// A control plane at an address, asked with a token where one is given.
    pub fn new(url: Url, token: Option<SecretString>) -> anyhow::Result<Self> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url, token })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Unanswered> {
        self.ask(Method::GET, path, None).await
    }

    /// Writes, with a body or without. Sent again where an answer got lost, it is done once
    /// (`Idempotency-Key`).
    pub async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Unanswered> {
        self.ask(method, path, body).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Unanswered> {
        let response = self.send(method, path, body).await?;
        self.read(response).await
    }

    /// Reads a good answer's body.
    pub async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Unanswered> {
        let status = response.status();
        let text = response.bytes().await.map_err(|error| self.lost(error))?;
        // What has no content answers for what is nothing.
        let text: &[u8] = if text.is_empty() { b"null" } else { &text };
        serde_json::from_slice(text).map_err(|_| self.no_control_plane(status))
    }

    /// The answer as it came, if it is no problem.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, Unanswered> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send_request(request).await
    }

    /// Sends a request that was made with [`Self::request`].
    pub async fn send_request(&self, mut request: RequestBuilder) -> Result<Response, Unanswered> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let mut wait = WAIT;
        for attempt in 1.. {
            let Some(again) = request.try_clone() else {
                break;
            };
            let last = attempt == ATTEMPTS_MAX;
            match again.send().await {
                Ok(response) if last || !is_busy(response.status()) => {
                    return self.unless_problem(response).await;
                }
                Ok(response) => {
                    wait = retry_after(&response).unwrap_or(wait).min(WAIT_MAX);
                }
                // What was never sent need not wait for long.
                Err(error) if last || error.is_connect() => return Err(self.lost(error)),
                Err(_) => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
        let response = request.send().await.map_err(|error| self.lost(error))?;
        self.unless_problem(response).await
    }

    /// A request, for bodies that are no JSON. A write is done once, however often it is sent
    /// (`Idempotency-Key`).
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let key = (method != Method::GET).then(idempotency_key).flatten();
        let request = self.client.request(method, format!("{}{path}", self.url()));
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    }

    async fn unless_problem(&self, response: Response) -> Result<Response, Unanswered> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let is_problem = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        let text = response.bytes().await.map_err(|error| self.lost(error))?;
        match serde_json::from_slice(&text) {
            Ok(problem) if is_problem => Err(Unanswered::Problem(problem)),
            _ => Err(self.no_control_plane(status)),
        }
    }

    fn lost(&self, source: reqwest::Error) -> Unanswered {
        Unanswered::Unreachable {
            url: self.url().to_owned(),
            // The address stands in the sentence already.
            source: source.without_url(),
        }
    }

    fn no_control_plane(&self, status: StatusCode) -> Unanswered {
        Unanswered::NoControlPlane {
            url: self.url().to_owned(),
            status,
        }
    }
}

/// The server's time when it answered, to the second.
pub fn date(response: &Response) -> Option<Timestamp> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(date.timestamp())
}

/// Whether the same request may be taken a little later.
fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// Names one write, however often it is sent.
#[expect(
    clippy::disallowed_methods,
    reason = "the one random value of a command line that is no secret"
)]
fn idempotency_key() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(HEXLOWER.encode(&random))
}
