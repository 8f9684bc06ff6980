//! What the registries behind the gate are counted by. Every metric of theirs is named here.
//!
//! | metric | labels |
//! |---|---|
//! | `tollgate_gate_upstream_requests_total` | `registry`, `kind` |
//! | `tollgate_gate_upstream_failures_total` | `registry`, `kind`, `reason` |
//! | `tollgate_gate_upstream_cache_total` | `kind`, `result` |
//! | `tollgate_gate_upstream_cache_bytes` | |
//!
//! `registry` is `upstream` or `pass-through`; `kind` is `document`, `tarball` or `audit`; `result` is
//! `hit`, `stale` or `miss`.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const REQUESTS: &str = "tollgate_gate_upstream_requests_total";
const FAILURES: &str = "tollgate_gate_upstream_failures_total";
const CACHE: &str = "tollgate_gate_upstream_cache_total";
const CACHE_BYTES: &str = "tollgate_gate_upstream_cache_bytes";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Document,
    Tarball,
    Audit,
}

/// How the cache answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lookup {
    Hit,
    /// Served, while it is asked for again.
    Stale,
    Miss,
}

/// Tells the recorder what the numbers mean; to be called once it is there.
pub(crate) fn describe() {
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "Requests to the registries behind the gate."
    );
    describe_counter!(
        FAILURES,
        Unit::Count,
        "Requests to the registries behind the gate that failed, by reason."
    );
    describe_counter!(
        CACHE,
        Unit::Count,
        "Look-ups in what was kept of the registries behind the gate, by result."
    );
    describe_gauge!(
        CACHE_BYTES,
        Unit::Bytes,
        "Size of what is kept on disk of the registries behind the gate."
    );
}

pub(super) fn request(registry: &'static str, kind: Kind) {
    counter!(REQUESTS, "registry" => registry, "kind" => kind.as_str()).increment(1);
}

pub(super) fn failure(registry: &'static str, kind: Kind, reason: &'static str) {
    let kind = kind.as_str();
    counter!(FAILURES, "registry" => registry, "kind" => kind, "reason" => reason).increment(1);
}

pub(super) fn lookup(kind: Kind, result: Lookup) {
    let result = match result {
        Lookup::Hit => "hit",
        Lookup::Stale => "stale",
        Lookup::Miss => "miss",
    };
    counter!(CACHE, "kind" => kind.as_str(), "result" => result).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn cache_bytes(bytes: u64) {
    gauge!(CACHE_BYTES).set(bytes as f64);
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Tarball => "tarball",
            Self::Audit => "audit",
        }
    }
}
