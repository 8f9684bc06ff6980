//! The life of signing keys: pending, signing, retiring, retired; or removed by force.
//!
//! All of it follows from a few stored times, so nothing has to run at the right moment: a key
//! is inserted with the time from which it signs, and everybody who reads the ring later comes
//! to the same answer.

use activation_token::{Key, KeySet, LEEWAY_SECONDS_MAX};
use jiff::{SignedDuration, Timestamp};

/// How long a reader of the published key set may keep it, in seconds.
pub const JWKS_MAX_AGE_SECONDS: u32 = 300;
/// Between the time a key is said to be made and the commit that shows it, and between the
/// clocks of two machines, lies no more.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// Far more than any schedule publishes, and less than a gate reads.
const PUBLISHED_MAX: usize = 20;

/// What is stored of a signing key. Its private half lies in a file.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// The public half; its thumbprint is the id.
    pub key: Key,
    /// When it was inserted, and so published.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// When it was removed by force, if it was.
    pub removed_at: Option<Timestamp>,
}

impl KeyRecord {
    /// The RFC 7638 thumbprint.
    pub fn id(&self) -> &str {
        self.key.id()
    }

    fn is_removed(&self, now: Timestamp) -> bool {
        self.removed_at.is_some_and(|at| at <= now)
    }

    /// Whether it may sign as far as its own times go.
    fn is_in_use(&self, now: Timestamp) -> bool {
        self.signs_from <= now && !self.is_removed(now)
    }

    fn is_pending(&self, now: Timestamp) -> bool {
        now < self.signs_from && !self.is_removed(now)
    }
}

/// The times that rotation has to respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPolicy {
    wait: SignedDuration,
    keep: SignedDuration,
}

impl KeyPolicy {
    /// The policy for gates that go on without news for `max_stale`, and tokens that live for
    /// `life_max` at the longest: the longest of any that may still be about, not only of those
    /// that are made today.
    pub fn new(max_stale: SignedDuration, life_max: SignedDuration) -> Self {
        let max_age = SignedDuration::from_secs(JWKS_MAX_AGE_SECONDS.into());
        let leeway = SignedDuration::from_secs(i64::from(LEEWAY_SECONDS_MAX));
        Self {
            wait: max_stale.max(max_age).saturating_add(MARGIN),
            keep: life_max.saturating_add(leeway),
        }
    }

    /// How long a new key is published before it signs: after that, no gate that is open and no
    /// cache of the key set can lack it.
    pub fn wait(&self) -> SignedDuration {
        self.wait
    }

    /// How long a key stays published after its last signature.
    pub fn keep(&self) -> SignedDuration {
        self.keep
    }
}

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, so that it is known everywhere when it begins to sign.
    Pending,
    /// Signs.
    Signing,
    /// Signs no more, but tokens it signed may still be good.
    Retiring,
    /// Over: no token that it signed can still be good.
    Retired,
    /// Removed by force: what it signed is refused.
    Removed,
}

impl KeyState {
    /// The state as it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Signing => "signing",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Removed => "removed",
        }
    }

    /// Whether a key in this state is in the published set.
    pub fn is_published(self) -> bool {
        matches!(self, Self::Pending | Self::Signing | Self::Retiring)
    }
}

/// A key at a moment.
#[derive(Debug, Clone, Copy)]
pub struct KeyStatus<'r> {
    /// The key.
    pub record: &'r KeyRecord,
    /// Where it stands.
    pub state: KeyState,
    /// When that changes if nobody does anything; never, where there is none.
    pub changes_at: Option<Timestamp>,
}

/// What has to go with the forced removal of a key, in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// Nothing: another key signs.
    SignerRemains,
    /// The pending key with this id signs at once: its `signs_from` becomes now.
    PendingSigns(String),
    /// A new key is needed, which [`KeyRing::add`] lets sign at once.
    NewKeyNeeded,
}

/// Why no key can be added now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefused {
    /// One is on its way.
    #[error("a new signing key is pending already and signs from {signs_from}")]
    Pending {
        /// When it begins to sign.
        signs_from: Timestamp,
    },
    /// It is or was one of ours. A removed key never comes back.
    #[error("this signing key is known already; a key is used once")]
    Known,
    /// Every one is read by every gate.
    #[error("{PUBLISHED_MAX} signing keys are published; wait until some of them are retired")]
    TooMany,
}

/// All keys there ever were, and the policy they live by.
#[derive(Debug, Clone)]
pub struct KeyRing {
    /// In the order in which they sign.
    records: Vec<KeyRecord>,
    policy: KeyPolicy,
}

impl KeyRing {
    /// A ring of all stored keys, in any order.
    pub fn new(mut records: Vec<KeyRecord>, policy: KeyPolicy) -> Self {
        let order = |r: &KeyRecord| (r.signs_from, r.created_at);
        records.sort_by(|a, b| (order(a), a.id()).cmp(&(order(b), b.id())));
        Self { records, policy }
    }

    /// The key that signs: the newest that may. None only if all are removed or retired.
    pub fn signer(&self, now: Timestamp) -> Option<&KeyRecord> {
        let newest = self.records.iter().rposition(|r| r.is_in_use(now))?;
        let status = self.status_at(newest, now)?;
        (status.state == KeyState::Signing).then_some(status.record)
    }

    /// The keys whose signatures count.
    pub fn published(&self, now: Timestamp) -> KeySet {
        let keys = self.statuses(now).filter(|s| s.state.is_published());
        KeySet::new(keys.map(|s| s.record.key.clone()).collect())
    }

    /// Every key as it stands, in the order in which they sign.
    pub fn statuses(&self, now: Timestamp) -> impl Iterator<Item = KeyStatus<'_>> {
        (0..self.records.len()).filter_map(move |at| self.status_at(at, now))
    }

    /// One key as it stands.
    pub fn status(&self, id: &str, now: Timestamp) -> Option<KeyStatus<'_>> {
        let at = self.records.iter().position(|r| r.id() == id)?;
        self.status_at(at, now)
    }

    /// When the next key changes its state if nobody does anything.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.statuses(now).filter_map(|s| s.changes_at).min()
    }

    /// When rotation is due under a schedule: so long after the newest key was made. None while
    /// a key is pending.
    pub fn next_rotation(&self, every: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        if self.records.iter().any(|r| r.is_pending(now)) {
            return None;
        }
        let living = self.records.iter().filter(|r| !r.is_removed(now));
        Some(later(living.map(|r| r.created_at).max()?, every))
    }

    /// The record of a new key: it waits until everybody knows it, unless nobody else can sign.
    pub fn add(&self, key: Key, now: Timestamp) -> Result<KeyRecord, RotationRefused> {
        if self.records.iter().any(|r| r.id() == key.id()) {
            return Err(RotationRefused::Known);
        }
        let mut signs_from = now;
        if self.signer(now).is_some() {
            if let Some(pending) = self.records.iter().find(|r| r.is_pending(now)) {
                return Err(RotationRefused::Pending {
                    signs_from: pending.signs_from,
                });
            }
            let published = self.statuses(now).filter(|s| s.state.is_published());
            if published.count() >= PUBLISHED_MAX {
                return Err(RotationRefused::TooMany);
            }
            signs_from = later(now, self.policy.wait);
        }
        Ok(KeyRecord {
            key,
            created_at: now,
            signs_from,
            removed_at: None,
        })
    }

    /// What the forced removal of a key entails; none if there is no such key or it is removed
    /// already.
    pub fn remove(&self, id: &str, now: Timestamp) -> Option<Removal> {
        let mut after = self.clone();
        let record = after.records.iter_mut().find(|r| r.id() == id)?;
        if record.is_removed(now) {
            return None;
        }
        record.removed_at = Some(now);
        if after.signer(now).is_some() {
            return Some(Removal::SignerRemains);
        }
        // The first to sign is the one that has been published longest.
        let pending = after.records.iter().find(|r| r.is_pending(now));
        Some(pending.map_or(Removal::NewKeyNeeded, |r| {
            Removal::PendingSigns(r.id().to_owned())
        }))
    }

    fn status_at(&self, at: usize, now: Timestamp) -> Option<KeyStatus<'_>> {
        let record = self.records.get(at)?;
        let newer = self.records.get(at + 1..).unwrap_or_default();
        let retires_at = self.retires_at(newer);
        let (state, changes_at) = if record.is_removed(now) {
            (KeyState::Removed, None)
        } else if record.is_pending(now) {
            (KeyState::Pending, Some(record.signs_from))
        } else if retires_at.is_some_and(|at| at <= now) {
            (KeyState::Retired, None)
        } else if newer.iter().any(|r| r.is_in_use(now)) {
            (KeyState::Retiring, retires_at)
        } else {
            let next = newer.iter().find(|r| r.is_pending(now));
            (KeyState::Signing, next.map(|r| r.signs_from))
        };
        Some(KeyStatus {
            record,
            state,
            changes_at,
        })
    }

    /// When a key with these newer ones has signed nothing for so long that its last token is
    /// over. From then on it is unknown to the gates and cannot sign again, whatever becomes of
    /// the newer ones; before, it steps in again when they are removed.
    fn retires_at(&self, newer: &[KeyRecord]) -> Option<Timestamp> {
        let mut idle: Option<(Timestamp, Timestamp)> = None;
        let retires = |(since, until)| {
            let at = later(since, self.policy.keep);
            (at < until).then_some(at)
        };
        for other in newer {
            let (from, until) = (other.signs_from, other.removed_at.unwrap_or(Timestamp::MAX));
            if until <= from {
                continue;
            }
            idle = match idle {
                Some((since, end)) if from <= end => Some((since, end.max(until))),
                Some(over) if retires(over).is_some() => break,
                _ => Some((from, until)),
            };
        }
        idle.and_then(retires)
    }
}

/// Time added without an overflow.
fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
