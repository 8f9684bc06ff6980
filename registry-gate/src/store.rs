//! Where published packages lie: files that are written once and never change.
//!
//! ```text
//! blobs/sha512/{hex}                         a tarball, under its own hash
//! packages/{name}/versions/{version}.json    a release; its creation is the publish
//! ```
//!
//! A publish writes the tarball first and then creates the release, if it is not there yet. So a
//! crash leaves the old state or the new one, and of two who publish one version the second
//! finds the first. The current dist-tags follow from the releases.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use manifest::PackageName;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::access::{Permit, PublishPermit};
use crate::fault::Fault;
use crate::integrity::Integrity;
use crate::publication::Publication;
use crate::route::parse_version;
use crate::tag::Tag;

/// A store of packages.
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
}

/// A release as it lies in the store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) published_at: Timestamp,
    /// The id of the credential that published it.
    pub(crate) published_by: String,
    /// The dist-tags that this publish moved here.
    pub(crate) tags: BTreeSet<Tag>,
    pub(crate) manifest: Box<RawValue>,
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// The release is there, for good.
    Created,
    /// The version was there before; nothing changed.
    Existed,
}

/// The store's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the package directory `{}` cannot be used", path.display())]
pub struct StoreDirError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl Store {
    /// Opens a local directory and makes it if it is not there.
    pub(crate) fn open(dir: &FilePath) -> Result<Self, StoreDirError> {
        let unusable = |source| StoreDirError {
            path: dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(unusable)?;
        // Better now than at the first publish.
        let probe = dir.join(format!(".probe-{}", std::process::id()));
        std::fs::write(&probe, []).map_err(unusable)?;
        std::fs::remove_file(&probe).map_err(unusable)?;
        let objects = LocalFileSystem::new_with_prefix(dir)
            .map_err(|error| unusable(std::io::Error::other(error)))?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(objects),
        })
    }

    /// Stores a release, unless its version is there.
    pub(crate) async fn publish(
        &self,
        permit: &PublishPermit,
        publication: Publication,
        now: Timestamp,
    ) -> Result<Published, Fault> {
        let record = Record {
            published_at: now,
            published_by: permit.publisher().to_owned(),
            tags: publication.tags,
            manifest: to_raw_value(&publication.manifest)
                .map_err(|error| Fault::new("writing a manifest", error))?,
        };
        let json =
            serde_json::to_vec(&record).map_err(|error| Fault::new("writing a release", error))?;
        // Under its own hash, what is there already is the same.
        self.create(&blob(&publication.integrity), publication.tarball)
            .await?;
        self.create(&release(permit.name(), &publication.version), json.into())
            .await
    }

    /// The versions of a package: none if nobody published it.
    pub(crate) async fn versions(&self, permit: &Permit) -> Result<BTreeSet<Version>, Fault> {
        let folder = versions(permit.name());
        let fault = |error| Fault::new(format!("listing {folder}"), error);
        let mut found = BTreeSet::new();
        let mut list = self.objects.list(Some(&folder));
        while let Some(object) = list.try_next().await.map_err(fault)? {
            let file = object.location.filename().unwrap_or_default();
            let version = file.strip_suffix(".json").and_then(parse_version);
            let stray = || {
                Fault::new(
                    format!("listing {folder}"),
                    format!("`{file}` is no release"),
                )
            };
            found.insert(version.ok_or_else(stray)?);
        }
        Ok(found)
    }

    /// One release of a package.
    pub(crate) async fn record(&self, permit: &Permit, version: &Version) -> Result<Record, Fault> {
        let path = release(permit.name(), version);
        let fault = |error: Error| Fault::new(format!("reading {path}"), error);
        let object = self.objects.get(&path).await.map_err(fault)?;
        let json = object.bytes().await.map_err(fault)?;
        serde_json::from_slice(&json).map_err(|error| Fault::new(format!("reading {path}"), error))
    }

    /// A tarball. Its hash names it, so whoever knows the hash has read a release that a permit
    /// opened.
    pub(crate) async fn tarball(&self, integrity: &Integrity) -> Result<GetResult, Fault> {
        let path = blob(integrity);
        let object = self.objects.get(&path).await;
        object.map_err(|error| Fault::new(format!("reading {path}"), error))
    }

    async fn create(&self, path: &Path, bytes: Bytes) -> Result<Published, Fault> {
        let options = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(path, bytes.into(), options).await {
            Ok(_) => Ok(Published::Created),
            Err(Error::AlreadyExists { .. }) => Ok(Published::Existed),
            Err(error) => Err(Fault::new(format!("writing {path}"), error)),
        }
    }
}

fn blob(integrity: &Integrity) -> Path {
    let kind = match integrity {
        Integrity::Sha512(_) => "sha512",
        Integrity::Sha1(_) => "sha1",
    };
    Path::from_iter(["blobs", kind, &integrity.to_hex()])
}

fn versions(name: &PackageName) -> Path {
    let parts = name.as_str().split('/');
    let parts = ["packages"].into_iter().chain(parts).chain(["versions"]);
    parts.collect()
}

fn release(name: &PackageName, version: &Version) -> Path {
    versions(name).join(format!("{version}.json"))
}
