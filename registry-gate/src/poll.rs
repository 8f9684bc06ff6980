//! Fetching snapshots from a control plane in another process.

use std::sync::Arc;
use std::time::Duration;

use activation_token::clock::Clock;
use activation_token::snapshot::Snapshot;
use http::header::{AUTHORIZATION, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::view::{SnapshotError, SnapshotSender};

/// The largest snapshot, in bytes.
const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Asks a control plane for its snapshot, again and again.
pub struct Poller {
    client: Client,
    url: Url,
    authorization: HeaderValue,
    every: Duration,
    clock: Arc<dyn Clock>,
    sender: SnapshotSender,
    held: Option<Held>,
}

/// The snapshot that was taken last.
struct Held {
    etag: HeaderValue,
    /// Half its life: from then on it is fetched again even if nothing changed, because only a
    /// new date keeps the gate open.
    renew_at: Timestamp,
}

/// Why a poller cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PollerError {
    /// Not an HTTP address.
    #[error("the control plane's URL must be an HTTP address without a query")]
    Url,
    /// Bytes that no header can carry.
    #[error("the gate token has characters that no header can carry")]
    Token,
    /// No HTTP client can be made.
    #[error("the HTTP client cannot start")]
    Client(#[source] reqwest::Error),
}

/// Why one attempt brought nothing.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("the answer is over {SNAPSHOT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is no snapshot")]
    Form(#[from] serde_json::Error),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl Poller {
    /// Asks `control_plane` with the gate's own token, every so often.
    pub fn new(
        control_plane: &Url,
        token: &SecretString,
        every: Duration,
        clock: Arc<dyn Clock>,
        sender: SnapshotSender,
    ) -> Result<Self, PollerError> {
        let mut url = control_plane.clone();
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
            return Err(PollerError::Url);
        }
        url.path_segments_mut()
            .map_err(|()| PollerError::Url)?
            .pop_if_empty()
            .extend(["v1", "gate", "snapshot"]);
        let text = format!("Bearer {}", token.expose_secret());
        let mut authorization = HeaderValue::try_from(text).map_err(|_| PollerError::Token)?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("tollgate-gate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(PollerError::Client)?;
        Ok(Self {
            client,
            url,
            authorization,
            every,
            clock,
            sender,
            held: None,
        })
    }

    /// Polls until it is dropped. A failure changes nothing: the gate goes on with the snapshot
    /// it has for as long as that one allows.
    pub async fn run(mut self) -> std::convert::Infallible {
        loop {
            if let Err(error) = self.poll().await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "no snapshot from the control plane");
            }
            tokio::time::sleep(self.every).await;
        }
    }

    async fn poll(&mut self) -> Result<(), PollError> {
        let now = self.clock.now();
        let mut request = self.client.get(self.url.clone());
        request = request.header(AUTHORIZATION, &self.authorization);
        if let Some(held) = self.held.as_ref().filter(|held| now < held.renew_at) {
            request = request.header(IF_NONE_MATCH, &held.etag);
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Ok(()),
            status => return Err(PollError::Status(status)),
        }
        let etag = response.headers().get(ETAG).cloned();
        let snapshot: Snapshot = serde_json::from_slice(&read(response).await?)?;
        let half_life = jiff::SignedDuration::from_secs(snapshot.max_stale_seconds.into()) / 2;
        let renew_at = snapshot.issued_at.saturating_add(half_life).unwrap_or(now);
        self.sender.publish(snapshot)?;
        self.held = etag.map(|etag| Held { etag, renew_at });
        Ok(())
    }
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, PollError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > SNAPSHOT_BYTES_MAX {
            return Err(PollError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
