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

/// What is told of a write that the server is at work on still, under the same key.
const IN_USE: &str = "idempotency_key_in_use";
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
                (429 | 500.., _) | (_, IN_USE) => Exit::Unreachable,
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
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request).await
    }

    /// Sends a request that was made with [`Self::request`], and reads the answer: once more where
    /// it broke off.
    pub async fn answer<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Unanswered> {
        let again = request.try_clone();
        let response = self.send_request(request).await?;
        match (self.read(response).await, again) {
            (Err(Unanswered::Unreachable { .. }), Some(again)) => {
                self.read(self.send_request(again).await?).await
            }
            (answer, _) => answer,
        }
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
                    match self.unless_problem(response).await {
                        // It is at work on what was sent before.
                        Err(Unanswered::Problem(problem)) if !last && problem.code == IN_USE => {}
                        answered => return answered,
                    }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use serde_json::json;

    use super::*;

    const AT_WORK: &str = "HTTP/1.1 409 Conflict\r\nContent-Type: application/problem+json\r\n\
        Connection: close\r\n\r\n\
        {\"status\":409,\"code\":\"idempotency_key_in_use\",\"title\":\"Conflict\",\"detail\":\"at work\"}";
    const BROKEN_OFF: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"a\"";
    const DONE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"a\":1}";

    /// A server that gives these answers in turn, and tells the idempotency keys that it saw.
    fn server(answers: &'static [&'static str]) -> (Url, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            let answer = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
                let mut lines = request.lines();
                let key = lines.find_map(|line| line.strip_prefix("idempotency-key: "));
                key.unwrap().to_owned()
            };
            answers.iter().map(answer).collect()
        });
        (url.parse().unwrap(), serving)
    }

    async fn write(answers: &'static [&'static str]) -> (Result<Value, Unanswered>, Vec<String>) {
        let (url, serving) = server(answers);
        let control_plane = ControlPlane::new(url, None).unwrap();
        let answer = control_plane.write(Method::POST, "/v1/licenses", None);
        (answer.await, serving.join().unwrap())
    }

    #[tokio::test]
    async fn a_write_that_is_at_work_or_broke_off_is_asked_for_again_under_its_key() {
        for answers in [&[AT_WORK, DONE][..], &[BROKEN_OFF, DONE]] {
            let (answer, keys) = write(answers).await;
            assert_eq!(answer.unwrap(), json!({ "a": 1 }));
            assert_eq!(keys[0], keys[1]);
        }
        let (answer, _) = write(&[AT_WORK; 4]).await;
        assert_eq!(answer.unwrap_err().exit(), Exit::Unreachable);
    }
}
