//! A package document that a client read, changed and sent back: how `npm deprecate` and
//! `npm unpublish` speak. Three things of it count, each as far as it differs from what is there:
//! the `deprecated` texts, the dist-tags, and which versions it has. Manifests are never taken
//! from it: what is served comes from tarballs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use manifest::PackageName;
use semver::Version;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::history::{Deed, State};
use crate::packument::{Members, Package};
use crate::publication::{Publication, PublicationError};
use crate::refusal::Refusal;
use crate::route::parse_version;
use crate::tag::Tag;

/// Longest text of a deprecation, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// What npm shows where a document only says `true`.
const DEPRECATED: &str = "this version is deprecated";

/// What the body of `PUT /{name}` wants.
#[derive(Debug)]
pub(crate) enum Sent {
    /// With a tarball: a release.
    Publication(Publication),
    /// Without one: a document that was changed.
    Amendment(Amendment),
}

/// An amended document.
#[derive(Debug)]
pub(crate) struct Amendment {
    /// What it was when it was read.
    pub(crate) revision: Option<String>,
    versions: BTreeMap<Version, String>,
    tags: Option<BTreeMap<Tag, Version>>,
}

#[derive(Deserialize)]
struct Peek {
    #[serde(rename = "_attachments")]
    attachments: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Document<'d> {
    #[serde(borrow)]
    name: Cow<'d, str>,
    #[serde(rename = "_rev", borrow)]
    revision: Option<Cow<'d, str>>,
    #[serde(rename = "dist-tags", borrow)]
    tags: Option<BTreeMap<Cow<'d, str>, Cow<'d, str>>>,
    #[serde(borrow)]
    versions: BTreeMap<Cow<'d, str>, DocumentVersion>,
}

#[derive(Deserialize)]
struct DocumentVersion {
    #[serde(default)]
    deprecated: Told,
}

/// Old packages have `true` and `false` there.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Told {
    Text(String),
    Flag(bool),
    #[default]
    Nothing,
}

impl Told {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Flag(true) => DEPRECATED.to_owned(),
            Self::Flag(false) | Self::Nothing => String::new(),
        }
    }
}

impl Sent {
    /// Reads the body of `PUT /{name}`. Takes time in proportion to it: not for the threads that
    /// serve.
    pub(crate) fn read(name: &PackageName, body: &[u8]) -> Result<Self, PublicationError> {
        let peek: Peek = serde_json::from_slice(body).map_err(|_| PublicationError::Form)?;
        if peek.attachments.is_some() {
            Publication::read(name, body).map(Self::Publication)
        } else {
            Amendment::read(name, body).map(Self::Amendment)
        }
    }
}

impl Amendment {
    /// Reads a document without a tarball.
    pub(crate) fn read(name: &PackageName, body: &[u8]) -> Result<Self, PublicationError> {
        let document: Document<'_> =
            serde_json::from_slice(body).map_err(|_| PublicationError::Form)?;
        if document.name != name.as_str() {
            return Err(PublicationError::Name);
        }
        let versions = document.versions.into_iter().map(|(version, told)| {
            let version = parse_version(&version).ok_or(PublicationError::UnknownVersion)?;
            let text = told.deprecated.into_text();
            if text.len() > TEXT_BYTES_MAX {
                return Err(PublicationError::DeprecationTooLong);
            }
            Ok((version, text))
        });
        let tags = document.tags.map(|tags| {
            let tags = tags.into_iter().map(|(tag, to)| {
                let tag = Tag::parse(&tag).map_err(|_| PublicationError::Tag)?;
                let to = parse_version(&to).ok_or(PublicationError::Tag)?;
                Ok((tag, to))
            });
            tags.collect::<Result<_, PublicationError>>()
        });
        Ok(Self {
            revision: document.revision.map(Cow::into_owned),
            versions: versions.collect::<Result<_, _>>()?,
            tags: tags.transpose()?,
        })
    }

    /// What has to be done so that the package is as this document has it. Versions that it lacks
    /// are unpublished when `removes`, and stay otherwise.
    pub(crate) fn deeds(
        &self,
        package: &Package,
        state: &State,
        removes: bool,
    ) -> Result<Vec<Deed>, Refusal> {
        if !self.versions.keys().all(|told| state.live.contains(told)) {
            return Err(PublicationError::UnknownVersion.into());
        }
        let mut deeds = Vec::new();
        let mut after = state.clone();
        if removes {
            let missing = state.live.iter();
            let missing = missing.filter(|version| !self.versions.contains_key(version));
            deeds.extend(missing.cloned().map(|version| Deed::Unpublish { version }));
        }
        for deed in &deeds {
            after.apply(deed);
        }
        for (version, text) in &self.versions {
            if shown_text(package, version) != *text {
                let (version, text) = (version.clone(), text.clone());
                deeds.push(Deed::Deprecate { version, text });
            }
        }
        if let Some(told) = &self.tags {
            deeds.extend(tag_deeds(told, state, &after)?);
        }
        Ok(deeds)
    }
}

/// Who unpublishes the latest version leaves it to the registry which one comes next, whatever
/// the client has put there.
fn tag_deeds(
    told: &BTreeMap<Tag, Version>,
    before: &State,
    after: &State,
) -> Result<Vec<Deed>, Refusal> {
    let latest = Tag::latest();
    let elected = before.tags.get(&latest) != after.tags.get(&latest);
    let mut deeds = Vec::new();
    for (tag, version) in told {
        if after.tags.get(tag) == Some(version) || elected && *tag == latest {
            continue;
        }
        if !after.live.contains(version) {
            return Err(PublicationError::Tag.into());
        }
        let (tag, version) = (tag.clone(), version.clone());
        deeds.push(Deed::MoveTag { tag, version });
    }
    for tag in after.tags.keys() {
        if !told.contains_key(tag) && *tag != latest {
            deeds.push(Deed::RemoveTag { tag: tag.clone() });
        }
    }
    Ok(deeds)
}

/// The deprecation of a version as it is served.
fn shown_text(package: &Package, version: &Version) -> String {
    let text = || {
        let manifest = package.release(version)?.manifest.get();
        let members: Members<'_> = serde_json::from_str(manifest).ok()?;
        let told: Told = serde_json::from_str(members.get("deprecated")?.get()).ok()?;
        Some(told.into_text())
    };
    text().unwrap_or_default()
}

#[cfg(test)]
mod tests;
