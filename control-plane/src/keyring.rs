//! The signing keys of this process: what is stored of them, and the private halves that sign.
//!
//! Whoever signs or publishes reads the present state and never waits. Changes are made one at a
//! time, with a [`KeyChange`]: the new key's file first, then the row, and after the commit the
//! files that are of no use any more. The new state is in force from just before the commit on,
//! so that nothing that is written after a removal is signed with the removed key.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use activation_token::{Claims, KeySet, SignError, SigningKey};
use anyhow::Context;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::{KeyPolicy, KeyRecord, KeyRing, KeyState};
use crate::entropy::Entropy;
use crate::key_dir::KeyDir;

/// All signing keys. Swapped whole, never edited.
pub struct Keyring {
    dir: Arc<KeyDir>,
    policy: KeyPolicy,
    state: ArcSwap<State>,
    turn: Arc<Mutex<()>>,
}

struct State {
    ring: KeyRing,
    private: HashMap<String, Arc<SigningKey>>,
}

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// No key may sign now, or the one that may has no private half here.
    #[error("there is no signing key to sign with")]
    NoSigner,
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// A turn to change the keys. Dropped before [`Self::keep`], it takes back what it installed; the
/// store is read again soon, in case the change was made all the same.
pub struct KeyChange {
    keyring: Arc<Keyring>,
    before: Option<Arc<State>>,
    /// Its file is on the disk.
    spare: Option<Arc<SigningKey>>,
    spare_is_used: bool,
    _turn: OwnedMutexGuard<()>,
}

impl Keyring {
    /// The keys of a store, with their files.
    pub async fn open(
        dir: KeyDir,
        policy: KeyPolicy,
        records: Vec<KeyRecord>,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let nothing = State {
            ring: KeyRing::new(Vec::new(), policy),
            private: HashMap::new(),
        };
        let keyring = Self {
            dir: Arc::new(dir),
            policy,
            state: ArcSwap::from_pointee(nothing),
            turn: Arc::default(),
        };
        keyring.load(records, now).await?;
        Ok(keyring)
    }

    /// Signs claims with the key that signs now.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String, SigningError> {
        let state = self.state.load();
        let signer = state.ring.signer(now).ok_or(SigningError::NoSigner)?;
        let key = state.private.get(signer.id());
        Ok(key.ok_or(SigningError::NoSigner)?.sign(claims)?)
    }

    /// The keys whose tokens count.
    pub fn published(&self, now: Timestamp) -> KeySet {
        self.state.load().ring.published(now)
    }

    /// All keys as they stand.
    pub fn ring(&self) -> KeyRing {
        self.state.load().ring.clone()
    }

    /// A ring of these keys under the policy in force.
    pub fn ring_of(&self, records: Vec<KeyRecord>) -> KeyRing {
        KeyRing::new(records, self.policy)
    }

    /// The files.
    pub fn dir(&self) -> &Arc<KeyDir> {
        &self.dir
    }

    /// Whether there is a private half to sign with.
    pub fn holds(&self, id: &str) -> bool {
        self.state.load().private.contains_key(id)
    }

    /// Waits for a turn to change the keys.
    pub async fn change(self: &Arc<Self>) -> KeyChange {
        KeyChange {
            _turn: Arc::clone(&self.turn).lock_owned().await,
            keyring: Arc::clone(self),
            before: None,
            spare: None,
            spare_is_used: false,
        }
    }

    /// Goes by what is stored. A key that has to sign must have its file; one that signed before
    /// can do without, since its public half is all that its tokens need.
    async fn load(&self, records: Vec<KeyRecord>, now: Timestamp) -> anyhow::Result<()> {
        let ring = self.ring_of(records);
        let present = self.state.load_full();
        let mut private = HashMap::new();
        let (mut needed, mut wanted) = (Vec::new(), Vec::new());
        for status in ring.statuses(now) {
            let id = status.record.id().to_owned();
            match (status.state, present.private.get(&id)) {
                (KeyState::Retired | KeyState::Removed, _) => {}
                (_, Some(key)) => drop(private.insert(id, Arc::clone(key))),
                (KeyState::Retiring, None) => wanted.push(id),
                (KeyState::Pending | KeyState::Signing, None) => needed.push(id),
            }
        }
        if !(needed.is_empty() && wanted.is_empty()) {
            let loaded = self.blocking(move |dir| {
                let there: HashSet<String> = dir.ids()?.into_iter().collect();
                let wanted = wanted.iter().filter(|id| there.contains(*id));
                dir.load_all(needed.iter().chain(wanted).map(String::as_str))
            });
            for key in loaded.await? {
                private.insert(key.public().id().to_owned(), Arc::new(key));
            }
        }
        self.state.store(Arc::new(State { ring, private }));
        Ok(())
    }

    /// Does what has to do with files where blocking is allowed.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&KeyDir) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let dir = Arc::clone(&self.dir);
        let done = tokio::task::spawn_blocking(move || work(&dir)).await;
        done.context("the work on the key files was broken off")?
    }
}

impl KeyChange {
    /// Goes by what is stored from now on.
    pub async fn reload(&self, records: Vec<KeyRecord>, now: Timestamp) -> anyhow::Result<()> {
        self.keyring.load(records, now).await
    }

    /// Makes a new key with its file, in case one is needed. One that is not used goes again.
    pub async fn prepare(&mut self, entropy: Arc<dyn Entropy>) -> anyhow::Result<()> {
        let made = self
            .keyring
            .blocking(move |dir| dir.make(&*entropy))
            .await?;
        self.spare = Some(Arc::new(made));
        Ok(())
    }

    /// Takes a key from elsewhere for the new one, and writes its file.
    pub async fn import(&mut self, key: SigningKey) -> anyhow::Result<()> {
        let kept = self.keyring.blocking(move |dir| {
            dir.keep(&key)?;
            Ok(key)
        });
        self.spare = Some(Arc::new(kept.await?));
        Ok(())
    }

    /// Takes a key whose file is here already.
    pub async fn adopt(&mut self, id: String) -> anyhow::Result<()> {
        let loaded = self.keyring.blocking(move |dir| dir.load(&id)).await?;
        self.spare = Some(Arc::new(loaded));
        // It was not made here, so it never goes.
        self.spare_is_used = true;
        Ok(())
    }

    /// The key that [`Self::prepare`], [`Self::import`] or [`Self::adopt`] brought.
    pub fn spare(&self) -> Option<&SigningKey> {
        self.spare.as_deref()
    }

    /// Puts a state in force whose rows are written and not committed yet.
    pub(crate) fn install(&mut self, ring: KeyRing, now: Timestamp) {
        let before = self.keyring.state.load_full();
        let mut private = before.private.clone();
        if let Some(spare) = &self.spare
            && ring.status(spare.public().id(), now).is_some()
        {
            self.spare_is_used = true;
            private.insert(spare.public().id().to_owned(), Arc::clone(spare));
        }
        self.keyring.state.store(Arc::new(State { ring, private }));
        self.before.get_or_insert(before);
    }

    /// Ends the turn after the commit: the state stays, and what signs no more loses its file.
    pub async fn keep(mut self, now: Timestamp) {
        self.before = None;
        if let Err(error) = self.erase_spent(now).await {
            tracing::warn!(
                error = &*error,
                "files of spent signing keys could not be erased"
            );
        }
    }

    /// Erases the private halves that cannot sign again. A tidier comes by later, should this
    /// fail.
    async fn erase_spent(&self, now: Timestamp) -> anyhow::Result<()> {
        let state = self.keyring.state.load_full();
        let spent: HashSet<String> = state
            .ring
            .statuses(now)
            .filter(|status| !status.state.is_published())
            .map(|status| status.record.id().to_owned())
            .collect();
        if spent.is_empty() {
            return Ok(());
        }
        let mut private = state.private.clone();
        private.retain(|id, _| !spent.contains(id));
        let ring = state.ring.clone();
        self.keyring.state.store(Arc::new(State { ring, private }));
        let erased = self.keyring.blocking(move |dir| {
            let ids = dir.ids()?;
            let mut spent = ids.iter().filter(|id| spent.contains(*id));
            spent.try_for_each(|id| dir.erase(id))
        });
        erased.await
    }
}

impl Drop for KeyChange {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            self.keyring.state.store(before);
        }
        // One that was used may be on record even where the commit seemed to fail.
        let unused = self.spare.take().filter(|_| !self.spare_is_used);
        if let (Some(key), Ok(runtime)) = (unused, tokio::runtime::Handle::try_current()) {
            let dir = Arc::clone(&self.keyring.dir);
            runtime.spawn_blocking(move || {
                if let Err(error) = dir.erase(key.public().id()) {
                    tracing::warn!(error = &*error, "an unused signing key could not be erased");
                }
            });
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.dir).finish()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use tempfile::TempDir;

    use super::*;
    use crate::data_dir::DataDir;
    use crate::entropy::OsEntropy;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn record(key: &SigningKey, signs_from: Timestamp) -> KeyRecord {
        KeyRecord {
            key: key.public().clone(),
            created_at: signs_from,
            signs_from,
            removed_at: None,
        }
    }

    async fn open(dir: &TempDir, records: &[KeyRecord], hours: i64) -> anyhow::Result<Keyring> {
        let keys = DataDir::open(dir.path())?.signing_keys()?;
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        Keyring::open(keys, KeyPolicy::new(HOUR, HOUR), records.to_vec(), now).await
    }

    #[tokio::test]
    async fn a_key_that_has_to_sign_needs_its_file_and_one_that_has_signed_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = DataDir::open(dir.path()).unwrap().signing_keys().unwrap();
        let [old, new] = [(); 2].map(|()| files.make(&OsEntropy).unwrap());
        let records = [
            record(&old, Timestamp::UNIX_EPOCH),
            record(&new, Timestamp::UNIX_EPOCH + 2 * HOUR),
        ];
        let holds = async |hours| {
            let keyring = open(&dir, &records, hours).await;
            keyring.map(|keyring| [&old, &new].map(|key| keyring.holds(key.public().id())))
        };
        assert_eq!(holds(2).await.unwrap(), [true, true]);
        // Retired: nothing is read that is of no use.
        assert_eq!(holds(4).await.unwrap(), [false, true]);
        files.erase(old.public().id()).unwrap();
        let error = holds(1).await.unwrap_err().to_string();
        assert!(error.contains("is missing"), "{error}");
        assert_eq!(holds(2).await.unwrap(), [false, true]);
        // Before it signs, the new one is as much needed.
        files.keep(&old).unwrap();
        files.erase(new.public().id()).unwrap();
        for hours in [1, 2] {
            let error = holds(hours).await.unwrap_err().to_string();
            assert!(error.contains(new.public().id()), "{error}");
        }
    }

    #[tokio::test]
    async fn a_key_that_is_not_used_loses_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Arc::new(open(&dir, &[], 0).await.unwrap());
        let mut change = keyring.change().await;
        change.prepare(Arc::new(OsEntropy)).await.unwrap();
        assert_eq!(keyring.dir.ids().unwrap().len(), 1);
        drop(change);
        while !keyring.dir.ids().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(!format!("{keyring:?}").contains("private"));
    }
}
