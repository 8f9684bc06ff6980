//! Searching: among the names that the caller may have, and nothing is told of any other.

use std::collections::BTreeSet;

use axum::Json;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::access::{Caller, Permit};
use crate::fault::Failure;
use crate::gate::Parts;
use crate::notices::NOT_KEPT;
use crate::packument::{Members, Package};
use crate::route::Selector;
use crate::tag::Tag;

/// The most packages of one answer, as npm has it, and how many there are if nobody says.
const SIZE_MAX: usize = 250;
const SIZE: usize = 20;
/// How many are looked up at a time.
const LOOKUPS_AT_ONCE: usize = 8;
/// The members of a result that come from the latest release as they stand there.
const MEMBERS: [&str; 5] = ["version", "description", "keywords", "author", "license"];

/// What is looked for. All else that clients send, such as the weights of scores, is passed over.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    /// All of them must stand in a name.
    words: Vec<String>,
    from: usize,
    size: usize,
}

impl Query {
    fn read(query: &str) -> Self {
        let mut read = Self {
            words: Vec::new(),
            from: 0,
            size: SIZE,
        };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "text" => {
                    let words = value.split_whitespace();
                    read.words = words.map(str::to_ascii_lowercase).collect();
                }
                "from" => read.from = value.parse().unwrap_or(0),
                "size" => read.size = value.parse().unwrap_or(SIZE).min(SIZE_MAX),
                _ => {}
            }
        }
        read
    }

    fn fits(&self, name: &str) -> bool {
        self.words.iter().all(|word| name.contains(&**word))
    }
}

/// One result.
#[derive(Serialize)]
struct Hit {
    package: serde_json::Map<String, serde_json::Value>,
    score: serde_json::Value,
    #[serde(rename = "searchScore")]
    search_score: u8,
}

/// The packages that the caller may read and whose names have all the words, in the order of
/// their names. What was not published is left out; `total` counts it, because a page costs no
/// more than its own look-ups.
pub(super) async fn search(
    gate: &Parts,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let query = Query::read(query.unwrap_or_default());
    let fits = |name: &str| query.fits(name);
    let published = match gate.rule.caller(headers)? {
        Caller::Box(_) => BTreeSet::new(),
        Caller::Publisher(_) => {
            gate.packages
                .hosted
                .store()
                .names(&gate.rule.scope()?)
                .await?
        }
    };
    let rule = &gate.rule;
    let (permits, total) = rule.readable(headers, &published, fits, query.from, query.size)?;
    let hits = stream::iter(permits).map(|permit| async move { hit(gate, &permit).await });
    let hits: Vec<Option<Hit>> = hits.buffered(LOOKUPS_AT_ONCE).try_collect().await?;
    let hits: Vec<Hit> = hits.into_iter().flatten().collect();
    let body = Json(json!({
        "objects": hits,
        "total": total,
        "time": gate.now().to_string(),
    }));
    Ok(([(CACHE_CONTROL, NOT_KEPT)], body).into_response())
}

async fn hit(gate: &Parts, permit: &Permit) -> Result<Option<Hit>, Failure> {
    match gate.packages.find(permit).await {
        Ok(found) => Ok(describe(permit, &found.package)),
        // Not published, or the upstream does not tell.
        Err(Failure::Refusal(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn describe(permit: &Permit, package: &Package) -> Option<Hit> {
    let name = permit.name();
    let latest = package.select(&Selector::Tag(Tag::latest()))?;
    let members: Members<'_> = serde_json::from_str(latest.manifest.get()).ok()?;
    let told = |member: &str| members.get(member).copied().map(RawValue::get);
    let mut result = serde_json::Map::new();
    result.insert("name".to_owned(), json!(name));
    let scope = name
        .scope()
        .map_or("unscoped", |scope| scope.strip_prefix('@').unwrap_or(scope));
    result.insert("scope".to_owned(), json!(scope));
    for member in MEMBERS {
        if let Some(Ok(value)) = told(member).map(serde_json::from_str) {
            result.insert(member.to_owned(), value);
        }
    }
    result.extend(
        package
            .modified()
            .map(|time| ("date".to_owned(), json!(time))),
    );
    // npm takes these for granted.
    result.insert("maintainers".to_owned(), json!([]));
    result.insert("publisher".to_owned(), json!({ "username": "" }));
    result.insert("links".to_owned(), json!({}));
    Some(Hit {
        package: result,
        score: json!({
            "final": 1,
            "detail": { "quality": 1, "popularity": 1, "maintenance": 1 },
        }),
        search_score: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_with_its_bounds_and_without_the_weights() {
        let cases = [
            ("", &[][..], 0, 20),
            (
                "text=Order%20@acme&size=5&from=10&quality=0.65&popularity=1&maintenance=0.5",
                &["order", "@acme"],
                10,
                5,
            ),
            ("text=a+b&size=9999", &["a", "b"], 0, 250),
            ("size=-1&from=x&text=%00", &["\0"], 0, 20),
            ("size=0", &[], 0, 0),
        ];
        for (query, words, from, size) in cases {
            let words = words.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(Query::read(query), Query { words, from, size }, "{query}");
        }
    }
}
