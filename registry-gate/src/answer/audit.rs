//! Known vulnerabilities. npm asks at every install, and must not fail because of the answer.
//! The registry behind the gate knows about the packages that come from it; it is asked about
//! those that the caller may have, and about no other. Where it does not answer, nothing is known.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, HeaderValue};
use http_body_util::{BodyExt, Limited};
use manifest::PackageName;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::publish::drain;
use crate::fault::{Failure, Fault};
use crate::gate::Parts;
use crate::route::Report;

/// The longest list of packages that is read, in bytes, before and after it is unpacked.
const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long the list may take to arrive.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);

/// Members of a tree of packages that hold names.
const REQUIRES: &str = "requires";
const DEPENDENCIES: &str = "dependencies";

/// What is known about the packages of the list that the caller may have. A caller whom nobody
/// knows is told so: npm installs nevertheless, and a plain `npm audit` shows the reason.
pub(super) async fn audit(
    gate: &Parts,
    report: Report,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    if let Err(refusal) = gate.rule.caller(headers) {
        drain(body).await;
        return Err(refusal.into());
    }
    let known = match read_list(headers, body).await? {
        Some(list) => ask(gate, report, headers, list).await,
        None => None,
    };
    let known = known.unwrap_or_else(|| nothing_known(report));
    let caching = [(CACHE_CONTROL, HeaderValue::from_static("private, no-store"))];
    Ok((caching, Json(known)).into_response())
}

/// The registries behind the gate are each asked about the names that come from them, and hear of
/// no others. In a tree, which only old clients send, that is the gated scope.
async fn ask(
    gate: &Parts,
    report: Report,
    headers: &HeaderMap,
    list: Map<String, Value>,
) -> Option<Value> {
    let comes_from = |name: &str| {
        let permit = gate.rule.may_read(headers, PackageName::parse(name).ok()?);
        Some(permit.ok()?.is_gated())
    };
    let gated = |name: &str| comes_from(name) == Some(true);
    let open = |name: &str| comes_from(name) == Some(false);
    if report != Report::Bulk {
        let tree = only_tree(list, gated)?;
        let known = gate.packages.audit(true, report, &tree).await?;
        return known.get("advisories").is_some().then_some(known);
    }
    let (gated, open) = (only_versions(&list, gated), only_versions(&list, open));
    let (of_gated, of_open) = tokio::join!(
        about(gate, true, gated.as_ref()),
        about(gate, false, open.as_ref()),
    );
    Some(Value::Object(of_gated.into_iter().chain(of_open).collect()))
}

/// What is known about these versions, and about nothing else.
async fn about(gate: &Parts, gated: bool, list: Option<&Value>) -> Map<String, Value> {
    let known = match list {
        Some(list) => gate.packages.audit(gated, Report::Bulk, list).await,
        None => None,
    };
    let Some(Value::Object(mut known)) = known else {
        return Map::new();
    };
    known.retain(|name, _| list.is_some_and(|list| list.get(name).is_some()));
    known
}

/// `{ "name": ["1.0.0"] }`, without the names that the caller may not have. `None` if nothing is
/// left to ask about.
fn only_versions(list: &Map<String, Value>, may_have: impl Fn(&str) -> bool) -> Option<Value> {
    let versions = |value: &Value| Vec::<String>::deserialize(value).ok();
    let left: BTreeMap<&String, Vec<String>> = list
        .iter()
        .filter(|(name, _)| may_have(name))
        .filter_map(|(name, value)| Some((name, versions(value)?)))
        .collect();
    (!left.is_empty()).then(|| json!(left))
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

/// The list in the body. `None` for one that cannot be read.
async fn read_list(
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Option<Map<String, Value>>, Failure> {
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
    // Up to some megabytes: not on a thread that serves.
    let parse = move || {
        let bytes = if packed { unpack(&bytes)? } else { bytes };
        serde_json::from_slice(&bytes).ok()
    };
    let parsed = tokio::task::spawn_blocking(parse).await;
    parsed.map_err(|error| Fault::new("reading a list of packages", error).into())
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
