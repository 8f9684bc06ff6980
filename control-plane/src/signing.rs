//! The signing keys of a server: opened at the start, tended in the background.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use activation_token::{LIFE_SECONDS_MAX, SigningKey};
use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::data_dir::DataDir;
use crate::domain::{KeyPolicy, Refusal, Requester, RotationRefused};
use crate::key_dir::KeyDir;
use crate::keyring::{KeyChange, Keyring};
use crate::operations::{Error, Operations, said};
use crate::store::{Store, signing_keys};

/// How exact the time is at which keys are rotated, and files erased.
const TEND_EVERY: Duration = Duration::from_secs(30);
/// Why a key came, for the audit log.
const GIVEN: &str = "given by `signing-key`";

/// Reads a signing key of the vendor's own. A public half alone is named as such (POT-30).
pub fn read_given(path: &Path, passphrase: Option<&SecretString>) -> anyhow::Result<SigningKey> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map(zeroize::Zeroizing::new)
        .with_context(|| format!("cannot read the signing key `{shown}`"))?;
    SigningKey::from_file_bytes(&bytes, passphrase)
        .with_context(|| format!("cannot sign with `{shown}`, which `signing-key` names"))
}

/// The keys that the store knows, with their files.
pub async fn open(
    store: &Store,
    data: &DataDir,
    max_stale: u32,
    now: Timestamp,
) -> anyhow::Result<Arc<Keyring>> {
    // Not what `token-life` says today: tokens of yesterday may live longer.
    let policy = KeyPolicy::new(
        SignedDuration::from_secs(max_stale.into()),
        SignedDuration::from_secs(LIFE_SECONDS_MAX),
    );
    let records = signing_keys::all(store.read().await?.link()).await?;
    let dir = data.signing_keys()?;
    Ok(Arc::new(Keyring::open(dir, policy, records, now).await?))
}

/// The first key of a new database, with its file: the one that is given, or a fresh one.
pub async fn first(
    operations: &Operations,
    given: Option<SigningKey>,
) -> anyhow::Result<KeyChange> {
    let mut change = operations.keyring.change().await;
    match given {
        Some(key) => change.import(key).await?,
        None => change.prepare(Arc::clone(&operations.entropy)).await?,
    }
    Ok(change)
}

/// Sees to it that an older database has a key to sign with, and takes in the one that is given.
///
/// A database of the version before names no keys; the one in its data directory becomes the
/// first. Nothing is made for it: with another key, every token there is would be refused.
pub async fn begin(operations: &Operations, mut given: Option<SigningKey>) -> anyhow::Result<()> {
    let keyring = &operations.keyring;
    let is_empty = keyring
        .ring()
        .statuses(operations.clock.now())
        .next()
        .is_none();
    if is_empty {
        let mut change = keyring.change().await;
        let there = keyring.blocking(KeyDir::ids).await?;
        let reason = match (&there[..], given.take()) {
            ([id], key) => {
                change.adopt(id.clone()).await?;
                given = key;
                "the key of an older data directory"
            }
            ([], Some(key)) => {
                change.import(key).await?;
                GIVEN
            }
            ([], None) => bail!(
                "`signing-key.pem` is missing, and the database was written with it\n  \
                 hint: restore it from a backup, or from the data directory that the database \
                 began with"
            ),
            (several, _) => bail!(
                "`signing-keys` holds {} keys, and the database does not tell which one signs\n  \
                 hint: leave the one alone in it that signed last",
                several.len()
            ),
        };
        add(operations, change, reason).await.map_err(said)?;
    }
    let Some(key) = given else { return Ok(()) };
    let id = key.public().id().to_owned();
    let now = operations.clock.now();
    if let Some(status) = keyring.ring().status(&id, now) {
        if !status.state.is_published() {
            let state = status.state.as_str();
            tracing::warn!(id, state, "the key of `signing-key` is not used any more");
        }
        return Ok(());
    }
    let mut change = keyring.change().await;
    change.import(key).await?;
    match add(operations, change, GIVEN).await {
        // The server runs well without it.
        Err(Error::Refused(Refusal::KeyNotAdded(
            refused @ (RotationRefused::Pending { .. } | RotationRefused::TooMany),
        ))) => {
            tracing::warn!(id, %refused, "the key of `signing-key` is taken in at a later start");
            Ok(())
        }
        added => added.map_err(said),
    }
}

async fn add(operations: &Operations, mut change: KeyChange, reason: &str) -> Result<(), Error> {
    let mut tx = operations.store.begin().await?;
    let reason = Some(reason.to_owned());
    let added = operations
        .rotate_signing_key(&mut tx, &Requester::system(), &mut change, reason)
        .await?;
    tx.commit(added).await?;
    change.keep(operations.clock.now()).await;
    Ok(())
}

/// Tends the keys now and then. Never ends.
pub async fn tend(operations: Arc<Operations>) -> Infallible {
    loop {
        if let Err(error) = operations.tend_signing_keys().await {
            let error = said(error);
            tracing::error!(error = &*error, "the signing keys could not be tended");
        }
        tokio::time::sleep(TEND_EVERY).await;
    }
}
