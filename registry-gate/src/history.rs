//! What has become of a package: a log that only grows, and what follows from it.
//!
//! Releases and changes never change once they are written. A package's state is what comes out
//! when they are taken one after the other, in an order that is the same for every gate:
//!
//! * Each carries a time that is later than all that its writer had seen ([`next_time`]), so
//!   whatever ended before it began stands before it, however wrong the writer's clock is.
//! * Changes are numbered without gaps, and only one can have a number. So a change was decided
//!   with all earlier changes in view.
//! * Between a release and a change of one time nobody saw the other; the release comes first.
//!   Between two releases of one time their versions decide.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::tag::Tag;

/// A change to a package, as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    pub(crate) at: Timestamp,
    /// The id of the credential that made it.
    pub(crate) by: String,
    /// Tells it from another writer's, should an answer of the store be lost.
    pub(crate) attempt: String,
    /// Done together, in this order.
    pub(crate) deeds: Vec<Deed>,
}

/// A part of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "deed")]
pub(crate) enum Deed {
    /// The tag points to this version from now on.
    MoveTag { tag: Tag, version: Version },
    /// The tag is gone.
    RemoveTag { tag: Tag },
    /// Whoever installs the version is shown a text; an empty one lifts it.
    Deprecate { version: Version, text: String },
    /// The version is gone, and can never come back.
    Unpublish { version: Version },
}

/// A release, as far as the state follows from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish<'r> {
    pub(crate) version: &'r Version,
    pub(crate) at: Timestamp,
    /// The tags that it carried.
    pub(crate) tags: &'r [Tag],
}

/// What follows from releases and changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// The versions that can be installed.
    pub(crate) live: BTreeSet<Version>,
    /// The versions that were unpublished.
    pub(crate) gone: BTreeSet<Version>,
    pub(crate) tags: BTreeMap<Tag, Version>,
    /// The last text for each version that ever had one.
    pub(crate) deprecated: BTreeMap<Version, String>,
    /// When the last thing happened.
    pub(crate) modified: Option<Timestamp>,
}

impl State {
    /// Takes releases, in any order, and changes, by their numbers.
    pub(crate) fn of(mut releases: Vec<Publish<'_>>, changes: &[Change]) -> Self {
        releases.sort_by_key(|release| (release.at, release.version));
        let mut state = Self::default();
        let mut changes = changes.iter().peekable();
        for release in releases {
            while let Some(change) = changes.next_if(|change| change.at < release.at) {
                state.change(change);
            }
            state.publish(release);
        }
        for change in changes {
            state.change(change);
        }
        state
    }

    fn publish(&mut self, release: Publish<'_>) {
        self.modified = self.modified.max(Some(release.at));
        if self.gone.contains(release.version) {
            return;
        }
        self.live.insert(release.version.clone());
        for tag in release.tags {
            self.tags.insert(tag.clone(), release.version.clone());
        }
        self.elect_latest();
    }

    fn change(&mut self, change: &Change) {
        self.modified = self.modified.max(Some(change.at));
        for deed in &change.deeds {
            self.apply(deed);
        }
    }

    /// Does what a deed says. What is about a version that is not there does nothing.
    pub(crate) fn apply(&mut self, deed: &Deed) {
        match deed {
            Deed::MoveTag { tag, version } if self.live.contains(version) => {
                self.tags.insert(tag.clone(), version.clone());
            }
            Deed::RemoveTag { tag } if *tag != Tag::latest() => {
                self.tags.remove(tag);
            }
            Deed::Deprecate { version, text } if self.live.contains(version) => {
                self.deprecated.insert(version.clone(), text.clone());
            }
            Deed::Unpublish { version } => {
                self.live.remove(version);
                self.gone.insert(version.clone());
                self.deprecated.remove(version);
                self.tags.retain(|_, to| to != version);
                self.elect_latest();
            }
            _ => {}
        }
    }

    /// npm expects `latest` on every package. Where it points nowhere it goes to the highest
    /// stable version, or else to the highest.
    fn elect_latest(&mut self) {
        if self.tags.contains_key(&Tag::latest()) {
            return;
        }
        let stable = self.live.iter().rfind(|version| version.pre.is_empty());
        if let Some(version) = stable.or(self.live.last()) {
            self.tags.insert(Tag::latest(), version.clone());
        }
    }
}

/// The time of what is written now: the clock's, unless something that is there already is not
/// before it.
pub(crate) fn next_time(now: Timestamp, newest: Option<Timestamp>) -> Timestamp {
    match newest {
        Some(newest) if newest >= now => newest
            .checked_add(SignedDuration::from_micros(1))
            .unwrap_or(newest),
        _ => now,
    }
}

#[cfg(test)]
mod tests;
