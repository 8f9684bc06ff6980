//! Where published packages lie: files that are written once and never change.
//!
//! ```text
//! blobs/sha512/{hex}                         a tarball, under its own hash
//! packages/{name}/versions/{version}.json    a release; its creation is the publish
//! packages/{name}/changes/{number}.json      a change, numbered from 1 without gaps
//! ```
//!
//! A publish writes the tarball first and then creates the release, if it is not there yet. So a
//! crash leaves the old state or the new one, and of two who publish one version the second
//! finds the first. A change is one file too. What follows from releases and changes is told by
//! [`State`](crate::history::State).
//!
//! Only tarballs are ever deleted, after their version was unpublished. A tarball without a
//! release, left by a crash, is found by nobody and harms nobody; the same holds for one whose
//! deletion failed.

mod location;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use manifest::PackageName;
use object_store::path::Path;
use object_store::{Error, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use semver::Version;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::access::{Permit, PublishPermit};
use crate::archive::Readme;
use crate::fault::Fault;
use crate::history::Change;
use crate::integrity::Integrity;
use crate::publication::Publication;
use crate::route::parse_version;
use crate::tag::Tag;

pub use location::{StoreError, StoreOptions, StoreOptionsError, StoreUrl, StoreUrlError};

/// How often a file is created anew that was said to be there and is not.
const CREATES_MAX: usize = 5;

/// How long a store may take for a list or a small file, and to begin a large one. Installs wait
/// for it, and all who ask for a package wait for one look.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 20 });

/// A store of packages.
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Set once the store has shown that it creates a file only where there is none.
    creates_once: OnceCell<()>,
}

/// What is there of a package, by its file names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listing {
    pub(crate) versions: BTreeSet<Version>,
    /// How many changes there are: the number of the last one.
    pub(crate) changes: u64,
}

/// A release as it lies in the store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Later than all that its publisher had seen.
    pub(crate) published_at: Timestamp,
    /// The id of the credential that published it.
    pub(crate) published_by: String,
    /// Tells it from another publisher's, should an answer of the store be lost.
    #[serde(default)]
    pub(crate) attempt: String,
    /// The dist-tags that this publish moved here.
    pub(crate) tags: BTreeSet<Tag>,
    pub(crate) manifest: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) readme: Option<Readme>,
}

/// What became of a file that was to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// It is there now, and it is ours.
    New,
    /// Another one was there before; nothing changed.
    Existed,
}

impl Store {
    /// Opens the store at a place.
    pub(crate) fn open(url: &StoreUrl, options: &StoreOptions) -> Result<Self, StoreError> {
        Ok(Self::over(url.open(options)?))
    }

    pub(crate) fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            creates_once: OnceCell::new(),
        }
    }

    /// Stores a release, unless its version is there.
    pub(crate) async fn publish(
        &self,
        permit: &PublishPermit,
        publication: Publication,
        at: Timestamp,
    ) -> Result<Created, Fault> {
        self.check_creates_once().await?;
        let record = Record {
            published_at: at,
            published_by: permit.publisher().to_owned(),
            attempt: next_attempt(),
            tags: publication.tags,
            manifest: to_raw_value(&publication.manifest)
                .map_err(|error| Fault::new("writing a manifest", error))?,
            readme: publication.readme,
        };
        let json =
            serde_json::to_vec(&record).map_err(|error| Fault::new("writing a release", error))?;
        // Under its own hash, what is there already is the same.
        self.put_new(&blob(&publication.integrity), publication.tarball)
            .await?;
        self.create(&release(permit.name(), &publication.version), json.into())
            .await
    }

    /// The names of a scope that anything was ever published under.
    pub(crate) async fn names(&self, scope: &str) -> Result<BTreeSet<PackageName>, Fault> {
        let folder = Path::from_iter(["packages", scope]);
        let list = soon(self.objects.list_with_delimiter(Some(&folder))).await;
        let list = list.map_err(|error| Fault::new(format!("listing {folder}"), error))?;
        let name = |path: &Path| PackageName::parse(&format!("{scope}/{}", path.filename()?)).ok();
        Ok(list.common_prefixes.iter().filter_map(name).collect())
    }

    /// Stores a change under a number, unless there is one.
    pub(crate) async fn change(
        &self,
        permit: &PublishPermit,
        number: u64,
        change: &Change,
    ) -> Result<Created, Fault> {
        self.check_creates_once().await?;
        let json =
            serde_json::to_vec(change).map_err(|error| Fault::new("writing a change", error))?;
        self.create(&change_path(permit.name(), number), json.into())
            .await
    }

    /// Deletes the tarball of a version that was unpublished.
    pub(crate) async fn delete_tarball(
        &self,
        _: &PublishPermit,
        integrity: &Integrity,
    ) -> Result<(), Fault> {
        let path = blob(integrity);
        match self.objects.delete(&path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Fault::new(format!("deleting {path}"), error)),
        }
    }

    /// What is there of a package: nothing if nobody published it.
    pub(crate) async fn list(&self, permit: &Permit) -> Result<Listing, Fault> {
        let folder = package(permit.name());
        let fault = |error| Fault::new(format!("listing {folder}"), error);
        let mut found = Listing::default();
        let mut list = self.objects.list(Some(&folder));
        while let Some(object) = soon(list.try_next()).await.map_err(fault)? {
            found.add(&folder, &object.location).ok_or_else(|| {
                let stray = format!("`{}` is no release and no change", object.location);
                Fault::new(format!("listing {folder}"), stray)
            })?;
        }
        Ok(found)
    }

    /// One release of a package.
    pub(crate) async fn record(&self, permit: &Permit, version: &Version) -> Result<Record, Fault> {
        self.read(&release(permit.name(), version)).await
    }

    /// One change of a package.
    pub(crate) async fn read_change(&self, permit: &Permit, number: u64) -> Result<Change, Fault> {
        self.read(&change_path(permit.name(), number)).await
    }

    /// A tarball, if it is there. Its hash names it, so whoever knows the hash has read a release
    /// that a permit opened.
    pub(crate) async fn tarball(&self, integrity: &Integrity) -> Result<Option<GetResult>, Fault> {
        let path = blob(integrity);
        match soon(self.objects.get(&path)).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Fault::new(format!("reading {path}"), error)),
        }
    }

    async fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<T, Fault> {
        let json = self.bytes(path).await;
        let json = json.map_err(|error| Fault::new(format!("reading {path}"), error))?;
        serde_json::from_slice(&json).map_err(|error| Fault::new(format!("reading {path}"), error))
    }

    async fn bytes(&self, path: &Path) -> object_store::Result<Bytes> {
        soon(async { self.objects.get(path).await?.bytes().await }).await
    }

    /// Creates a file with these bytes, which no other writer has.
    async fn create(&self, path: &Path, bytes: Bytes) -> Result<Created, Fault> {
        for _ in 0..CREATES_MAX {
            if self.put_new(path, bytes.clone()).await? == Created::New {
                return Ok(Created::New);
            }
            // An answer that was lost may have been ours. And a service that is asked twice at
            // once may say that there is a file before there is one.
            match self.bytes(path).await {
                Ok(there) if there == bytes => return Ok(Created::New),
                Ok(_) => return Ok(Created::Existed),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(Fault::new(format!("reading {path}"), error)),
            }
        }
        let strange = "the store says that the file is there, and that it is not";
        Err(Fault::new(format!("writing {path}"), strange))
    }

    async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<Created, Fault> {
        let options = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(path, bytes.into(), options).await {
            Ok(_) => Ok(Created::New),
            Err(Error::AlreadyExists { .. }) => Ok(Created::Existed),
            Err(error) => Err(Fault::new(format!("writing {path}"), error)),
        }
    }

    /// Everything here rests on files that are created once. Not every service that speaks S3
    /// keeps to `If-None-Match: *`, so it is tried before anything is written.
    async fn check_creates_once(&self) -> Result<(), Fault> {
        let check = || self.try_to_create_twice();
        self.creates_once.get_or_try_init(check).await?;
        Ok(())
    }

    async fn try_to_create_twice(&self) -> Result<(), Fault> {
        let path = Path::from("creates-once");
        for _ in 0..2 {
            if self.put_new(&path, Bytes::new()).await? == Created::Existed {
                return Ok(());
            }
        }
        let reason = "the store writes over what is there: it does not heed `If-None-Match: *`, so \
                      two publishers could overwrite each other";
        Err(Fault::new("writing to the store", reason))
    }
}

impl Listing {
    /// Takes in a file; `None` if it is none of ours.
    fn add(&mut self, folder: &Path, file: &Path) -> Option<()> {
        let mut parts = file.prefix_match(folder)?;
        let (kind, name) = (parts.next()?, parts.next()?);
        let stem = name.as_ref().strip_suffix(".json")?.to_owned();
        match (kind.as_ref(), parts.next()) {
            ("versions", None) => {
                self.versions.insert(parse_version(&stem)?);
            }
            ("changes", None) => {
                let number: u64 = stem.parse().ok().filter(|number| *number > 0)?;
                self.changes = self.changes.max(number);
            }
            _ => return None,
        }
        Some(())
    }
}

/// What a store says, unless it is silent for too long.
async fn soon<T>(answer: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    let answer = timeout(ANSWER_TIMEOUT, answer).await;
    answer.unwrap_or_else(|elapsed| {
        Err(Error::Generic {
            store: "package",
            source: elapsed.into(),
        })
    })
}

/// Unique in this process, and with the time beside it in practice everywhere.
fn next_attempt() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", std::process::id())
}

impl Change {
    /// A change by the holder of this permit.
    pub(crate) fn new(
        permit: &PublishPermit,
        at: Timestamp,
        deeds: Vec<crate::history::Deed>,
    ) -> Self {
        Self {
            at,
            by: permit.publisher().to_owned(),
            attempt: next_attempt(),
            deeds,
        }
    }
}

pub(crate) fn blob(integrity: &Integrity) -> Path {
    let kind = match integrity {
        Integrity::Sha512(_) => "sha512",
        Integrity::Sha1(_) => "sha1",
    };
    Path::from_iter(["blobs", kind, &integrity.to_hex()])
}

fn package(name: &PackageName) -> Path {
    let parts = name.as_str().split('/');
    ["packages"].into_iter().chain(parts).collect()
}

pub(crate) fn release(name: &PackageName, version: &Version) -> Path {
    let folder = package(name).join("versions");
    folder.join(format!("{version}.json"))
}

fn change_path(name: &PackageName, number: u64) -> Path {
    let folder = package(name).join("changes");
    folder.join(format!("{number}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_store_is_a_failing_one() {
        let silent = std::future::pending::<object_store::Result<()>>();
        assert!(soon(silent).await.is_err());
    }
}
