//! Changing what was published: tags, deprecations, removal.

use std::sync::Arc;

use semver::Version;

use super::{Hosted, Shown};
use crate::access::PublishPermit;
use crate::amendment::Amendment;
use crate::fault::Failure;
use crate::history::{Change, Deed, State, next_time};
use crate::refusal::Refusal;
use crate::store::Created;
use crate::tag::Tag;

/// How often a change is decided anew because another one came first.
const DECISIONS_MAX: usize = 20;

impl Hosted {
    /// Points a tag to a version.
    pub(crate) async fn move_tag(
        &self,
        permit: &PublishPermit,
        tag: Tag,
        version: Version,
    ) -> Result<(), Failure> {
        let decide = |shown: &Shown| {
            must_be_live(permit, &shown.state, &version)?;
            let (tag, version) = (tag.clone(), version.clone());
            Ok(vec![Deed::MoveTag { tag, version }])
        };
        self.change(permit, decide).await
    }

    /// Removes a tag.
    pub(crate) async fn remove_tag(&self, permit: &PublishPermit, tag: Tag) -> Result<(), Failure> {
        if tag == Tag::latest() {
            return Err(Refusal::LatestStays.into());
        }
        let decide = |shown: &Shown| {
            if !shown.state.tags.contains_key(&tag) {
                return Err(no_such_release(permit));
            }
            Ok(vec![Deed::RemoveTag { tag: tag.clone() }])
        };
        self.change(permit, decide).await
    }

    /// Does what an amended document says that was read at a revision. Versions that it lacks are
    /// unpublished when `removes`.
    pub(crate) async fn amend(
        &self,
        permit: &PublishPermit,
        amendment: &Amendment,
        revision: &str,
        removes: bool,
    ) -> Result<(), Failure> {
        let decide = |shown: &Shown| {
            must_be_at(permit, shown, revision)?;
            amendment.deeds(&shown.package, &shown.state, removes)
        };
        self.change(permit, decide).await
    }

    /// Unpublishes every version that was there at a revision.
    pub(crate) async fn unpublish(
        &self,
        permit: &PublishPermit,
        revision: &str,
    ) -> Result<(), Failure> {
        let decide = |shown: &Shown| {
            must_be_at(permit, shown, revision)?;
            let versions = shown.state.live.iter().cloned();
            Ok(versions
                .map(|version| Deed::Unpublish { version })
                .collect())
        };
        self.change(permit, decide).await
    }

    /// Unpublishes one version, if that was not done before: npm takes the version out of the
    /// document first and then asks for its tarball to be deleted, with whatever revision the
    /// gate that it read from knew.
    pub(crate) async fn unpublish_version(
        &self,
        permit: &PublishPermit,
        version: &Version,
        revision: &str,
    ) -> Result<(), Failure> {
        if let Some(shown) = self.current(permit).await?
            && shown.state.gone.contains(version)
            && let Some(stored) = shown.releases.get(version)
        {
            // Once more, should the first time have failed.
            let deleted = self.store.delete_tarball(permit, &stored.release.integrity);
            return Ok(deleted.await?);
        }
        let decide = |shown: &Shown| {
            must_be_live(permit, &shown.state, version)?;
            must_be_at(permit, shown, revision)?;
            let version = version.clone();
            Ok(vec![Deed::Unpublish { version }])
        };
        self.change(permit, decide).await
    }

    /// Decides on the package as it is now, and again if somebody else's change came first. No
    /// deeds are no change.
    async fn change(
        &self,
        permit: &PublishPermit,
        decide: impl Fn(&Shown) -> Result<Vec<Deed>, Refusal>,
    ) -> Result<(), Failure> {
        for _ in 0..DECISIONS_MAX {
            let Some(shown) = self.current(permit).await? else {
                return Err(not_published(permit).into());
            };
            let deeds = decide(&shown)?;
            if deeds.is_empty() {
                return Ok(());
            }
            let at = next_time(self.clock.now(), shown.state.modified);
            let change = Change::new(permit, at, deeds);
            let number = shown.listing.changes + 1;
            let created = self.store.change(permit, number, &change).await;
            // Even after a fault: the change may be there.
            self.renew(&permit.reading());
            if created? == Created::New {
                let name = permit.name();
                tracing::info!(%name, number, publisher = permit.publisher(), deeds = ?change.deeds, "changed");
                self.delete_tarballs(permit, &shown, &change).await;
                return Ok(());
            }
        }
        Err(conflict(permit).into())
    }

    /// From here on nothing leads to them; one that stays takes up room and nothing else.
    async fn delete_tarballs(&self, permit: &PublishPermit, shown: &Arc<Shown>, change: &Change) {
        for deed in &change.deeds {
            let Deed::Unpublish { version } = deed else {
                continue;
            };
            if let Some(stored) = shown.releases.get(version) {
                let integrity = &stored.release.integrity;
                if let Err(fault) = self.store.delete_tarball(permit, integrity).await {
                    tracing::warn!(%fault, "the tarball of an unpublished version stays");
                }
            }
        }
    }
}

fn must_be_live(permit: &PublishPermit, state: &State, version: &Version) -> Result<(), Refusal> {
    if state.live.is_empty() {
        return Err(not_published(permit));
    }
    if !state.live.contains(version) {
        return Err(no_such_release(permit));
    }
    Ok(())
}

fn must_be_at(permit: &PublishPermit, shown: &Shown, revision: &str) -> Result<(), Refusal> {
    if shown.state.live.is_empty() {
        return Err(not_published(permit));
    }
    if shown.revision.as_str() != revision {
        return Err(conflict(permit));
    }
    Ok(())
}

fn not_published(permit: &PublishPermit) -> Refusal {
    Refusal::NotPublished {
        name: permit.name().clone(),
    }
}

fn no_such_release(permit: &PublishPermit) -> Refusal {
    Refusal::NoSuchRelease {
        name: permit.name().clone(),
    }
}

fn conflict(permit: &PublishPermit) -> Refusal {
    Refusal::RevisionConflict {
        name: permit.name().clone(),
    }
}
