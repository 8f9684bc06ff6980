//! The data directory: who owns it, and the secrets that lie in it.
//!
//! A secret's file is made once, readable by its owner alone, and complete or not there at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activation_token::SigningKey;
use activation_token::credential::HashKey;
use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, random};
use crate::key_dir::KeyDir;
use crate::secret_file::{self, Protection};
use crate::store::audit::Head;

/// An open data directory. No other process works on it meanwhile, unless it is only looked at.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    protection: Option<Protection>,
    /// None where it is only looked at.
    lock: Option<File>,
}

const HASH_KEY: &str = "hash-key";
const AUDIT_HEAD: &str = "audit-head";

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
                protection: None,
                lock: Some(lock),
            }),
            Err(TryLockError::WouldBlock) => {
                bail!("another tollgate is at work in the data directory `{shown}`")
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the data directory `{shown}`"))
            }
        }
    }

    /// Looks at a directory that is there, also beside a server, and changes nothing in it.
    pub fn look(path: &Path) -> anyhow::Result<Self> {
        if !path.is_dir() {
            bail!(
                "there is no data directory `{}`\n  hint: name it with `--data`",
                path.display()
            );
        }
        Ok(Self {
            path: path.to_owned(),
            protection: None,
            lock: None,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the keys under a passphrase from now on. Files that are plain are encrypted when
    /// they are next read; without the passphrase nobody can read them again.
    pub fn protect(
        self,
        passphrase: SecretString,
        entropy: Arc<dyn Entropy>,
    ) -> anyhow::Result<Self> {
        let protection = Some(Protection::new(passphrase, entropy)?);
        Ok(Self { protection, ..self })
    }

    /// The SQLite database; made empty where it is missing, so that nobody else may read it.
    pub fn database(&self) -> anyhow::Result<PathBuf> {
        let path = self.database_file();
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot write the database `{}`", path.display()))?;
        Ok(path)
    }

    /// Where the SQLite database is, or would be.
    pub fn database_file(&self) -> PathBuf {
        self.path.join("tollgate.db")
    }

    /// The end of the audit log as it was noted beside the database, if it was.
    pub fn audit_head(&self) -> anyhow::Result<Option<Head>> {
        let path = self.path.join(AUDIT_HEAD);
        let Some(bytes) = secret_file::read(&path)? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes).ok();
        let head = text.and_then(|text| text.parse().ok());
        head.map(Some).with_context(|| {
            format!(
                "`{}` is damaged: it must hold one line, a row's number and its hash\n  \
                 hint: put it back from a backup; without it nobody notices an older database",
                path.display()
            )
        })
    }

    /// Notes the end of the audit log beside the database.
    pub fn note_audit_head(&self, head: &Head) -> anyhow::Result<()> {
        secret_file::write(&self.path.join(AUDIT_HEAD), &format!("{head}\n"))
    }

    /// The gate's own packages.
    pub fn packages(&self) -> PathBuf {
        self.path.join("packages")
    }

    /// What the gate keeps of registries behind it. Nothing in it is missed when it is lost.
    pub fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }

    /// Where the gate in this process keeps downloads that the database does not have yet.
    pub fn downloads(&self) -> PathBuf {
        self.path.join("downloads")
    }

    /// The first operator's token.
    pub fn operator_token(&self) -> PathBuf {
        self.path.join("operator-token")
    }

    /// The root key, which snapshots, license files and bundles are signed with; made at the first
    /// start.
    pub fn root_key(&self, keys: Keys<'_>) -> anyhow::Result<SigningKey> {
        let path = self.path.join("root-key.pem");
        let protection = self.protection.as_ref();
        let pem = read_or_make(&path, keys, |entropy| {
            let seed = Zeroizing::new(random::<32>(entropy)?);
            secret_file::pem(&SigningKey::from_seed(&seed)?, protection)
        })?;
        let passphrase = protection.map(Protection::passphrase);
        let key = SigningKey::from_file_bytes(pem.as_bytes(), passphrase)
            .with_context(|| format!("cannot use `{}`", path.display()))?;
        if protection.is_some() && !SigningKey::is_encrypted_pem(pem.as_bytes()) {
            secret_file::write(&path, &secret_file::pem(&key, protection)?)?;
        }
        Ok(key)
    }

    /// The signing keys' own directory. The single key file of an older data directory moves
    /// there.
    pub fn signing_keys(&self) -> anyhow::Result<KeyDir> {
        KeyDir::open(
            self.path.join("signing-keys"),
            &self.path.join("signing-key.pem"),
            self.protection.clone(),
        )
    }

    /// The key that secrets are hashed with; made at the first start.
    pub fn hash_key(&self, keys: Keys<'_>) -> anyhow::Result<HashKey> {
        let path = self.path.join(HASH_KEY);
        let shown = path.display();
        let text = read_or_make(&path, keys, |entropy| {
            let bytes = Zeroizing::new(random::<32>(entropy)?);
            self.hash_key_text(&*bytes)
        })?;
        let text = text.trim_end();
        let bytes: Option<Zeroizing<Vec<u8>>> = match &self.protection {
            Some(protection) if secret_file::is_sealed(text) => {
                let opened = protection.open(HASH_KEY, text)?;
                Some(opened.with_context(|| {
                    format!(
                        "the passphrase is not the one `{shown}` was encrypted with, or it is damaged"
                    )
                })?)
            }
            None if secret_file::is_sealed(text) => bail!(
                "`{shown}` is encrypted, and no passphrase is given\n  \
                 hint: set `key-passphrase-file` or TOLLGATE_KEY_PASSPHRASE"
            ),
            _ => HEXLOWER.decode(text.as_bytes()).ok().map(Zeroizing::new),
        };
        let bytes =
            bytes.and_then(|bytes| Some(Zeroizing::new(<[u8; 32]>::try_from(&bytes[..]).ok()?)));
        let bytes = bytes.with_context(|| format!("`{shown}` is damaged"))?;
        if self.protection.is_some() && self.lock.is_some() && !secret_file::is_sealed(text) {
            secret_file::write(&path, &self.hash_key_text(&*bytes)?)?;
        }
        Ok(HashKey::from_bytes(*bytes))
    }

    fn hash_key_text(&self, bytes: &[u8]) -> anyhow::Result<Zeroizing<String>> {
        let text = match &self.protection {
            Some(protection) => protection.seal(HASH_KEY, bytes)?,
            None => HEXLOWER.encode(bytes),
        };
        Ok(Zeroizing::new(text))
    }

    /// Keeps the first operator's token for whoever may read the directory.
    pub fn keep_operator_token(&self, token: &SecretString) -> anyhow::Result<()> {
        secret_file::write(
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
    if let Some(bytes) = secret_file::read(path)? {
        let text = std::str::from_utf8(&bytes);
        let text = text.with_context(|| format!("`{}` is damaged", path.display()))?;
        return Ok(Zeroizing::new(text.to_owned()));
    }
    let Keys::MayBeMade(entropy) = keys else {
        bail!(
            "`{}` is missing, and the database was written with it\n  \
             hint: restore it from a backup, or from the data directory that the database began with",
            path.display()
        );
    };
    let text = make(entropy)?;
    secret_file::write(path, &text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::entropy::OsEntropy;

    #[test]
    fn secrets_are_made_once_and_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("a/b")).unwrap();
        let first = data.root_key(Keys::MayBeMade(&OsEntropy)).unwrap();
        let second = data.root_key(Keys::MayBeMade(&OsEntropy)).unwrap();
        assert_eq!(first.public().id(), second.public().id());
        let hash_key = data.hash_key(Keys::MayBeMade(&OsEntropy)).unwrap();
        assert_eq!(
            hash_key.as_bytes(),
            data.hash_key(Keys::MayBeMade(&OsEntropy))
                .unwrap()
                .as_bytes()
        );
        for name in ["root-key.pem", "hash-key"] {
            let mode = fs::metadata(data.path.join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let key = data.path.join("root-key.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            data.root_key(Keys::MayBeMade(&OsEntropy))
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

    #[test]
    fn the_hash_key_and_the_root_key_are_encrypted_once_there_is_a_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        let open = |passphrase: Option<&str>| {
            let data = DataDir::open(dir.path()).unwrap();
            match passphrase {
                Some(text) => data.protect(SecretString::from(text), Arc::new(OsEntropy)),
                None => Ok(data),
            }
        };
        let file = dir.path().join("hash-key");
        let plain = open(None)
            .unwrap()
            .hash_key(Keys::MayBeMade(&OsEntropy))
            .unwrap();
        let first = fs::read_to_string(&file).unwrap();
        let read = |passphrase| open(passphrase).unwrap().hash_key(Keys::MustExist);
        for _ in 0..2 {
            assert_eq!(
                read(Some("open sesame")).unwrap().as_bytes(),
                plain.as_bytes()
            );
        }
        let sealed = fs::read_to_string(&file).unwrap();
        assert!(
            secret_file::is_sealed(&sealed) && !sealed.contains(&first),
            "{sealed}"
        );
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let error = |passphrase| read(passphrase).unwrap_err().to_string();
        assert!(error(None).contains("key-passphrase-file"));
        assert!(error(Some("open barley")).contains("not the one"));
        let root = |passphrase| {
            let data = open(passphrase).unwrap();
            let key = data.root_key(Keys::MayBeMade(&OsEntropy));
            key.map(|key| key.public().id().to_owned())
        };
        let first_root = root(None).unwrap();
        assert_eq!(root(Some("open sesame")).unwrap(), first_root);
        let bytes = fs::read(dir.path().join("root-key.pem")).unwrap();
        assert!(SigningKey::is_encrypted_pem(&bytes));
        assert_eq!(root(Some("open sesame")).unwrap(), first_root);
        let wrong = format!("{:#}", root(Some("open barley")).unwrap_err());
        assert!(
            wrong.contains("root-key.pem") && wrong.contains("not the one"),
            "{wrong}"
        );
        fs::write(&file, format!("{sealed}A")).unwrap();
        assert!(error(Some("open sesame")).contains("damaged"));
        fs::write(&file, &first[1..]).unwrap();
        assert!(error(None).contains("damaged"));
        assert!(open(Some("")).unwrap_err().to_string().contains("empty"));
    }
}
