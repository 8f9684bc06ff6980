//! One write: begin, see whether the request was answered before, do it, keep the answer, commit.
//!
//! A request may carry an `Idempotency-Key`. The same key with the same request gets the first
//! answer again for a day, secrets included; with another request it is refused, and while the
//! first request still runs as well. The answer is kept in the transaction of the change itself,
//! sealed under a key that takes the idempotency key to make.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body as RequestBody, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::App;
use super::json::{self, private};
use super::problem::Problem;
use crate::domain::Requester;
use crate::operations::{ANSWERS_KEPT, Noted};
use crate::seal::Sealer;
use crate::store::{Recorded, StoreError, Tx, kept_answers};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_BYTES_MAX: usize = 255;

/// A request that changes something: its body, and its idempotency key if it has one.
pub(super) struct Command<T> {
    pub(super) body: T,
    pub(super) key: Option<IdempotencyKey>,
}

/// A key of the caller's choice, and what it was sent with.
pub(super) struct IdempotencyKey {
    key: String,
    request_digest: String,
}

/// Why a handler stops early: a problem, or an answer that was given before.
pub(super) enum Halt {
    Problem(Problem),
    Replay(Response),
}

impl<P: Into<Problem>> From<P> for Halt {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

impl IntoResponse for Halt {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Replay(response) => response,
        }
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Command<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        // A request whose members are all optional may come without a body.
        let may_be_empty = !request.headers().contains_key(header::CONTENT_TYPE);
        Self::read(request, may_be_empty).await
    }
}

/// A request whose body may be empty whatever its type is said to be.
pub(super) struct MaybeEmpty<T>(pub(super) Command<T>);

impl<T: DeserializeOwned> FromRequest<App> for MaybeEmpty<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        Command::read(request, true).await.map(Self)
    }
}

impl<T: DeserializeOwned> Command<T> {
    async fn read(request: Request, may_be_empty: bool) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, super::BODY_BYTES_MAX).await?;
        let key = IdempotencyKey::of(&parts, &bytes)?;
        let body = if bytes.is_empty() && may_be_empty {
            json::parse(b"{}")?
        } else {
            json::require(&parts.headers)?;
            json::parse(&bytes)?
        };
        Ok(Self { body, key })
    }
}

/// The whole body, unless it is over the limit.
pub(super) async fn read(body: RequestBody, bytes_max: usize) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, bytes_max)
        .await
        .map_err(|error| {
            let too_large = std::error::Error::source(&error)
                .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
            if too_large {
                let detail = format!("a body has at most {bytes_max} bytes here");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
            } else {
                let detail = "the body did not arrive whole";
                Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", detail)
            }
        })
}

impl IdempotencyKey {
    /// Reads the header: a string in quotes as the draft has it, or the bare text.
    pub(super) fn of(
        parts: &axum::http::request::Parts,
        body: &[u8],
    ) -> Result<Option<Self>, Problem> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default();
        let key = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(text);
        let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !key.bytes().all(plain) {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_idempotency_key",
                format!("`Idempotency-Key` has 1 to {KEY_BYTES_MAX} visible ASCII characters"),
            ));
        }
        let target = parts
            .uri
            .path_and_query()
            .map_or("", |target| target.as_str());
        let digest = Sha256::new()
            .chain_update(parts.method.as_str())
            .chain_update(b"\n")
            .chain_update(target)
            .chain_update(b"\n")
            .chain_update(body)
            .finalize();
        Ok(Some(Self {
            key: key.to_owned(),
            request_digest: HEXLOWER.encode(&digest),
        }))
    }
}

/// A write that has begun.
pub(super) struct Write {
    pub(super) tx: Tx,
    pub(super) by: Requester,
    app: App,
    keeping: Option<Keeping>,
}

/// Where the answer will be kept.
struct Keeping {
    key_digest: String,
    request_digest: String,
    sealer: Sealer,
    _running: Running,
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    body: String,
}

impl Write {
    /// Begins. `scope` tells callers apart, so that one's keys never meet another's.
    pub(super) async fn begin(
        app: &App,
        by: Requester,
        scope: &str,
        key: Option<IdempotencyKey>,
    ) -> Result<Self, Halt> {
        let keeping = match key {
            Some(key) => Some(Keeping::new(app, scope, key)?),
            None => None,
        };
        let mut write = Self {
            tx: app.store.begin().await?,
            by,
            app: app.clone(),
            keeping,
        };
        if let Some(keeping) = &write.keeping {
            let now = app.clock.now();
            let kept_after = now.saturating_sub(ANSWERS_KEPT).unwrap_or(now);
            let kept = kept_answers::find(write.tx.link(), &keeping.key_digest, kept_after).await?;
            if let Some(kept) = kept {
                let halt = keeping.answered(&kept);
                // The first request may stand in this very transaction, not yet committed.
                write.tx.settled().await?;
                return Err(halt);
            }
        }
        Ok(write)
    }

    /// Ends: keeps the answer, commits, and answers.
    pub(super) async fn answer<T, V: Serialize>(
        self,
        status: StatusCode,
        recorded: Recorded<T>,
        view: impl FnOnce(&T) -> V,
    ) -> Result<Response, Halt> {
        let body = serde_json::to_string(&view(recorded.value())).map_err(Problem::fault)?;
        self.end(status, recorded, body).await
    }

    /// Ends with nothing to tell.
    pub(super) async fn done<T>(self, recorded: Recorded<T>) -> Result<Response, Halt> {
        self.end(StatusCode::NO_CONTENT, recorded, String::new())
            .await
    }

    /// Ends what is bookkeeping unless somebody is to be told of it.
    pub(super) async fn answer_noted<T, V: Serialize>(
        mut self,
        status: StatusCode,
        noted: Noted<T>,
        view: impl FnOnce(&T) -> V,
    ) -> Result<Response, Halt> {
        let body = serde_json::to_string(&view(&noted.value)).map_err(Problem::fault)?;
        if let Some(recorded) = noted.told {
            return self.end(status, recorded, body).await;
        }
        self.keep(status, &body).await?;
        self.tx.commit_notes().await?;
        Ok(private(status, body))
    }

    async fn end<T>(
        mut self,
        status: StatusCode,
        recorded: Recorded<T>,
        body: String,
    ) -> Result<Response, Halt> {
        self.keep(status, &body).await?;
        self.tx.commit(recorded).await?;
        Ok(private(status, body))
    }

    /// Keeps the answer where that is asked for.
    async fn keep(&mut self, status: StatusCode, body: &str) -> Result<(), Halt> {
        if let Some(keeping) = &self.keeping {
            let kept = Kept {
                status: status.as_u16(),
                body: body.to_owned(),
            };
            let kept = serde_json::to_vec(&kept).map_err(Problem::fault)?;
            let sealed = keeping
                .sealer
                .seal(&keeping.key_digest, &kept, &*self.app.entropy)
                .map_err(Problem::fault)?;
            let now = self.app.clock.now();
            let (key, request) = (&keeping.key_digest, &keeping.request_digest);
            kept_answers::put(&mut self.tx, key, request, &sealed, now).await?;
        }
        Ok(())
    }
}

impl Keeping {
    fn new(app: &App, scope: &str, key: IdempotencyKey) -> Result<Self, Problem> {
        let text = format!("{scope}\n{}", key.key);
        let base = app.hash_key.derive("idempotency");
        let key_digest = HEXLOWER.encode(&base.mac(text.as_bytes()));
        let running = Running::begin(&app.running, &key_digest).ok_or_else(|| {
            let detail = "a request with this `Idempotency-Key` still runs; send it again later";
            Problem::new(StatusCode::CONFLICT, "idempotency_key_in_use", detail)
        })?;
        Ok(Self {
            sealer: Sealer::new(&base, &text),
            key_digest,
            request_digest: key.request_digest,
            _running: running,
        })
    }

    /// What was answered, or that the key is taken.
    fn answered(&self, kept: &kept_answers::KeptAnswer) -> Halt {
        if kept.request_digest() != self.request_digest {
            let detail = "this `Idempotency-Key` was sent with another request; choose a new one";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Problem::new(status, "idempotency_key_reused", detail).into();
        }
        let opened = self.sealer.open(&self.key_digest, kept.sealed());
        let kept: Option<Kept> = opened.and_then(|json| serde_json::from_slice(&json).ok());
        let status = kept
            .as_ref()
            .and_then(|kept| StatusCode::from_u16(kept.status).ok());
        let (Some(kept), Some(status)) = (kept, status) else {
            return Problem::fault(StoreError::Inconsistent {
                table: "kept_answers",
                row: self.key_digest.clone(),
                column: "answer",
            })
            .into();
        };
        let mut response = private(status, kept.body);
        let headers = response.headers_mut();
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Halt::Replay(response)
    }
}

/// The idempotency keys of requests that are running.
pub(super) type RunningKeys = Arc<Mutex<HashSet<String>>>;

/// Holds an idempotency key until its request has ended.
struct Running {
    keys: RunningKeys,
    key: String,
}

impl Running {
    fn begin(keys: &RunningKeys, key: &str) -> Option<Self> {
        let mut running = keys.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(key.to_owned()).then(|| Self {
            keys: Arc::clone(keys),
            key: key.to_owned(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.key);
    }
}
