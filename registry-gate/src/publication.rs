//! The document that `npm publish` sends, read against the tarball inside it. What is stored
//! comes from the tarball's own `package.json`; the document is only asked whether it agrees.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use data_encoding::BASE64;
use manifest::PackageName;
use semver::Version;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::archive::{self, ArchiveError, Contents, Readme};
use crate::integrity::Integrity;
use crate::route::parse_version;
use crate::tag::Tag;

/// A release that may be stored: everything about it was checked against its tarball.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) version: Version,
    pub(crate) tags: BTreeSet<Tag>,
    /// The release's manifest with `dist`, as clients get it but for the tarball's address.
    pub(crate) manifest: Map<String, Value>,
    pub(crate) readme: Option<Readme>,
    pub(crate) integrity: Integrity,
    pub(crate) tarball: Bytes,
}

/// Why a document is not a publication. The texts hold nothing of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublicationError {
    #[error(
        "the body is not a publish document, nor a package's own with its versions; owners and stars are not kept here"
    )]
    Form,
    #[error("the document's name is not the name in its address")]
    Name,
    #[error("a publish document has exactly one version")]
    OneVersion,
    #[error("a publish document has exactly one attachment, the tarball")]
    OneAttachment,
    #[error("the version is not a strict semantic version without build metadata")]
    Version,
    #[error("a dist-tag is malformed or names another version")]
    Tag,
    #[error("the document has a version that is not there; versions come by publishing alone")]
    UnknownVersion,
    #[error("a deprecation is over 4096 bytes")]
    DeprecationTooLong,
    #[error("the attachment is not base64 of the length it says")]
    Attachment,
    #[error("the tarball does not have the hashes that the document says")]
    Integrity,
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the tarball's package.json is not a JSON object with text for name and version")]
    PackageJson,
    #[error("the tarball's package.json has a name that no package can have")]
    OwnName,
    #[error("the tarball's package.json has another name or version than the document")]
    Disagrees,
}

/// The parts of the document that are looked at.
#[derive(Deserialize)]
struct Document<'d> {
    #[serde(borrow)]
    name: Cow<'d, str>,
    #[serde(rename = "dist-tags")]
    tags: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    versions: BTreeMap<String, DocumentVersion<'d>>,
    #[serde(rename = "_attachments", borrow, default)]
    attachments: BTreeMap<String, Attachment<'d>>,
}

#[derive(Deserialize)]
struct DocumentVersion<'d> {
    #[serde(borrow)]
    name: Cow<'d, str>,
    #[serde(borrow)]
    version: Cow<'d, str>,
    #[serde(borrow, default)]
    dist: DocumentDist<'d>,
}

#[derive(Deserialize, Default)]
struct DocumentDist<'d> {
    #[serde(borrow)]
    integrity: Option<Cow<'d, str>>,
    #[serde(borrow)]
    shasum: Option<Cow<'d, str>>,
}

#[derive(Deserialize)]
struct Attachment<'d> {
    #[serde(borrow)]
    data: Cow<'d, str>,
    length: usize,
}

impl Publication {
    /// Reads the body of `PUT /{name}`. Takes time in proportion to the tarball: not for the
    /// threads that serve.
    pub(crate) fn read(name: &PackageName, body: &[u8]) -> Result<Self, PublicationError> {
        let document: Document<'_> =
            serde_json::from_slice(body).map_err(|_| PublicationError::Form)?;
        let told = only(document.versions, PublicationError::OneVersion)?;
        if document.name != name.as_str() || told.1.name != name.as_str() {
            return Err(PublicationError::Name);
        }
        let version = read_version(&told.0)?;
        if told.1.version != told.0 {
            return Err(PublicationError::Version);
        }
        let tags = read_tags(document.tags.as_ref(), &told.0)?;

        let (_, attachment) = only(document.attachments, PublicationError::OneAttachment)?;
        let tarball = BASE64
            .decode(attachment.data.as_bytes())
            .ok()
            .filter(|bytes| bytes.len() == attachment.length)
            .ok_or(PublicationError::Attachment)?;
        let (integrity, shasum) = check_hashes(&tarball, &told.1.dist)?;
        let contents = archive::read(&tarball)?;
        let own = read_package_json(&contents.package_json)?;
        let agrees =
            |member: &str, text: &str| own.get(member).and_then(Value::as_str) == Some(text);
        if !agrees("name", name.as_str()) || !agrees("version", &told.0) {
            return Err(PublicationError::Disagrees);
        }

        let dist = dist(&integrity, &shasum, &contents);
        Ok(Self {
            manifest: to_manifest(own, name, &version, dist),
            readme: contents.readme,
            version,
            tags,
            integrity,
            tarball: tarball.into(),
        })
    }
}

/// A tarball that `npm pack` made, read as it is read when it is published: what passes here, the
/// gate takes.
#[derive(Debug)]
pub struct Packed {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// Its manifest with `dist`, as clients will get it but for the tarball's address.
    pub manifest: Map<String, Value>,
    /// Its readme's file name and text.
    pub readme: Option<(String, String)>,
}

/// Why the gate would not take a tarball.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PackedError(#[from] PublicationError);

impl Packed {
    /// Reads a tarball whole.
    pub fn read(tarball: &[u8]) -> Result<Self, PackedError> {
        let (integrity, shasum) = Integrity::of(tarball);
        let contents = archive::read(tarball).map_err(PublicationError::from)?;
        let own = read_package_json(&contents.package_json)?;
        let text = |member: &str| own.get(member).and_then(Value::as_str);
        let told = text("name").zip(text("version"));
        let (name, version) = told.ok_or(PublicationError::PackageJson)?;
        let name = PackageName::parse(name).map_err(|_| PublicationError::OwnName)?;
        let version = read_version(version)?;
        let dist = dist(&integrity, &shasum, &contents);
        Ok(Self {
            manifest: to_manifest(own, &name, &version, dist),
            readme: contents.readme.map(|readme| (readme.file, readme.text)),
            name,
            version,
        })
    }
}

fn dist(integrity: &Integrity, shasum: &Integrity, contents: &Contents) -> Value {
    json!({
        "integrity": integrity.to_string(),
        "shasum": shasum.to_hex(),
        "fileCount": contents.file_count,
        "unpackedSize": contents.unpacked_bytes,
    })
}

fn only<K, V>(map: BTreeMap<K, V>, error: PublicationError) -> Result<(K, V), PublicationError> {
    let mut entries = map.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry),
        _ => Err(error),
    }
}

/// npm drops build metadata when it compares, so two versions would be one.
fn read_version(text: &str) -> Result<Version, PublicationError> {
    parse_version(text)
        .filter(|version| version.build.is_empty())
        .ok_or(PublicationError::Version)
}

/// A document that says nothing of tags means `latest`; one that has none moves none.
fn read_tags(
    told: Option<&BTreeMap<String, String>>,
    version: &str,
) -> Result<BTreeSet<Tag>, PublicationError> {
    let Some(told) = told else {
        return Ok([Tag::latest()].into());
    };
    let read = |(tag, to): (&String, &String)| match Tag::parse(tag) {
        Ok(tag) if to == version => Ok(tag),
        _ => Err(PublicationError::Tag),
    };
    told.iter().map(read).collect()
}

/// The document's hashes must be there, at least one of them, and all that are there must fit.
fn check_hashes(
    tarball: &[u8],
    told: &DocumentDist<'_>,
) -> Result<(Integrity, Integrity), PublicationError> {
    let (integrity, shasum) = Integrity::of(tarball);
    let strong = told
        .integrity
        .as_deref()
        .map(|text| text == integrity.to_string());
    let weak = told.shasum.as_deref().map(|text| text == shasum.to_hex());
    match (strong, weak) {
        (Some(true), Some(true) | None) | (None, Some(true)) => Ok((integrity, shasum)),
        _ => Err(PublicationError::Integrity),
    }
}

fn read_package_json(bytes: &[u8]) -> Result<Map<String, Value>, PublicationError> {
    // npm takes a byte order mark, and so do editors that write one.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|_| PublicationError::PackageJson)
}

/// What registries make of a `package.json`: npm's own members replaced, the rest as it is.
fn to_manifest(
    own: Map<String, Value>,
    name: &PackageName,
    version: &Version,
    dist: Value,
) -> Map<String, Value> {
    let mut manifest: Map<String, Value> = own
        .into_iter()
        .filter(|(member, _)| !member.starts_with('_'))
        .collect();
    // A lone path is short for a command that has the package's name.
    if let Some(Value::String(path)) = manifest.get("bin") {
        let commands = json!({ (name.base()): path });
        manifest.insert("bin".to_owned(), commands);
    }
    manifest.insert("_id".to_owned(), Value::String(format!("{name}@{version}")));
    manifest.insert("dist".to_owned(), dist);
    manifest
}
