//! What is told about requests: figures for Prometheus, and a line each for the log where that is
//! wanted. Metrics are named where they are told: those of answers and of the snapshot here, those of
//! registries behind the gate in [`figures`], those of downloads in [`crate::downloads`].
//!
//! The figures go to the recorder of the process, whoever made it; without one they go nowhere.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use axum::body::HttpBody as _;
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use metrics::{Counter, Unit, counter, describe_counter, describe_gauge, gauge};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::access::Rule;
use crate::fault::{self, REQUEST_ID};
use crate::refusal::Code;
use crate::route::{Kind, Route};
use crate::upstream::figures;

/// Answers, by kind of route and class of status.
const ANSWERS: &str = "tollgate_gate_answers_total";
/// Refusals, by code.
const REFUSALS: &str = "tollgate_gate_refusals_total";
/// Downloads by boxes.
const DOWNLOADS: &str = "tollgate_gate_downloads_total";
/// Bytes of tarballs, to whomever they were sent.
const DOWNLOAD_BYTES: &str = "tollgate_gate_download_bytes_total";
/// The number of the snapshot in force.
const SNAPSHOT_NUMBER: &str = "tollgate_gate_snapshot_number";
/// How old it is.
const SNAPSHOT_AGE: &str = "tollgate_gate_snapshot_age_seconds";
/// The age at which it no longer counts.
const SNAPSHOT_MAX_STALE: &str = "tollgate_gate_snapshot_max_stale_seconds";
/// How long ago the control plane answered.
const SILENCE: &str = "tollgate_gate_control_plane_silence_seconds";
/// Tokens that were verified and are kept.
const TOKENS_KEPT: &str = "tollgate_gate_token_cache_entries";

/// The classes of status that answers have.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Where the gate shows its figures, and to whom.
#[derive(Clone)]
pub struct MetricsPage {
    /// The bearer token that opens the page.
    pub token: SecretString,
    /// Writes what the recorder of this process holds.
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
}

impl MetricsPage {
    /// Whether this is the token. Takes the same time for all that are not.
    pub(crate) fn opens(&self, token: &str) -> bool {
        Sha256::digest(token) == Sha256::digest(self.token.expose_secret())
    }
}

impl fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsPage").finish_non_exhaustive()
    }
}

/// Counts answers. Its counters are looked up once, and not at each request.
pub(crate) struct Tally {
    answers: [[Counter; CLASSES.len()]; Kind::ALL.len()],
    /// One for each code that was given so far.
    refusals: RwLock<HashMap<&'static str, Counter>>,
    downloads: Counter,
    download_bytes: Counter,
}

impl Tally {
    pub(crate) fn new() -> Self {
        describe();
        figures::describe();
        let of_kind = |kind: Kind| {
            CLASSES.map(|status| counter!(ANSWERS, "route" => kind.as_str(), "status" => status))
        };
        Self {
            answers: Kind::ALL.map(of_kind),
            refusals: RwLock::default(),
            downloads: counter!(DOWNLOADS),
            download_bytes: counter!(DOWNLOAD_BYTES),
        }
    }

    /// Counts an answer.
    pub(crate) fn count(&self, kind: Kind, method: &Method, response: &Response) {
        let status = response.status();
        let class = usize::from(status.as_u16() / 100).saturating_sub(2);
        let counters = self.answers.get(kind as usize);
        if let Some(counter) = counters.and_then(|counters| counters.get(class)) {
            counter.increment(1);
        }
        if status.is_success() {
            if kind == Kind::Tarball && *method == Method::GET {
                self.download_bytes.increment(length(response));
            }
        } else if let Some(Code(code)) = response.extensions().get() {
            self.refusal(code);
        }
    }

    /// Counts a download.
    pub(crate) fn download(&self) {
        self.downloads.increment(1);
    }

    fn refusal(&self, code: &'static str) {
        let known = self.refusals.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(code) {
            return counter.increment(1);
        }
        drop(known);
        let counter = counter!(REFUSALS, "code" => code);
        counter.increment(1);
        let known = self.refusals.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.insert(code, counter);
    }
}

fn describe() {
    describe_counter!(
        ANSWERS,
        Unit::Count,
        "Answers of the gate, by kind of route and class of status."
    );
    describe_counter!(REFUSALS, Unit::Count, "Refusals of the gate, by code.");
    describe_counter!(
        DOWNLOADS,
        Unit::Count,
        "Tarballs that the gate began to send to boxes."
    );
    describe_counter!(
        DOWNLOAD_BYTES,
        Unit::Bytes,
        "Bytes of tarballs, to whomever they were sent, whole or in part."
    );
    describe_gauge!(
        SNAPSHOT_NUMBER,
        "Number of the snapshot that the gate decides by; 0 before the first."
    );
    describe_gauge!(SNAPSHOT_AGE, Unit::Seconds, "Age of that snapshot.");
    describe_gauge!(
        SNAPSHOT_MAX_STALE,
        Unit::Seconds,
        "Age at which that snapshot no longer counts and the gate refuses everything."
    );
    describe_gauge!(
        SILENCE,
        Unit::Seconds,
        "Time since the control plane last answered the gate."
    );
    describe_gauge!(
        TOKENS_KEPT,
        Unit::Count,
        "Tokens that were verified and are kept."
    );
}

/// What the gate last heard from its control plane. All in seconds; 0 is never.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    heard_at: AtomicI64,
    number: AtomicU64,
    issued_at: AtomicI64,
    fresh_until: AtomicI64,
}

impl Pulse {
    /// The control plane has answered.
    pub(crate) fn heard(&self, now: Timestamp) {
        self.heard_at.store(now.as_second(), Ordering::Relaxed);
    }

    /// A snapshot was put in force.
    pub(crate) fn took(&self, number: u64, issued_at: Timestamp, fresh_until: Timestamp) {
        self.number.store(number, Ordering::Relaxed);
        let issued_at = issued_at.as_second();
        self.issued_at.store(issued_at, Ordering::Relaxed);
        let fresh_until = fresh_until.as_second();
        self.fresh_until.store(fresh_until, Ordering::Relaxed);
    }

    /// Tells the recorder how things stand now.
    pub(crate) fn tell(&self, now: Timestamp, rule: &Rule) {
        let number = self.number.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let (number, kept) = (number as f64, rule.tokens_kept() as f64);
        gauge!(SNAPSHOT_NUMBER).set(number);
        gauge!(TOKENS_KEPT).set(kept);
        let issued_at = self.issued_at.load(Ordering::Relaxed);
        if issued_at != 0 {
            let fresh_until = self.fresh_until.load(Ordering::Relaxed);
            gauge!(SNAPSHOT_AGE).set(seconds(now.as_second() - issued_at));
            gauge!(SNAPSHOT_MAX_STALE).set(seconds(fresh_until - issued_at));
        }
        let heard_at = self.heard_at.load(Ordering::Relaxed);
        if heard_at != 0 {
            gauge!(SILENCE).set(seconds(now.as_second() - heard_at));
        }
    }
}

fn seconds(count: i64) -> f64 {
    SignedDuration::from_secs(count).as_secs_f64()
}

/// A request that will have a line in the log.
pub(crate) struct Noted {
    started: Instant,
    package: Option<String>,
    version: Option<String>,
}

impl Noted {
    /// `None` unless somebody wants to read such lines.
    pub(crate) fn begin(route: Option<&Route>) -> Option<Self> {
        if !tracing::enabled!(target: "registry_gate::requests", tracing::Level::DEBUG) {
            return None;
        }
        let (package, version) = route.map(Route::subject).unwrap_or_default();
        Some(Self {
            started: Instant::now(),
            package: package.map(ToString::to_string),
            version: version.map(ToString::to_string),
        })
    }

    /// Writes the line, and gives the answer an id to find it by.
    pub(crate) fn end(self, kind: Kind, rule: &Rule, asked: &HeaderMap, response: &mut Response) {
        let id = response.headers_mut().entry(REQUEST_ID);
        let id = id.or_insert_with(|| fault::request_id(asked)).clone();
        let code = response.extensions().get().map(|Code(code)| *code);
        // Asked once more, so that nobody has to carry it along who does not write lines.
        let caller = rule.caller(asked).ok();
        let caller = caller.as_ref();
        tracing::debug!(
            target: "registry_gate::requests",
            request_id = id.to_str().unwrap_or_default(),
            route = kind.as_str(),
            package = self.package,
            version = self.version,
            status = response.status().as_u16(),
            code,
            customer = caller.and_then(|caller| caller.customer()),
            license = caller.and_then(|caller| caller.license()),
            publisher = caller.and_then(|caller| caller.publisher()),
            microseconds = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            bytes = length(response),
            "answered"
        );
    }
}

/// How long the body is, as far as the head tells.
fn length(response: &Response) -> u64 {
    if response.status() == StatusCode::NOT_MODIFIED {
        return 0;
    }
    response.body().size_hint().exact().unwrap_or_else(|| {
        let told = response.headers().get(CONTENT_LENGTH);
        let told = told.and_then(|value| value.to_str().ok());
        told.and_then(|text| text.parse().ok()).unwrap_or_default()
    })
}
