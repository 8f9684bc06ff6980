//! The data directory: who owns it, and the secrets that lie in it.
//!
//! A secret's file is made once, readable by its owner alone, and complete or not there at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use activation_token::SigningKey;
use activation_token::credential::HashKey;
use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, random};

/// An open data directory. No other process works on it meanwhile.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// What to do where a key's file is missing.
#[derive(Clone, Copy)]
pub enum Keys<'e> {
    /// Make it: nothing depends on it yet.
    MayBeMade(&'e dyn Entropy),
    /// Refuse: the database was written with it.
    MustExist,
}

impl DataDir {
    /// Opens the directory, makes it where it is missing, and locks it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the data directory `{shown}`"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| format!("cannot write in the data directory `{shown}`"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => {
                bail!("another tollgate is at work in the data directory `{shown}`")
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the data directory `{shown}`"))
            }
        }
    }

    /// The SQLite database; made empty where it is missing, so that nobody else may read it.
    pub fn database(&self) -> anyhow::Result<PathBuf> {
        let path = self.path.join("tollgate.db");
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot write the database `{}`", path.display()))?;
        Ok(path)
    }

    /// The gate's own packages.
    pub fn packages(&self) -> PathBuf {
        self.path.join("packages")
    }

    /// The first operator's token.
    pub fn operator_token(&self) -> PathBuf {
        self.path.join("operator-token")
    }

    /// The key that tokens are signed with; made at the first start.
    pub fn signing_key(&self, keys: Keys<'_>) -> anyhow::Result<SigningKey> {
        self.key_pair("signing-key.pem", keys)
    }

    /// The key that snapshots are signed with; made at the first start.
    pub fn root_key(&self, keys: Keys<'_>) -> anyhow::Result<SigningKey> {
        self.key_pair("root-key.pem", keys)
    }

    fn key_pair(&self, name: &str, keys: Keys<'_>) -> anyhow::Result<SigningKey> {
        let path = self.path.join(name);
        let pem = read_or_make(&path, keys, |entropy| {
            let seed = Zeroizing::new(random::<32>(entropy)?);
            Ok(SigningKey::from_seed(&seed)?.to_pem()?)
        })?;
        SigningKey::from_pem(&pem).with_context(|| format!("cannot use `{}`", path.display()))
    }

    /// The key that secrets are hashed with; made at the first start.
    pub fn hash_key(&self, keys: Keys<'_>) -> anyhow::Result<HashKey> {
        let path = self.path.join("hash-key");
        let hex = read_or_make(&path, keys, |entropy| {
            let bytes = Zeroizing::new(random::<32>(entropy)?);
            Ok(Zeroizing::new(data_encoding::HEXLOWER.encode(&*bytes)))
        })?;
        let bytes = data_encoding::HEXLOWER
            .decode(hex.trim_end().as_bytes())
            .ok();
        let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.with_context(|| format!("`{}` is damaged", path.display()))?;
        Ok(HashKey::from_bytes(bytes))
    }

    /// Keeps the first operator's token for whoever may read the directory.
    pub fn keep_operator_token(&self, token: &SecretString) -> anyhow::Result<()> {
        write_secret(
            &self.operator_token(),
            &format!("{}\n", token.expose_secret()),
        )
    }
}

fn read_or_make(
    path: &Path,
    keys: Keys<'_>,
    make: impl FnOnce(&dyn Entropy) -> anyhow::Result<Zeroizing<String>>,
) -> anyhow::Result<Zeroizing<String>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & 0o077 != 0 {
                bail!(
                    "`{0}` can be read by others\n  hint: chmod 600 {0}",
                    path.display()
                );
            }
            Ok(Zeroizing::new(text))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Keys::MayBeMade(entropy) = keys else {
                bail!(
                    "`{}` is missing, and the database was written with it\n  \
                     hint: restore it from a backup, or from the data directory that the database began with",
                    path.display()
                );
            };
            let text = make(entropy)?;
            write_secret(path, &text)?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Writes beside, syncs, then renames: the file is whole or absent.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent()
            .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;

    #[test]
    fn secrets_are_made_once_and_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("a/b")).unwrap();
        let first = data.signing_key(Keys::MayBeMade(&OsEntropy)).unwrap();
        let second = data.signing_key(Keys::MayBeMade(&OsEntropy)).unwrap();
        assert_eq!(first.public().id(), second.public().id());
        let hash_key = data.hash_key(Keys::MayBeMade(&OsEntropy)).unwrap();
        assert_eq!(
            hash_key.as_bytes(),
            data.hash_key(Keys::MayBeMade(&OsEntropy))
                .unwrap()
                .as_bytes()
        );
        for name in ["signing-key.pem", "hash-key"] {
            let mode = fs::metadata(data.path.join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let key = data.path.join("signing-key.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            data.signing_key(Keys::MayBeMade(&OsEntropy))
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another tollgate"), "{error}");
        drop(first);
        assert!(DataDir::open(dir.path()).is_ok());
    }
}
