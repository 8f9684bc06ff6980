//! The control plane, as a gate sees it over HTTP: four addresses, asked with the gate's token.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use activation_token::downloads::DownloadBatch;
use activation_token::{Key, KeyError, SNAPSHOT_BYTES_MAX};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use url::Url;

use super::FollowerError;
use super::events::{ChangeReader, EventsError};
use crate::downloads::{DownloadSink, NotTaken};

/// How long a whole answer may take, and the head of a stream.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest root key, in bytes.
const ROOT_KEY_BYTES_MAX: usize = 4 * 1024;
/// The longest refusal that is read, in bytes.
const REFUSAL_BYTES_MAX: usize = 4 * 1024;

/// A control plane and the way to ask it.
pub(crate) struct ControlPlane {
    client: Client,
    base: Url,
    authorization: HeaderValue,
}

/// Why it gave nothing of use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    #[error("no answer within {} seconds", TIMEOUT.as_secs())]
    TooSlow,
    #[error("status {0}")]
    Status(StatusCode),
    #[error("the answer is over {0} bytes")]
    TooLarge(usize),
    #[error("the answer is no text")]
    NoText,
    #[error("the root key: {0}")]
    RootKey(#[from] KeyError),
    #[error("the answer is no event stream")]
    NoStream,
    #[error("the change stream ended")]
    StreamEnded,
    #[error("the change stream is silent, without even a sign of life")]
    StreamSilent,
    #[error(transparent)]
    Events(#[from] EventsError),
}

/// A snapshot as it came, unverified.
pub(crate) struct SignedSnapshot {
    pub(crate) text: String,
    pub(crate) etag: Option<HeaderValue>,
}

impl ControlPlane {
    pub(crate) fn new(url: &Url, token: &SecretString) -> Result<Self, FollowerError> {
        let url_is_good = matches!(url.scheme(), "http" | "https") && url.query().is_none();
        if !url_is_good {
            return Err(FollowerError::Url);
        }
        let text = format!("Bearer {}", token.expose_secret());
        let mut authorization = HeaderValue::try_from(text).map_err(|_| FollowerError::Token)?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(TIMEOUT)
            .user_agent(concat!("tollgate-gate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(FollowerError::Client)?;
        Ok(Self {
            client,
            base: url.clone(),
            authorization,
        })
    }

    /// The snapshot, unless it is the one that `held` names.
    pub(crate) async fn snapshot(
        &self,
        held: Option<&HeaderValue>,
    ) -> Result<Option<SignedSnapshot>, AskError> {
        let mut request = self.get("snapshot").timeout(TIMEOUT);
        if let Some(etag) = held {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if held.is_some() => return Ok(None),
            status => return Err(AskError::Status(status)),
        }
        let etag = response.headers().get(ETAG).cloned();
        let bytes = read(response, SNAPSHOT_BYTES_MAX).await?;
        let text = String::from_utf8(bytes).map_err(|_| AskError::NoText)?;
        Ok(Some(SignedSnapshot { text, etag }))
    }

    /// The root key's public half.
    pub(crate) async fn root_key(&self) -> Result<Key, AskError> {
        let response = self.get("root-key").timeout(TIMEOUT).send().await?;
        if response.status() != StatusCode::OK {
            return Err(AskError::Status(response.status()));
        }
        let json = read(response, ROOT_KEY_BYTES_MAX).await?;
        Ok(Key::from_jwk(&json)?)
    }

    /// Listens for changes and tells each number to `hear`, until the stream breaks. One that
    /// is silent for so long counts as broken: a connection can die without a word.
    pub(crate) async fn changes(
        &self,
        silence: Duration,
        mut hear: impl FnMut(u64),
    ) -> Result<Infallible, AskError> {
        let stream = HeaderValue::from_static("text/event-stream");
        let request = self.get("changes").header(ACCEPT, &stream).send();
        let mut response = timeout(TIMEOUT, request)
            .await
            .map_err(|_| AskError::TooSlow)??;
        if response.status() != StatusCode::OK {
            return Err(AskError::Status(response.status()));
        }
        let kind = response.headers().get(CONTENT_TYPE);
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(stream.as_bytes())) {
            return Err(AskError::NoStream);
        }
        let mut reader = ChangeReader::default();
        loop {
            let chunk = timeout(silence, response.chunk())
                .await
                .map_err(|_| AskError::StreamSilent)??;
            let chunk = chunk.ok_or(AskError::StreamEnded)?;
            if let Some(number) = reader.feed(&chunk)? {
                hear(number);
            }
        }
    }

    /// Tells of downloads.
    async fn take_downloads(&self, batch: &DownloadBatch) -> Result<(), NotTaken> {
        let later = |error: AskError| NotTaken::Later(error.into());
        let request = self.client.post(self.url("downloads")).timeout(TIMEOUT);
        let request = request.header(AUTHORIZATION, &self.authorization);
        let response = request.json(batch).send().await;
        let response = response.map_err(|error| later(error.into()))?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(());
        }
        let said = match read(response, REFUSAL_BYTES_MAX).await {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(_) => String::new(),
        };
        match status {
            // What is wrong with the batch stays wrong. Anything else may be put right: the
            // token, the address, a control plane that does not know of downloads yet.
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(NotTaken::Never(format!("status {status}: {said}").into()))
            }
            status => Err(later(AskError::Status(status))),
        }
    }

    fn get(&self, what: &str) -> RequestBuilder {
        let request = self.client.get(self.url(what));
        request.header(AUTHORIZATION, &self.authorization)
    }

    fn url(&self, what: &str) -> Url {
        let mut url = self.base.clone();
        // An HTTP address always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "gate", what]);
        }
        url
    }
}

/// Tells a control plane of downloads over HTTP.
#[derive(Clone)]
pub struct DownloadReporter(Arc<ControlPlane>);

impl DownloadReporter {
    pub(crate) fn new(control_plane: Arc<ControlPlane>) -> Self {
        Self(control_plane)
    }
}

impl DownloadSink for DownloadReporter {
    async fn take(&self, batch: &DownloadBatch) -> Result<(), NotTaken> {
        self.0.take_downloads(batch).await
    }
}

async fn read(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, AskError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(AskError::TooLarge(bytes_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
