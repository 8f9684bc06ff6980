//! A hosted package as a document: its releases under its state.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use manifest::PackageName;
use semver::Version;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use super::Stored;
use crate::archive::Readme;
use crate::history::State;
use crate::packument::{Members, Package, PublicUrl, Release};
use crate::store::Listing;
use crate::tag::Tag;

/// The members that a package takes from its latest release.
const LATEST_MEMBERS: [&str; 8] = [
    "author",
    "bugs",
    "description",
    "homepage",
    "keywords",
    "license",
    "maintainers",
    "repository",
];

/// Names what a package was at some time, for clients that send back what they read (`_rev`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision(String);

impl Revision {
    /// Files never change, so their names tell all: how many there are, and a hash.
    pub(super) fn of(listing: &Listing) -> Self {
        let mut hash = Sha256::new();
        for version in &listing.versions {
            hash.update(format!("{version}\n"));
        }
        hash.update(listing.changes.to_string());
        let count = listing.versions.len() as u64 + listing.changes;
        let hash = hash.finalize();
        let short = hash.get(..16).unwrap_or_default();
        Self(format!("{count}-{}", HEXLOWER.encode_display(short)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn package(
    name: &PackageName,
    releases: &BTreeMap<Version, Stored>,
    state: &State,
    revision: &Revision,
    readme: Option<Readme>,
    public_url: &PublicUrl,
) -> Result<Package, serde_json::Error> {
    let live = |version: &Version| state.live.contains(version);
    let live = || releases.iter().filter(|(version, _)| live(version));
    let mut rest: BTreeMap<String, Box<RawValue>> = BTreeMap::new();
    let latest = state.tags.get(&Tag::latest());
    if let Some(latest) = latest.and_then(|to| releases.get(to)) {
        let members: Members<'_> = serde_json::from_str(latest.release.manifest.get())?;
        for member in LATEST_MEMBERS {
            if let Some(value) = members.get(member) {
                rest.insert(member.to_owned(), (*value).to_owned());
            }
        }
    }
    let times = times(live(), releases, state);
    rest.insert("time".to_owned(), to_raw_value(&times)?);
    rest.insert("_rev".to_owned(), to_raw_value(revision.as_str())?);
    if let Some(Readme { file, text }) = readme {
        rest.insert("readmeFilename".to_owned(), to_raw_value(&file)?);
        rest.insert("readme".to_owned(), to_raw_value(&text)?);
    }
    let shown = live().map(|(version, stored)| {
        let text = state.deprecated.get(version);
        let told =
            text.and_then(|text| deprecated(name, version, &stored.release, text, public_url));
        let release = told.map_or_else(|| Arc::clone(&stored.release), Arc::new);
        (version.clone(), release)
    });
    let tags = state.tags.iter();
    let tags = tags
        .map(|(tag, to)| (tag.to_string(), to.clone()))
        .collect();
    let modified = state.modified.map(|time| time.to_string());
    Package::render(name, tags, shown.collect(), modified.as_deref(), &rest)
}

/// The release with a deprecation, or without one where the text is empty.
fn deprecated(
    name: &PackageName,
    version: &Version,
    release: &Release,
    text: &str,
    public_url: &PublicUrl,
) -> Option<Release> {
    let mut members: Members<'_> = serde_json::from_str(release.manifest.get()).ok()?;
    let text = (!text.is_empty()).then(|| to_raw_value(text));
    let text = text.transpose().ok()?;
    match &text {
        Some(text) => members.insert("deprecated".to_owned(), text),
        None => members.remove("deprecated"),
    };
    let manifest = to_raw_value(&members).ok()?;
    Release::read(name, version, &manifest, public_url)
}

fn times<'r>(
    live: impl Iterator<Item = (&'r Version, &'r Stored)>,
    all: &BTreeMap<Version, Stored>,
    state: &State,
) -> BTreeMap<String, Timestamp> {
    let mut times: BTreeMap<String, Timestamp> = live
        .map(|(version, stored)| (version.to_string(), stored.published_at))
        .collect();
    let first = all.values().map(|stored| stored.published_at).min();
    times.extend(first.map(|first| ("created".to_owned(), first)));
    times.extend(state.modified.map(|last| ("modified".to_owned(), last)));
    times
}
