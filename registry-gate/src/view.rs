//! What the gate decides by: a snapshot of the control plane, checked whole and compiled for
//! look-ups. Replaced whole, never edited, never rolled back, and not used when stale.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use activation_token::clock::Clock;
use activation_token::credential::{CredentialKind, HashKey, is_well_formed};
use activation_token::snapshot::{Publisher, Snapshot};
use activation_token::{KeySet, KeySetError, TokenError, Verifier};
use arc_swap::ArcSwapOption;
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use manifest::{NotCanonical, PackageName, PackageSet, SetDigest, TierName};
use secrecy::SecretString;

use crate::grant::{Grant, Granted};
use crate::notices::Notices;
use crate::observe::Pulse;
use crate::package_sets::PackageSets;
use crate::revocations::{Revocations, Revoked};

/// How far the control plane's clock and ours may differ, in seconds: for tokens and snapshots.
const LEEWAY_SECONDS: u8 = 60;

/// A compiled snapshot.
pub(crate) struct View {
    sequence: u64,
    issued_at: Timestamp,
    fresh_until: Timestamp,
    scope: String,
    verifier: Verifier,
    /// The license whose bundle it came with, if so: it serves no other, of which nobody told what
    /// was taken back, and nothing will come after it.
    bundled_for: Option<String>,
    keys: KeySet,
    /// Ascending.
    tiers: Vec<Tier>,
    sets: HashMap<SetDigest, Arc<PackageSet>>,
    revocations: Revocations,
    notices: Notices,
    hash_key: HashKey,
    publishers: Vec<Publisher>,
}

struct Tier {
    name: TierName,
    set: Arc<PackageSet>,
}

/// Why a snapshot cannot be decided by. The gate keeps the one it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Issuer or audience is empty, so any token would be somebody else's.
    #[error("the snapshot names no issuer or no audience")]
    Parties,
    /// The scope is not an npm scope.
    #[error("the snapshot's scope `{0}` is not an npm scope such as `@acme`")]
    Scope(String),
    /// A key is unsound; one bad key spoils the set.
    #[error("the snapshot's keys: {0}")]
    Keys(#[from] KeySetError),
    /// A set is out of order or has a name twice.
    #[error("a package set of the snapshot: {0}")]
    Set(#[from] NotCanonical),
    /// A set has a package outside the scope.
    #[error("the snapshot has `{0}`, which is outside its scope")]
    OutOfScope(PackageName),
    /// A tier names a set that is not there.
    #[error("the snapshot has no package set for tier `{0}`")]
    TierSet(TierName),
    /// A tier stands twice, or lacks a package of the tier below it.
    #[error("tier `{0}` of the snapshot stands twice or lacks packages of the tier below")]
    TierOrder(TierName),
    /// The publishers' hash key is not 32 bytes of base64url.
    #[error("the snapshot's publisher hash key is not 32 bytes of base64url")]
    HashKey,
}

impl View {
    /// Checks a snapshot whole and compiles it. Its package sets are shared with who holds them.
    pub(crate) fn compile(snapshot: Snapshot, shared: &PackageSets) -> Result<Self, ViewError> {
        if snapshot.issuer.is_empty() || snapshot.audience.is_empty() {
            return Err(ViewError::Parties);
        }
        // A scope is whatever makes a name of a base.
        let probe = PackageName::parse(&format!("{}/a", snapshot.scope));
        if probe.ok().and_then(|name| name.scope().map(str::len)) != Some(snapshot.scope.len()) {
            return Err(ViewError::Scope(snapshot.scope));
        }
        let jwks = serde_json::to_vec(&snapshot.keys).map_err(|_| KeySetError::Form)?;
        let keys = KeySet::from_jwks(&jwks)?;
        let sets = compile_sets(snapshot.sets, &snapshot.scope, shared)?;
        let mut tiers: Vec<Tier> = Vec::with_capacity(snapshot.tiers.len());
        for tier in snapshot.tiers {
            let found = sets.get(&tier.set).cloned();
            let set = found.ok_or_else(|| ViewError::TierSet(tier.name.clone()))?;
            let twice = tiers.iter().any(|below| below.name == tier.name);
            let nested = tiers.last().is_none_or(|below| set.is_superset(&below.set));
            if twice || !nested {
                return Err(ViewError::TierOrder(tier.name));
            }
            tiers.push(Tier {
                name: tier.name,
                set,
            });
        }
        let max_stale = SignedDuration::from_secs(snapshot.max_stale_seconds.into());
        Ok(Self {
            sequence: snapshot.sequence,
            issued_at: snapshot.issued_at,
            fresh_until: snapshot
                .issued_at
                .saturating_add(max_stale)
                .unwrap_or(snapshot.issued_at),
            verifier: Verifier::new(snapshot.issuer, snapshot.audience, LEEWAY_SECONDS),
            bundled_for: None,
            scope: snapshot.scope,
            keys,
            tiers,
            sets,
            revocations: Revocations::compile(snapshot.revocations),
            notices: Notices::compile(snapshot.expiring),
            hash_key: read_hash_key(&snapshot.publishers.hash_key)?,
            publishers: snapshot.publishers.credentials,
        })
    }

    /// The same as it comes with a bundle: for offline tokens and no others.
    fn of_bundle(self, license_id: String) -> Self {
        Self {
            verifier: self.verifier.offline(),
            bundled_for: Some(license_id),
            ..self
        }
    }

    /// The gated scope, with its `@`.
    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    /// When the control plane made it.
    pub(crate) fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// Whether it may still be decided by.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.fresh_until
    }

    /// Verifies a token that was not seen before.
    pub(crate) fn verify(
        &self,
        token: &str,
        sets: &PackageSets,
        now: Timestamp,
    ) -> Result<Grant, TokenError> {
        let verified = self.verifier.verify(token, &self.keys, now)?;
        let tiers = self.tiers.iter().map(|tier| &tier.name);
        Ok(Grant::new(verified, sets, tiers))
    }

    /// Checks again what may have changed since a token was verified, under this view or under
    /// one before it: key, time, issuer, audience.
    pub(crate) fn recheck(&self, grant: &Grant, now: Timestamp) -> Result<(), TokenError> {
        self.verifier.recheck(grant.standing(), &self.keys, now)
    }

    /// Why a good token no longer counts, if so.
    pub(crate) fn revoked(&self, grant: &Grant) -> Option<Revoked> {
        let (license, of_box) = (grant.license_id(), grant.box_id());
        if self
            .bundled_for
            .as_deref()
            .is_some_and(|own| own != license)
        {
            return Some(Revoked::NotOfBundle);
        }
        self.revocations.find(license, of_box, grant.issued_at())
    }

    /// What boxes are warned of.
    pub(crate) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// The packages of a token. `None` when it names a set that this view does not have.
    pub(crate) fn packages<'a>(&'a self, grant: &'a Grant) -> Option<&'a PackageSet> {
        match grant.packages() {
            Granted::Set(set) => Some(set),
            Granted::Reference(digest) => self.sets.get(digest).map(Arc::as_ref),
        }
    }

    /// The lowest tier that has the package.
    pub(crate) fn lowest_tier_with(&self, name: &PackageName) -> Option<&TierName> {
        let mut tiers = self.tiers.iter();
        let tier = tiers.find(|tier| tier.set.contains(name.as_str()));
        tier.map(|tier| &tier.name)
    }

    /// The packages of the highest tier, which has those of all.
    pub(crate) fn highest_tier(&self) -> Option<&PackageSet> {
        self.tiers.last().map(|tier| &*tier.set)
    }

    /// Whether `lower` stands below `upper`; an unknown tier stands nowhere.
    pub(crate) fn is_below(&self, lower: &TierName, upper: &TierName) -> bool {
        let place = |name| self.tiers.iter().position(|tier| &tier.name == name);
        place(lower) < place(upper)
    }

    /// The publisher that a secret belongs to, expired or not.
    pub(crate) fn publisher(&self, secret: &str) -> Option<&Publisher> {
        if !is_well_formed(CredentialKind::Publisher.prefix(), secret) {
            return None;
        }
        let digest = self.hash_key.digest(&SecretString::from(secret));
        let mut publishers = self.publishers.iter();
        publishers.find(|publisher| publisher.digest == digest)
    }
}

fn compile_sets(
    lists: Vec<Vec<PackageName>>,
    scope: &str,
    shared: &PackageSets,
) -> Result<HashMap<SetDigest, Arc<PackageSet>>, ViewError> {
    let mut sets = HashMap::with_capacity(lists.len());
    for names in lists {
        if let Some(name) = names.iter().find(|name| name.scope() != Some(scope)) {
            return Err(ViewError::OutOfScope(name.clone()));
        }
        let set = PackageSet::from_sorted(names)?;
        sets.insert(set.digest(), shared.hold(set).set);
    }
    Ok(sets)
}

fn read_hash_key(text: &str) -> Result<HashKey, ViewError> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(HashKey::from_bytes).ok_or(ViewError::HashKey)
}

/// Where new snapshots go in. The control plane in the same process and the follower of a gate
/// that stands alone use it alike.
///
/// A gate stops deciding `max_stale_seconds` after a snapshot's `issued_at`. Whoever holds this
/// must therefore send the state again from time to time, with a new `issued_at`, even when
/// nothing changed.
#[derive(Clone)]
pub struct SnapshotSender {
    views: Arc<Current>,
    clock: Arc<dyn Clock>,
    pulse: Arc<Pulse>,
}

/// The view in force. Read at every request, and therefore without a lock.
#[derive(Default)]
struct Current {
    view: ArcSwapOption<View>,
    /// Held by the one who replaces it.
    replacing: Mutex<()>,
    sets: PackageSets,
}

/// Why a snapshot was not taken. The gate goes on with the one it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is unsound.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The gate has a newer one: a higher number, or the same number made later.
    #[error("snapshot {offered} is older than snapshot {held}, which the gate has")]
    Older {
        /// The number of the snapshot that was sent.
        offered: u64,
        /// The number of the snapshot in force.
        held: u64,
    },
    /// It was made later than now, by more than clocks may differ: it would never be stale.
    #[error("snapshot {0} is dated ahead of this machine's clock")]
    AheadOfTime(u64),
}

impl SnapshotSender {
    /// Checks a snapshot and puts it in force. The same one twice does no harm.
    pub fn publish(&self, snapshot: Snapshot) -> Result<(), SnapshotError> {
        self.put(View::compile(snapshot, &self.views.sets)?)
    }

    /// The same with the snapshot of a bundle: offline tokens of its license count, and no others.
    pub fn publish_offline(
        &self,
        snapshot: Snapshot,
        license_id: String,
    ) -> Result<(), SnapshotError> {
        self.put(View::compile(snapshot, &self.views.sets)?.of_bundle(license_id))
    }

    fn put(&self, view: View) -> Result<(), SnapshotError> {
        let offered = (view.sequence, view.issued_at);
        let fresh_until = view.fresh_until;
        let leeway = SignedDuration::from_secs(LEEWAY_SECONDS.into());
        if self
            .clock
            .now()
            .saturating_add(leeway)
            .is_ok_and(|latest| view.issued_at > latest)
        {
            return Err(SnapshotError::AheadOfTime(view.sequence));
        }
        let turn = &self.views.replacing;
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        match &*self.views.view.load() {
            Some(held) if (held.sequence, held.issued_at) > offered => Err(SnapshotError::Older {
                offered: offered.0,
                held: held.sequence,
            }),
            _ => {
                self.views.view.store(Some(Arc::new(view)));
                self.heard();
                self.pulse.took(offered.0, offered.1, fresh_until);
                Ok(())
            }
        }
    }

    /// Notes that the control plane has answered, whether it had news or not.
    pub(crate) fn heard(&self) {
        self.pulse.heard(self.clock.now());
    }

    /// Where is noted what was heard.
    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }
}

/// The view in force, as the rule reads it.
pub(crate) struct Views(Arc<Current>);

/// Why there is nothing to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoView {
    /// None has come since the gate started.
    Missing,
    /// The last one is too old.
    Stale,
    /// It came with a bundle, which has ended.
    BundleEnded,
}

impl Views {
    /// An empty place for views and the way in to it.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> (Self, SnapshotSender) {
        let views = Arc::new(Current::default());
        (
            Self(Arc::clone(&views)),
            SnapshotSender {
                views,
                clock,
                pulse: Arc::default(),
            },
        )
    }

    /// The package sets of all views and tokens.
    pub(crate) fn sets(&self) -> &PackageSets {
        &self.0.sets
    }

    /// Lets `decide` see the view in force, if it is fresh at `now`.
    pub(crate) fn with<T>(
        &self,
        now: Timestamp,
        decide: impl FnOnce(&View) -> T,
    ) -> Result<T, NoView> {
        match &*self.0.view.load() {
            None => Err(NoView::Missing),
            Some(view) if !view.is_fresh(now) && view.bundled_for.is_some() => {
                Err(NoView::BundleEnded)
            }
            Some(view) if !view.is_fresh(now) => Err(NoView::Stale),
            Some(view) => Ok(decide(view)),
        }
    }
}
