//! The gate's own packages: the store's releases and changes, rendered and kept ready.

mod change;
mod render;

use std::collections::BTreeMap;
use std::sync::Arc;

use activation_token::clock::Clock;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use object_store::GetResult;
use semver::Version;

use crate::access::{Permit, PublishPermit};
use crate::fault::{Failure, Fault};
use crate::history::{Change, Publish, State, next_time};
use crate::integrity::Integrity;
use crate::packument::{Package, PublicUrl, Release};
use crate::publication::Publication;
use crate::refusal::Refusal;
use crate::shelf::{Bounds, Shelf};
use crate::store::{Created, Listing, Record, Store};
use crate::tag::Tag;

pub(crate) use render::Revision;

/// How long a package is taken for current before the store is asked again, in seconds: another
/// gate on the same store may have published.
const FRESH_SECONDS: i64 = 2;
/// The most packages kept ready, and how much memory they may take, in bytes, roughly.
const PACKAGES_MAX: usize = 100_000;
const PACKAGES_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How many releases are read at a time.
const READS_AT_ONCE: usize = 8;

/// The packages of the store.
pub(crate) struct Hosted {
    store: Store,
    shelf: Shelf<Shown, Fault>,
    public_url: PublicUrl,
    clock: Arc<dyn Clock>,
}

/// A package and what it was rendered from. Releases and changes stay as they are, so a later
/// rendering needs to read only those that are new.
pub(crate) struct Shown {
    pub(crate) package: Arc<Package>,
    pub(crate) state: State,
    pub(crate) revision: Revision,
    listing: Listing,
    releases: BTreeMap<Version, Stored>,
    changes: Vec<Change>,
}

#[derive(Clone)]
struct Stored {
    release: Arc<Release>,
    published_at: Timestamp,
    tags: Arc<[Tag]>,
}

impl Hosted {
    pub(crate) fn new(store: Store, public_url: PublicUrl, clock: Arc<dyn Clock>) -> Self {
        let fresh_for = SignedDuration::from_secs(FRESH_SECONDS);
        let bounds = Bounds {
            names: PACKAGES_MAX,
            bytes: PACKAGES_BYTES_MAX,
            weigh: |shown: &Shown| shown.package.bytes(),
        };
        Self {
            store,
            shelf: Shelf::new(bounds, fresh_for, Arc::clone(&clock)),
            public_url,
            clock,
        }
    }

    /// Where names are listed.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The package, if anybody has ever published it here. A package of which nothing is left is
    /// refused: its name stays with the store and is looked for nowhere else.
    pub(crate) async fn package(&self, permit: &Permit) -> Result<Option<Arc<Shown>>, Failure> {
        let load = |last| self.load(permit, last);
        let shown = self.shelf.get(permit.name(), load).await?;
        match shown {
            Some(shown) if shown.state.live.is_empty() => Err(Refusal::NotPublished {
                name: permit.name().clone(),
            }
            .into()),
            shown => Ok(shown),
        }
    }

    /// The tarball of a release.
    pub(crate) async fn tarball(
        &self,
        permit: &Permit,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<GetResult, Failure> {
        if let Some(object) = self.store.tarball(integrity).await? {
            return Ok(object);
        }
        // Unpublished by another gate a moment ago, or lost.
        self.renew(permit);
        let shown = self.package(permit).await?;
        let name = permit.name();
        if shown.is_some_and(|shown| shown.state.live.contains(version)) {
            let doing = format!("reading the tarball of {name} {version}");
            return Err(Fault::new(doing, "it is not in the store").into());
        }
        Err(Refusal::NoSuchRelease { name: name.clone() }.into())
    }

    /// Has the store asked again: who is about to change a package must see it as it is now.
    pub(crate) fn renew(&self, permit: &Permit) {
        self.shelf.invalidate(permit.name());
    }

    /// Stores a release. Whoever asks after this has ended sees it.
    pub(crate) async fn publish(
        &self,
        permit: &PublishPermit,
        publication: Publication,
    ) -> Result<(), Failure> {
        let version = publication.version.clone();
        let current = self.current(permit).await?;
        if let Some(refusal) = taken(permit, current.as_deref(), &version) {
            return Err(refusal.into());
        }
        let newest = current.and_then(|shown| shown.state.modified);
        let at = next_time(self.clock.now(), newest);
        let created = self.store.publish(permit, publication, at).await;
        // Even after a fault: the release may be there.
        self.shelf.invalidate(permit.name());
        if created? == Created::New {
            return Ok(());
        }
        let current = self.current(permit).await?;
        let refusal = taken(permit, current.as_deref(), &version);
        Err(refusal.unwrap_or_else(|| version_exists(permit)).into())
    }

    /// The package as it is now, whatever is left of it.
    async fn current(&self, permit: &PublishPermit) -> Result<Option<Arc<Shown>>, Fault> {
        let reading = permit.reading();
        self.renew(&reading);
        let load = |last| self.load(&reading, last);
        self.shelf.get(permit.name(), load).await
    }

    async fn load(
        &self,
        permit: &Permit,
        last: Option<Arc<Shown>>,
    ) -> Result<Option<Arc<Shown>>, Fault> {
        let listing = self.store.list(permit).await?;
        if listing.versions.is_empty() {
            return Ok(None);
        }
        if let Some(last) = &last
            && last.listing == listing
        {
            return Ok(Some(Arc::clone(last)));
        }
        let last = last.as_deref();
        let releases = self.read_releases(permit, &listing, last).await?;
        let changes = self.read_changes(permit, &listing, last).await?;
        let publishes = releases.iter().map(|(version, stored)| Publish {
            version,
            at: stored.published_at,
            tags: &stored.tags,
        });
        let state = State::of(publishes.collect(), &changes);
        let revision = Revision::of(&listing);
        // Read again and not kept: only the latest release's is shown.
        let readme = match state.tags.get(&Tag::latest()) {
            Some(latest) => self.store.record(permit, latest).await?.readme,
            None => None,
        };
        let (name, public_url) = (permit.name().clone(), self.public_url.clone());
        let rendering = move || {
            let package = render::package(&name, &releases, &state, &revision, readme, &public_url)
                .map_err(|error| Fault::new(format!("rendering {name}"), error))?;
            Ok(Some(Arc::new(Shown {
                package: Arc::new(package),
                state,
                revision,
                listing,
                releases,
                changes,
            })))
        };
        // A package with hundreds of releases takes long enough to hold others up.
        tokio::task::spawn_blocking(rendering)
            .await
            .map_err(|error| Fault::new(format!("rendering {}", permit.name()), error))?
    }

    async fn read_releases(
        &self,
        permit: &Permit,
        listing: &Listing,
        last: Option<&Shown>,
    ) -> Result<BTreeMap<Version, Stored>, Fault> {
        let mut releases = BTreeMap::new();
        let mut reads = Vec::new();
        for version in &listing.versions {
            match last.and_then(|last| last.releases.get(version)) {
                Some(known) => {
                    releases.insert(version.clone(), known.clone());
                }
                None => reads.push(self.read(permit, version.clone())),
            }
        }
        let reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        releases.extend(reads.try_collect::<Vec<_>>().await?);
        Ok(releases)
    }

    async fn read_changes(
        &self,
        permit: &Permit,
        listing: &Listing,
        last: Option<&Shown>,
    ) -> Result<Vec<Change>, Fault> {
        let mut changes = last.map(|last| last.changes.clone()).unwrap_or_default();
        let known = changes.len() as u64;
        // A gap that a listing shows may be one of its own: each change is read by its number.
        let numbers = known + 1..=listing.changes;
        let reads: Vec<_> = numbers
            .map(|number| self.store.read_change(permit, number))
            .collect();
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        while let Some(change) = reads.try_next().await? {
            changes.push(change);
        }
        Ok(changes)
    }

    async fn read(&self, permit: &Permit, version: Version) -> Result<(Version, Stored), Fault> {
        let Record {
            published_at,
            tags,
            manifest,
            ..
        } = self.store.record(permit, &version).await?;
        let name = permit.name();
        let release =
            Release::read(name, &version, &manifest, &self.public_url).ok_or_else(|| {
                Fault::new(
                    format!("reading {name} {version}"),
                    "the release is corrupt",
                )
            })?;
        let stored = Stored {
            release: Arc::new(release),
            published_at,
            tags: tags.into_iter().collect(),
        };
        Ok((version, stored))
    }
}

/// Why a version cannot be published, when it cannot.
fn taken(permit: &PublishPermit, current: Option<&Shown>, version: &Version) -> Option<Refusal> {
    let state = &current?.state;
    if state.gone.contains(version) {
        return Some(Refusal::VersionUnpublished {
            name: permit.name().clone(),
            version: version.clone(),
        });
    }
    state.live.contains(version).then(|| version_exists(permit))
}

fn version_exists(permit: &PublishPermit) -> Refusal {
    Refusal::VersionExists {
        name: permit.name().clone(),
    }
}

#[cfg(test)]
mod tests;
