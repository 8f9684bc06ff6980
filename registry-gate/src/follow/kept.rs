//! What a gate keeps of its control plane in the data directory: the root key that it trusts,
//! and the last snapshot, with which it opens again when the control plane is down.
//!
//! ```text
//! root-key.json    the root key, as JWK
//! snapshot.jws     the snapshot that was put in force last, as it was signed
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use activation_token::{Key, KeyError, SNAPSHOT_BYTES_MAX};
use jiff::Timestamp;

use crate::whole_file;

const ROOT_KEY: &str = "root-key.json";
const SNAPSHOT: &str = "snapshot.jws";

/// A place for both.
#[derive(Clone)]
pub(crate) struct Kept {
    dir: PathBuf,
}

/// What is kept cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptError {
    /// The file system said no.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// Read or write.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A root key that is none. Another must not slip into its place unnoticed.
    #[error("`{}` holds no root key; restore the file, or give the key as a setting", path.display())]
    RootKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
}

impl Kept {
    /// Uses a directory and makes it if it is not there.
    pub(crate) fn open(dir: &Path) -> Result<Self, KeptError> {
        fs::create_dir_all(dir).map_err(|source| failed("use", dir, source))?;
        let dir = dir.to_owned();
        Ok(Self { dir })
    }

    /// The root key, if one is kept.
    pub(crate) fn root_key(&self) -> Result<Option<Key>, KeptError> {
        let Some(json) = self.read(ROOT_KEY)? else {
            return Ok(None);
        };
        let path = self.dir.join(ROOT_KEY);
        let key = Key::from_jwk(json.trim_ascii());
        key.map(Some)
            .map_err(|source| KeptError::RootKey { path, source })
    }

    /// Keeps the root key, from now on.
    pub(crate) fn keep_root_key(&self, key: &Key, now: Timestamp) -> Result<(), KeptError> {
        let json = serde_json::to_vec(key.to_jwk())
            .map_err(|error| failed("write", &self.dir.join(ROOT_KEY), error.into()))?;
        self.write(ROOT_KEY, &json, now)
    }

    /// The last snapshot, unverified, if one is kept.
    pub(crate) fn snapshot(&self) -> Result<Option<String>, KeptError> {
        let bytes = self.read(SNAPSHOT)?;
        // Bytes that are no text were not signed either.
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Keeps a snapshot in place of the one before.
    pub(crate) fn keep_snapshot(&self, text: &str, now: Timestamp) -> Result<(), KeptError> {
        self.write(SNAPSHOT, text.as_bytes(), now)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, KeptError> {
        let path = self.dir.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, error)),
        };
        let mut bytes = Vec::new();
        // One byte over the limit is enough to see that it is too long.
        file.take(SNAPSHOT_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| failed("read", &path, source))?;
        Ok(Some(bytes))
    }

    fn write(&self, name: &str, bytes: &[u8], now: Timestamp) -> Result<(), KeptError> {
        // Gates may share the directory, and processes of two containers their number.
        let (process, instant) = (std::process::id(), now.as_microsecond());
        let beside = format!(".{name}.{process}-{instant}");
        whole_file::replace(&self.dir, name, &beside, bytes)
            .map_err(|source| failed("write", &self.dir.join(name), source))
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> KeptError {
    let path = path.to_owned();
    KeptError::File {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_whole_and_is_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::open(&dir.path().join("a/b")).unwrap();
        assert!(kept.root_key().unwrap().is_none() && kept.snapshot().unwrap().is_none());
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let base_point = [&[0x58_u8][..], &[0x66; 31]].concat();
        let key = Key::from_bytes(&base_point).unwrap();
        kept.keep_root_key(&key, now).unwrap();
        kept.keep_snapshot("one", now).unwrap();
        kept.keep_snapshot("two", now).unwrap();
        assert_eq!(kept.root_key().unwrap().unwrap().id(), key.id());
        assert_eq!(kept.snapshot().unwrap().as_deref(), Some("two"));
        let files = fs::read_dir(dir.path().join("a/b")).unwrap();
        let mut names = Vec::new();
        for file in files.map(Result::unwrap) {
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file:?}");
            names.push(file.file_name());
        }
        names.sort();
        assert_eq!(names, [ROOT_KEY, SNAPSHOT]);
    }

    #[test]
    fn a_damaged_root_key_is_not_taken_for_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::open(dir.path()).unwrap();
        fs::write(dir.path().join(ROOT_KEY), "{}").unwrap();
        let error = kept.root_key().unwrap_err();
        assert!(matches!(error, KeptError::RootKey { .. }), "{error}");
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::open(dir.path()).unwrap();
        // A directory cannot be replaced by a file.
        fs::create_dir(dir.path().join(SNAPSHOT)).unwrap();
        assert!(kept.keep_snapshot("one", Timestamp::UNIX_EPOCH).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
