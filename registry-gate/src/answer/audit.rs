//! Known vulnerabilities. npm asks at every install, and must not fail because of the answer: it
//! is never an error. The registry behind the gate knows about the packages that come from it; it
//! is asked about those that the caller may have, and about no other. Where it does not answer,
//! nothing is known.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, HeaderValue};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::publish::drain;
use crate::fault::{Failure, Fault};
use crate::gate::Parts;
use crate::notices::{NOT_KEPT, NPM_NOTICE};
use crate::route::Report;

/// The longest list of packages that is read, in bytes, before and after it is unpacked.
const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long the list may take to arrive.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);

/// Members of a tree of packages that hold names.
const REQUIRES: &str = "requires";
const DEPENDENCIES: &str = "dependencies";

/// What is known about the packages of the list that the caller may have. Who may have none is
/// told of none, and why, in a header that npm prints.
pub(super) async fn audit(
    gate: &Parts,
    report: Report,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let known = match gate.rule.caller(headers) {
        Ok(_) => read_list(gate, report, headers, body).await,
        Err(refusal) => {
            drain(body).await;
            Err(refusal.into())
        }
    };
    let (list, refused) = match known {
        Ok(list) => (list, None),
        Err(Failure::Refusal(refusal)) => (None, Some(refusal)),
        Err(fault) => return Err(fault),
    };
    let known = match list {
        Some(list) => ask(gate, report, list).await,
        None => None,
    };
    let known = known.unwrap_or_else(|| nothing_known(report));
    let mut response = ([(CACHE_CONTROL, NOT_KEPT)], Json(known)).into_response();
    let why = refused.and_then(|refusal| HeaderValue::try_from(refusal.to_string()).ok());
    let why = why.map(|why| (NPM_NOTICE, why));
    response.headers_mut().extend(why);
    Ok(response)
}

/// What a registry is asked about.
enum List {
    /// Names and versions: of the gated scope, and all others.
    Versions(Versions, Versions),
    /// A tree, which only old clients send: of the gated scope alone.
    Tree(Value),
}

type Versions = BTreeMap<String, BTreeSet<String>>;

impl List {
    /// What is left of a list without the names that the caller may not have. `origin` tells
    /// whether a name is of the gated scope, if the caller may have it.
    fn narrow(
        report: Report,
        list: Map<String, Value>,
        origin: &dyn Fn(&str) -> Option<bool>,
    ) -> Option<Self> {
        if report != Report::Bulk {
            return only_tree(list, |name| origin(name) == Some(true)).map(Self::Tree);
        }
        let (mut gated, mut open) = (Versions::new(), Versions::new());
        for (name, versions) in list {
            if let Some(is_gated) = origin(&name)
                && let Ok(versions) = BTreeSet::deserialize(versions)
            {
                let part = if is_gated { &mut gated } else { &mut open };
                part.insert(name, versions);
            }
        }
        Some(Self::Versions(gated, open))
    }
}

/// The registries behind the gate are each asked about the names that come from them, and hear of
/// no others.
async fn ask(gate: &Parts, report: Report, list: List) -> Option<Value> {
    match list {
        List::Tree(tree) => {
            let known = gate.packages.audit(true, report, &tree).await?;
            known.get("advisories").is_some().then_some(known)
        }
        List::Versions(gated, open) => {
            let (of_gated, of_open) =
                tokio::join!(about(gate, true, &gated), about(gate, false, &open));
            Some(Value::Object(of_gated.into_iter().chain(of_open).collect()))
        }
    }
}

/// What is known about these versions, and about nothing else.
async fn about(gate: &Parts, gated: bool, list: &Versions) -> Map<String, Value> {
    if list.is_empty() {
        return Map::new();
    }
    let known = gate.packages.audit(gated, Report::Bulk, &json!(list)).await;
    let Some(Value::Object(mut known)) = known else {
        return Map::new();
    };
    known.retain(|name, _| list.contains_key(name));
    known
}

/// A tree as in a lockfile, without the names that the caller may not have, and without all that
/// the client tells about itself.
fn only_tree(mut list: Map<String, Value>, may_have: impl Fn(&str) -> bool) -> Option<Value> {
    let mut take = |member: &str| match list.remove(member) {
        Some(Value::Object(names)) => names,
        _ => Map::new(),
    };
    let (mut requires, mut dependencies) = (take(REQUIRES), take(DEPENDENCIES));
    requires.retain(|name, _| may_have(name));
    let mut left = vec![&mut dependencies];
    while let Some(level) = left.pop() {
        level.retain(|name, value| may_have(name) && value.is_object());
        for package in level.values_mut().filter_map(Value::as_object_mut) {
            for (member, names) in package.iter_mut() {
                match (member.as_str(), names) {
                    (REQUIRES, Value::Object(names)) => names.retain(|name, _| may_have(name)),
                    (DEPENDENCIES, Value::Object(names)) => left.push(names),
                    _ => {}
                }
            }
        }
    }
    (!dependencies.is_empty()).then(|| {
        json!({
            "name": "box",
            "version": "0.0.0",
            REQUIRES: requires,
            DEPENDENCIES: dependencies,
            "install": [],
            "remove": [],
            "metadata": {},
        })
    })
}

/// What is to be asked about of the list in the body. `None` for one that cannot be read.
async fn read_list(
    gate: &Parts,
    report: Report,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Option<List>, Failure> {
    let packed = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => {
            drain(body).await;
            return Ok(None);
        }
    };
    let read = Limited::new(&mut body, LIST_BYTES_MAX).collect();
    let Ok(Ok(bytes)) = tokio::time::timeout(LIST_TIMEOUT, read).await else {
        drain(body).await;
        return Ok(None);
    };
    let bytes = bytes.to_bytes();
    // A few packed bytes can take a thousand times their room: one at a time, until it is narrow.
    let turn = Arc::clone(&gate.audit_turn).acquire_owned().await;
    let turn = turn.map_err(|error| Fault::new("waiting for a turn", error))?;
    // Up to some megabytes: not on a thread that serves. It has the turn until its end, even if
    // the client does not wait for it.
    let parse = move || {
        let unpacked = if packed { unpack(&bytes) } else { Some(bytes) };
        let list = unpacked.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        (list, turn)
    };
    let parsed = tokio::task::spawn_blocking(parse).await;
    let (parsed, _turn) =
        parsed.map_err(|error| Fault::new("reading a list of packages", error))?;
    let narrow = |list| {
        gate.rule
            .sort(headers, |origin| List::narrow(report, list, origin))
    };
    Ok(parsed.map(narrow).transpose()?.flatten())
}

fn unpack(bytes: &[u8]) -> Option<Bytes> {
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(LIST_BYTES_MAX as u64 + 1);
    reader.read_to_end(&mut unpacked).ok()?;
    (unpacked.len() <= LIST_BYTES_MAX).then(|| unpacked.into())
}

/// The answer that names no vulnerability, in the shape that the client expects.
fn nothing_known(report: Report) -> Value {
    match report {
        Report::Bulk => json!({}),
        Report::Quick | Report::Full => json!({
            "actions": [],
            "advisories": {},
            "muted": [],
            "metadata": {
                "vulnerabilities": { "info": 0, "low": 0, "moderate": 0, "high": 0, "critical": 0 },
                "dependencies": 0,
                "devDependencies": 0,
                "optionalDependencies": 0,
                "totalDependencies": 0,
            },
        }),
    }
}
