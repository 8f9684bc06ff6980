//! A registry's document about a package: read into our own form, and the form in which it is
//! kept on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use manifest::PackageName;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::integrity::Integrity;
use crate::packument::{Members, Package, PublicUrl, Release};
use crate::route::parse_version;

/// Values within values: more than any manifest has, and far less than what a client's parser
/// would stumble over.
const DEPTH_MAX: usize = 100;
/// The members of a package document that are made here, or concern the registry alone.
const OWN_MEMBERS: [&str; 6] = [
    "_attachments",
    "_id",
    "_rev",
    "dist-tags",
    "name",
    "versions",
];

/// The registry's document in our own form, and the versions whose hash is another than in what
/// was `seen` of it before. A version's bytes never change: what was seen of it stays, so that
/// nobody who takes the registry over can put other bytes under a version that is in use. Releases that
/// cannot be checked are left out.
pub(crate) fn read(
    name: &PackageName,
    json: &[u8],
    public_url: &PublicUrl,
    seen: Option<&Package>,
) -> Option<(Package, Vec<Version>)> {
    if !is_shallow(json) {
        return None;
    }
    let members: Members<'_> = serde_json::from_slice(json).ok()?;
    let told: String = serde_json::from_str(members.get("name")?.get()).ok()?;
    if told != name.as_str() {
        return None;
    }
    let versions: Members<'_> = serde_json::from_str(members.get("versions")?.get()).ok()?;
    let (mut releases, mut changed) = (BTreeMap::new(), Vec::new());
    for (text, manifest) in &versions {
        let Some(version) = parse_version(text) else {
            continue;
        };
        let Some(release) = Release::read(name, &version, manifest, public_url) else {
            continue;
        };
        let first = seen.and_then(|seen| seen.release(&version));
        let release = match first {
            Some(first) if first.integrity != release.integrity => {
                changed.push(version.clone());
                Arc::clone(first)
            }
            _ => Arc::new(release),
        };
        releases.insert(version, release);
    }
    let tags: BTreeMap<String, String> = match members.get("dist-tags") {
        Some(tags) => serde_json::from_str(tags.get()).ok()?,
        None => BTreeMap::new(),
    };
    let tags = tags.into_iter();
    let tags = tags.filter_map(|(tag, version)| Some((tag, parse_version(&version)?)));
    let rest: BTreeMap<String, Box<RawValue>> = members
        .iter()
        .filter(|(member, _)| !OWN_MEMBERS.contains(&member.as_str()))
        .map(|(member, value)| (member.clone(), (*value).to_owned()))
        .collect();
    let modified = modified(&members);
    let package = Package::render(name, tags.collect(), releases, modified.as_deref(), &rest);
    Some((package.ok()?, changed))
}

fn modified(members: &Members<'_>) -> Option<String> {
    let times: Members<'_> = serde_json::from_str(members.get("time")?.get()).ok()?;
    serde_json::from_str(times.get("modified")?.get()).ok()
}

/// Whether no value lies deeper than [`DEPTH_MAX`]. Says nothing else about the text.
fn is_shallow(json: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// The first line of a file with a document. The document itself follows.
#[derive(Serialize, Deserialize)]
struct Head {
    etag: Option<String>,
    /// Of the document.
    integrity: String,
}

/// What a file begins with that keeps this document.
pub(super) fn head(json: &[u8], etag: Option<&HeaderValue>) -> Option<Vec<u8>> {
    let head = Head {
        etag: etag.and_then(|etag| etag.to_str().ok()).map(str::to_owned),
        integrity: Integrity::of(json).0.to_string(),
    };
    let mut line = serde_json::to_vec(&head).ok()?;
    line.push(b'\n');
    Some(line)
}

/// Reads such a file: the document, if it is the one that was kept, and its `ETag`.
pub(super) fn kept(file: Vec<u8>) -> Option<(Bytes, Option<HeaderValue>)> {
    let file = Bytes::from(file);
    let end = file.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(file.get(..end)?).ok()?;
    let json = file.slice(end + 1..);
    let integrity = Integrity::read(Some(&head.integrity), None)?;
    let etag = head.etag.and_then(|etag| HeaderValue::try_from(etag).ok());
    integrity.fits(&json).then_some((json, etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_back_as_it_was_kept_or_not_at_all() {
        let etag = HeaderValue::from_static("W/\"a b\"");
        let json = b"{\"a\":\n1}";
        for etag in [None, Some(&etag)] {
            let file = [&head(json, etag).unwrap()[..], json].concat();
            let (read, told) = kept(file.clone()).unwrap();
            assert_eq!((&read[..], told.as_ref()), (&json[..], etag));
            for at in 0..file.len() {
                assert!(kept(file[..at].to_vec()).is_none(), "cut at {at}");
            }
            let mut changed = file.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(kept(changed).is_none());
        }
    }

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(is_shallow(deep(DEPTH_MAX).as_bytes()));
        assert!(!is_shallow(deep(DEPTH_MAX + 1).as_bytes()));
        let text = format!(r#"["\\", "\"{}"]"#, "[{".repeat(DEPTH_MAX));
        assert!(is_shallow(text.as_bytes()));
        let after = format!(r#"["\\"{}"#, "[".repeat(DEPTH_MAX));
        assert!(!is_shallow(after.as_bytes()));
    }
}
