//! The gate's own packages: the store's releases, rendered and kept ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use activation_token::clock::Clock;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use semver::Version;
use serde_json::value::{RawValue, to_raw_value};

use crate::access::{Permit, PublishPermit};
use crate::fault::Fault;
use crate::packument::{Members, Package, PublicUrl, Release};
use crate::publication::Publication;
use crate::shelf::Shelf;
use crate::store::{Published, Record, Store};
use crate::tag::Tag;

/// How long a package is taken for current before the store is asked again, in seconds: another
/// gate on the same store may have published.
const FRESH_SECONDS: i64 = 2;
/// The most packages kept ready.
const PACKAGES_MAX: usize = 100_000;
/// How many releases are read at a time.
const READS_AT_ONCE: usize = 8;
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

/// The packages of the store.
pub(crate) struct Hosted {
    store: Store,
    shelf: Shelf<Shown, Fault>,
    public_url: PublicUrl,
    clock: Arc<dyn Clock>,
}

/// A package and what it was rendered from. Releases never change, so a later rendering needs
/// to read only those that are new.
pub(crate) struct Shown {
    pub(crate) package: Arc<Package>,
    releases: BTreeMap<Version, Stored>,
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
        Self {
            store,
            shelf: Shelf::new(PACKAGES_MAX, fresh_for, Arc::clone(&clock)),
            public_url,
            clock,
        }
    }

    /// Where tarballs are read.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The package, if anybody has published it here.
    pub(crate) async fn package(&self, permit: &Permit) -> Result<Option<Arc<Shown>>, Fault> {
        let load = |last| self.load(permit, last);
        self.shelf.get(permit.name(), load).await
    }

    /// Stores a release. Whoever asks after this has ended sees it.
    pub(crate) async fn publish(
        &self,
        permit: &PublishPermit,
        publication: Publication,
    ) -> Result<Published, Fault> {
        let now = self.clock.now();
        let published = self.store.publish(permit, publication, now).await;
        // Even after a fault: the release may be there.
        self.shelf.invalidate(permit.name());
        published
    }

    async fn load(
        &self,
        permit: &Permit,
        last: Option<Arc<Shown>>,
    ) -> Result<Option<Arc<Shown>>, Fault> {
        let versions = self.store.versions(permit).await?;
        if versions.is_empty() {
            return Ok(None);
        }
        if let Some(last) = &last
            && last.releases.keys().eq(&versions)
        {
            return Ok(Some(Arc::clone(last)));
        }
        let known = |version: &Version| last.as_ref()?.releases.get(version).cloned();
        let reads = versions.into_iter().map(|version| {
            let known = known(&version);
            async move {
                let stored = match known {
                    Some(stored) => stored,
                    None => self.read(permit, &version).await?,
                };
                Ok::<_, Fault>((version, stored))
            }
        });
        let reads = stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        let releases: BTreeMap<Version, Stored> = reads.try_collect().await?;
        let name = permit.name().clone();
        let rendering = move || {
            let package = render(&name, &releases)
                .map_err(|error| Fault::new(format!("rendering {name}"), error))?;
            Ok(Some(Arc::new(Shown {
                package: Arc::new(package),
                releases,
            })))
        };
        // A package with hundreds of releases takes long enough to hold others up.
        tokio::task::spawn_blocking(rendering)
            .await
            .map_err(|error| Fault::new(format!("rendering {}", permit.name()), error))?
    }

    async fn read(&self, permit: &Permit, version: &Version) -> Result<Stored, Fault> {
        let Record {
            published_at,
            tags,
            manifest,
            ..
        } = self.store.record(permit, version).await?;
        let name = permit.name();
        let release =
            Release::read(name, version, &manifest, &self.public_url).ok_or_else(|| {
                Fault::new(
                    format!("reading {name} {version}"),
                    "the release is corrupt",
                )
            })?;
        Ok(Stored {
            release: Arc::new(release),
            published_at,
            tags: tags.into_iter().collect(),
        })
    }
}

fn render(
    name: &PackageName,
    releases: &BTreeMap<Version, Stored>,
) -> Result<Package, serde_json::Error> {
    let tags = current_tags(releases);
    let mut rest: BTreeMap<String, Box<RawValue>> = BTreeMap::new();
    if let Some(latest) = tags
        .get(Tag::latest().as_str())
        .and_then(|to| releases.get(to))
    {
        let members: Members<'_> = serde_json::from_str(latest.release.manifest.get())?;
        for member in LATEST_MEMBERS {
            if let Some(value) = members.get(member) {
                rest.insert(member.to_owned(), (*value).to_owned());
            }
        }
    }
    let modified = releases.values().map(|stored| stored.published_at).max();
    let modified = modified.map(|time| time.to_string());
    rest.insert("time".to_owned(), to_raw_value(&times(releases))?);
    let releases = releases.iter();
    let releases = releases.map(|(version, stored)| (version.clone(), Arc::clone(&stored.release)));
    Package::render(name, tags, releases.collect(), modified.as_deref(), &rest)
}

/// The publish that carried a tag last has it. `latest` is always there, as npm expects: where
/// no publish carried it, the first one has it.
fn current_tags(releases: &BTreeMap<Version, Stored>) -> BTreeMap<String, Version> {
    let mut in_order: Vec<_> = releases.iter().collect();
    // Versions decide between publishes of one microsecond.
    in_order.sort_by_key(|(version, stored)| (stored.published_at, *version));
    let mut tags = BTreeMap::new();
    if let Some((first, _)) = in_order.first() {
        tags.insert(Tag::latest().to_string(), (*first).clone());
    }
    for (version, stored) in in_order {
        for tag in stored.tags.iter() {
            tags.insert(tag.to_string(), version.clone());
        }
    }
    tags
}

fn times(releases: &BTreeMap<Version, Stored>) -> BTreeMap<String, Timestamp> {
    let all = || releases.values().map(|stored| stored.published_at);
    let mut times: BTreeMap<String, Timestamp> = releases
        .iter()
        .map(|(version, stored)| (version.to_string(), stored.published_at))
        .collect();
    times.extend(all().min().map(|first| ("created".to_owned(), first)));
    times.extend(all().max().map(|last| ("modified".to_owned(), last)));
    times
}
