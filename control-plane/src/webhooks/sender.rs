//! One attempt: a request to an address that somebody named, which is trusted with nothing.
//!
//! Names are resolved here and every address is looked at before a connection is made, so that a
//! name cannot lead elsewhere after it was checked. No proxy, no redirects, no cookies; an answer
//! is read only so far.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activation_token::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use registry_gate::reach::{Reach, Resolver};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response};

use super::address;
use crate::domain::webhook::Answer;
use crate::operations::Message;

/// How long an attempt may take in all. A claim lasts longer.
pub const TIMEOUT: Duration = Duration::from_secs(20);
/// How much of an answer is read.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// How much of it is kept, and of an error's text.
const KEPT_BYTES_MAX: usize = 500;

/// Sends messages.
pub struct Sender {
    client: Client,
    clock: Arc<dyn Clock>,
    reach: Reach,
    timeout: Duration,
}

impl Sender {
    /// Sends as far as `reach`, and waits for so long.
    pub fn new(
        reach: Reach,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .https_only(reach == Reach::Public)
            .dns_resolver(Arc::new(Resolver(reach)))
            .timeout(timeout)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            clock,
            reach,
            timeout,
        })
    }

    /// Sends a message and returns what was answered.
    pub async fn send(&self, message: &Message) -> Answer {
        let started = Instant::now();
        let answer = self.attempt(message).await;
        let duration_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        Answer {
            duration_ms,
            ..answer
        }
    }

    async fn attempt(&self, message: &Message) -> Answer {
        // An address without a name is never resolved, and the rule may be another one today.
        if let Some(error) = address::error(self.reach, &message.url) {
            return no_answer(format!("the address {error}"));
        }
        let request = self
            .client
            .post(message.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", message.timestamp)
            .header("webhook-signature", &message.signature)
            .body(message.body.clone());
        match request.send().await {
            Ok(response) => self.read(response).await,
            Err(error) => no_answer(self.told(&error)),
        }
    }

    async fn read(&self, mut response: Response) -> Answer {
        let mut answer = Answer {
            status: Some(response.status().as_u16()),
            retry_after: retry_after(response.headers(), self.clock.now()),
            ..Answer::default()
        };
        let mut text = Vec::new();
        // The status counts, whatever becomes of the rest.
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend_from_slice(&chunk);
            if text.len() > RESPONSE_BYTES_MAX {
                break;
            }
        }
        if !answer.is_success() && !text.is_empty() {
            answer.response = Some(kept(&String::from_utf8_lossy(&text)));
        }
        answer
    }

    /// Why there was no answer, without the address, which may hold a secret.
    fn told(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {:?}", self.timeout);
        }
        let mut cause: &dyn Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let cause = kept(&cause.to_string());
        if error.is_connect() {
            format!("no connection: {cause}")
        } else {
            format!("no answer: {cause}")
        }
    }
}

fn no_answer(error: String) -> Answer {
    Answer {
        error: Some(error),
        ..Answer::default()
    }
}

/// The beginning of a text, as one line that any database takes.
fn kept(text: &str) -> String {
    let end = text.floor_char_boundary(KEPT_BYTES_MAX);
    let text = text.get(..end).unwrap_or_default();
    text.replace(char::is_control, " ")
}

/// How much patience is asked for: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(SignedDuration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    Some(date.ok()?.duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_asked_for_in_seconds_or_by_date() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            ("Sat, 21 Nov 2026 12:01:30 GMT", Some(90)),
            ("Sat, 21 Nov 2026 11:59:00 GMT", Some(-60)),
            ("-1", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let asked = retry_after(&headers, now).map(|asked| asked.as_secs());
            assert_eq!(asked, seconds, "{text}");
        }
    }

    #[test]
    fn what_is_kept_of_an_answer_is_short_and_plain() {
        assert_eq!(kept("a\0b\nc"), "a b c");
        let long = kept(&"ä".repeat(400));
        assert_eq!(long, "ä".repeat(250));
    }
}
