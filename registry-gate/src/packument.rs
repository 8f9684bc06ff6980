//! Package documents as clients get them, rendered once: the full form and the abbreviated one
//! that installs ask for, each with its `ETag`. They hold nothing about who asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;
use manifest::PackageName;
use semver::Version;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use crate::document::Document;
use crate::integrity::Integrity;
use crate::route::{Route, Selector};
use crate::tag::Tag;

/// The media type of the abbreviated form.
pub(crate) const ABBREVIATED: &str = "application/vnd.npm.install-v1+json";
const JSON: &str = "application/json";
/// Not `Authorization`: the documents are the same for all who may have them, and a box whose
/// token was renewed goes on using its cache.
const VARY: &str = "accept, accept-encoding";

/// The members of a release's manifest that the abbreviated form keeps, beside `dist` and
/// `hasInstallScript`.
const ABBREVIATED_MEMBERS: [&str; 18] = [
    "_hasShrinkwrap",
    "acceptDependencies",
    "bin",
    "bundleDependencies",
    "bundledDependencies",
    "cpu",
    "dependencies",
    "deprecated",
    "devDependencies",
    "directories",
    "engines",
    "funding",
    "libc",
    "name",
    "optionalDependencies",
    "os",
    "peerDependencies",
    "peerDependenciesMeta",
];
/// The members of `dist` that pass. The rest, such as where a registry keeps its attestations,
/// points to addresses that a box cannot reach.
const DIST_MEMBERS: [&str; 5] = [
    "fileCount",
    "integrity",
    "shasum",
    "signatures",
    "unpackedSize",
];

/// Members of a JSON object, not parsed any further.
pub(crate) type Members<'j> = BTreeMap<String, &'j RawValue>;

/// The address boxes reach the gate under. It stands in lockfiles, so it comes from the
/// configuration and never from a request.
#[derive(Debug, Clone)]
pub(crate) struct PublicUrl(String);

impl PublicUrl {
    /// `None` unless the URL is a plain HTTP address, with a path or without.
    pub(crate) fn new(url: &Url) -> Option<Self> {
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// Where a tarball is fetched.
    fn tarball(&self, name: &PackageName, version: &Version) -> String {
        let route = Route::Tarball(name.clone(), version.clone());
        format!("{}{route}", self.0)
    }
}

/// One release, ready to send.
#[derive(Debug)]
pub(crate) struct Release {
    /// Its manifest, as `GET /{name}/{version}` gives it.
    pub(crate) manifest: Arc<RawValue>,
    /// The same as an answer.
    pub(crate) document: Document,
    /// What its tarball must hash to.
    pub(crate) integrity: Integrity,
    /// The tarball's `ETag`: its hash.
    pub(crate) tarball_etag: HeaderValue,
    abbreviated: Box<RawValue>,
}

impl Release {
    /// Reads a release's manifest. `None` when it is not one of this name and version, or has no
    /// hash that a tarball could be checked against: what cannot be checked is not served.
    pub(crate) fn read(
        name: &PackageName,
        version: &Version,
        manifest: &RawValue,
        public_url: &PublicUrl,
    ) -> Option<Self> {
        let mut members: Members<'_> = serde_json::from_str(manifest.get()).ok()?;
        let says = |member: &str| members.get(member).and_then(|raw| text(raw));
        if says("name")? != name.as_str() || says("version")? != version.to_string() {
            return None;
        }
        let told: Members<'_> = serde_json::from_str(members.get("dist")?.get()).ok()?;
        let told_text = |member: &str| told.get(member).and_then(|raw| text(raw));
        let integrity = Integrity::read(
            told_text("integrity").as_deref(),
            told_text("shasum").as_deref(),
        )?;

        let tarball = to_raw_value(&public_url.tarball(name, version)).ok()?;
        let mut dist: BTreeMap<&str, &RawValue> = DIST_MEMBERS
            .iter()
            .filter_map(|member| Some((*member, *told.get(*member)?)))
            .collect();
        dist.insert("tarball", &tarball);
        let dist = to_raw_value(&dist).ok()?;
        members.insert("dist".to_owned(), &dist);

        let manifest: Arc<RawValue> = to_raw_value(&members).ok()?.into();
        Some(Self {
            abbreviated: abbreviate(&members)?,
            document: Document::of_json(Arc::clone(&manifest)),
            manifest,
            tarball_etag: HeaderValue::try_from(format!("\"{integrity}\"")).ok()?,
            integrity,
        })
    }
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn abbreviate(members: &Members<'_>) -> Option<Box<RawValue>> {
    let yes = to_raw_value(&true).ok()?;
    let mut kept: BTreeMap<&str, &RawValue> = ABBREVIATED_MEMBERS
        .iter()
        .chain(&["dist", "version"])
        .filter_map(|member| Some((*member, *members.get(*member)?)))
        .collect();
    if runs_scripts_on_install(members) {
        kept.insert("hasInstallScript", &yes);
    }
    to_raw_value(&kept).ok()
}

fn runs_scripts_on_install(members: &Members<'_>) -> bool {
    let scripts = members.get("scripts");
    let scripts = scripts.and_then(|raw| serde_json::from_str::<Members<'_>>(raw.get()).ok());
    scripts.is_some_and(|scripts| {
        ["preinstall", "install", "postinstall"]
            .iter()
            .any(|script| scripts.contains_key(*script))
    })
}

/// A package with all its releases, rendered.
#[derive(Debug)]
pub(crate) struct Package {
    full: Document,
    abbreviated: Document,
    tags_document: Document,
    tags: BTreeMap<String, Version>,
    releases: BTreeMap<Version, Arc<Release>>,
    modified: Option<Box<str>>,
}

/// The full form. What it has beside its own members comes last.
#[derive(Serialize)]
struct Full<'p> {
    _id: &'p PackageName,
    name: &'p PackageName,
    #[serde(rename = "dist-tags")]
    tags: BTreeMap<&'p str, String>,
    versions: BTreeMap<String, &'p RawValue>,
    #[serde(flatten)]
    rest: &'p BTreeMap<String, Box<RawValue>>,
}

#[derive(Serialize)]
struct Abbreviated<'p> {
    name: &'p PackageName,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<&'p str>,
    #[serde(rename = "dist-tags")]
    tags: BTreeMap<&'p str, String>,
    versions: BTreeMap<String, &'p RawValue>,
}

impl Package {
    /// Renders a package, which takes a while: not on a thread that serves. `rest` is what its
    /// full form has beside name, tags and versions; tags of releases that are not there are left
    /// out.
    pub(crate) fn render(
        name: &PackageName,
        mut tags: BTreeMap<String, Version>,
        releases: BTreeMap<Version, Arc<Release>>,
        modified: Option<&str>,
        rest: &BTreeMap<String, Box<RawValue>>,
    ) -> Result<Self, serde_json::Error> {
        tags.retain(|_, version| releases.contains_key(version));
        let told_tags = || {
            tags.iter()
                .map(|(tag, to)| (&**tag, to.to_string()))
                .collect()
        };
        let versions = |form: fn(&Release) -> &RawValue| {
            let told = releases.iter();
            told.map(|(version, release)| (version.to_string(), form(release)))
                .collect()
        };
        let full = Full {
            _id: name,
            name,
            tags: told_tags(),
            versions: versions(|release| &release.manifest),
            rest,
        };
        let abbreviated = Abbreviated {
            name,
            modified,
            tags: told_tags(),
            versions: versions(|release| &release.abbreviated),
        };
        Ok(Self {
            full: Document::render_with_gzip(JSON, VARY, &full)?,
            abbreviated: Document::render_with_gzip(ABBREVIATED, VARY, &abbreviated)?,
            tags_document: Document::render(JSON, &full.tags)?,
            tags,
            releases,
            modified: modified.map(Into::into),
        })
    }

    /// About what it takes in memory: both documents, and once more for their parts.
    pub(crate) fn bytes(&self) -> usize {
        const BASE: usize = 512;
        BASE + 2 * (self.full.bytes() + self.abbreviated.bytes())
    }

    /// The whole document, in the form that was asked for.
    pub(crate) fn document(&self, abbreviated: bool) -> &Document {
        if abbreviated {
            &self.abbreviated
        } else {
            &self.full
        }
    }

    /// When anything of it changed last, as its source says.
    pub(crate) fn modified(&self) -> Option<&str> {
        self.modified.as_deref()
    }

    /// Where the dist-tags point.
    pub(crate) fn tags(&self) -> &Document {
        &self.tags_document
    }

    /// Where one dist-tag points.
    pub(crate) fn tagged(&self, tag: &Tag) -> Option<&Version> {
        self.tags.get(tag.as_str())
    }

    /// The release with this version.
    pub(crate) fn release(&self, version: &Version) -> Option<&Arc<Release>> {
        self.releases.get(version)
    }

    /// The release that is meant.
    pub(crate) fn select(&self, selector: &Selector) -> Option<&Arc<Release>> {
        match selector {
            Selector::Version(version) => self.release(version),
            Selector::Tag(tag) => self.release(self.tags.get(tag.as_str())?),
        }
    }
}
