//! The private halves of the signing keys: one file each, named after its key.
//!
//! The files hold keys and nothing else; when a key signs is for the store and
//! [`crate::domain::signing_key`] to say. Every method reads or writes the disk, and with a
//! passphrase it thinks for a while: call them where blocking is allowed.

use std::fmt;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use activation_token::SigningKey;
use anyhow::{Context, bail};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, random};
use crate::secret_file::{self, Protection};

/// A SHA-256 thumbprint in base64url has so many letters.
const ID_LETTERS: usize = 43;

/// The directory of the key files, `signing-keys/<id>.pem`.
pub struct KeyDir {
    path: PathBuf,
    protection: Option<Protection>,
}

impl KeyDir {
    /// Opens the directory, makes it where it is missing, and takes in `single`, the one key
    /// file of an older data directory.
    pub(crate) fn open(
        path: PathBuf,
        single: &Path,
        protection: Option<Protection>,
    ) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the directory `{}`", path.display()))?;
        let dir = Self { path, protection };
        dir.sweep()?;
        dir.take_in(single)?;
        Ok(dir)
    }

    /// The ids of all keys that have a file, sorted.
    pub fn ids(&self) -> anyhow::Result<Vec<String>> {
        let mut ids: Vec<String> = self
            .names()?
            .iter()
            .filter_map(|name| name.strip_suffix(".pem"))
            .filter(|id| is_id(id))
            .map(ToOwned::to_owned)
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Reads a key. A plain file is encrypted on this occasion where a passphrase is given.
    pub fn load(&self, id: &str) -> anyhow::Result<SigningKey> {
        let path = self.file(id)?;
        let Some(bytes) = secret_file::read(&path)? else {
            bail!(
                "`{}` is missing, and the database names this signing key\n  \
                 hint: restore it from a backup, or from the data directory that the database \
                 began with",
                path.display()
            );
        };
        let key = self.parse(&path, &bytes)?;
        if key.public().id() != id {
            bail!(
                "`{}` holds the key {}, not the one it is named after\n  \
                 hint: restore the file from a backup",
                path.display(),
                key.public().id()
            );
        }
        if self.protection.is_some() && !SigningKey::is_encrypted_pem(&bytes) {
            self.keep(&key)?;
        }
        Ok(key)
    }

    /// Reads all keys that the store knows, in its order. Further files are left alone.
    pub fn load_all<'i>(
        &self,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> anyhow::Result<Vec<SigningKey>> {
        ids.into_iter().map(|id| self.load(id)).collect()
    }

    /// Makes a key and keeps it.
    pub fn make(&self, entropy: &dyn Entropy) -> anyhow::Result<SigningKey> {
        let seed = Zeroizing::new(random::<32>(entropy)?);
        let key = SigningKey::from_seed(&seed)?;
        self.keep(&key)?;
        Ok(key)
    }

    /// Writes a key's file, encrypted where a passphrase is given. When this returns, the file
    /// is on the disk: a key may sign only after that.
    pub fn keep(&self, key: &SigningKey) -> anyhow::Result<()> {
        let pem = secret_file::pem(key, self.protection.as_ref())?;
        secret_file::write(&self.file(key.public().id())?, &pem)
    }

    /// Removes a key's file. One that is gone already is no error.
    pub fn erase(&self, id: &str) -> anyhow::Result<()> {
        secret_file::erase(&self.file(id)?)
    }

    /// Where a key's file is. What is no thumbprint could name a file elsewhere.
    fn file(&self, id: &str) -> anyhow::Result<PathBuf> {
        if !is_id(id) {
            bail!("`{}` is no signing key's id", id.escape_debug());
        }
        Ok(self.path.join(format!("{id}.pem")))
    }

    fn parse(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<SigningKey> {
        let passphrase = self.protection.as_ref().map(Protection::passphrase);
        SigningKey::from_file_bytes(bytes, passphrase)
            .with_context(|| format!("cannot use the signing key `{}`", path.display()))
    }

    fn names(&self) -> anyhow::Result<Vec<String>> {
        let read = || -> std::io::Result<Vec<String>> {
            fs::read_dir(&self.path)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect()
        };
        read().with_context(|| format!("cannot list `{}`", self.path.display()))
    }

    /// Removes what a crash left half-written.
    fn sweep(&self) -> anyhow::Result<()> {
        self.names()?
            .iter()
            .filter(|name| name.strip_suffix(".new").is_some_and(is_id))
            .try_for_each(|name| secret_file::erase(&self.path.join(name)))
    }

    /// Gives the key of an older data directory its place. The rename happens or does not; after
    /// a crash the next start finds one of the two and goes on from there.
    fn take_in(&self, single: &Path) -> anyhow::Result<()> {
        let Some(bytes) = secret_file::read(single)? else {
            return Ok(());
        };
        let key = self.parse(single, &bytes)?;
        let path = self.file(key.public().id())?;
        fs::rename(single, &path)
            .and_then(|()| secret_file::sync_parent(&path))
            .and_then(|()| secret_file::sync_parent(single))
            .with_context(|| format!("cannot move `{}`", single.display()))
    }
}

impl fmt::Debug for KeyDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyDir").field(&self.path).finish()
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LETTERS
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use secrecy::SecretString;
    use tempfile::TempDir;

    use super::*;
    use crate::data_dir::DataDir;
    use crate::entropy::OsEntropy;

    fn data(dir: &TempDir, passphrase: Option<&str>) -> DataDir {
        let data = DataDir::open(dir.path()).unwrap();
        match passphrase {
            Some(passphrase) => data
                .protect(SecretString::from(passphrase), Arc::new(OsEntropy))
                .unwrap(),
            None => data,
        }
    }

    fn keys(dir: &TempDir, passphrase: Option<&str>) -> KeyDir {
        data(dir, passphrase).signing_keys().unwrap()
    }

    fn path(dir: &TempDir, id: &str) -> PathBuf {
        dir.path().join("signing-keys").join(format!("{id}.pem"))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn id(key: &SigningKey) -> &str {
        key.public().id()
    }

    fn error<T>(result: anyhow::Result<T>) -> String {
        format!("{:#}", result.err().unwrap())
    }

    #[test]
    fn each_key_has_a_file_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(&dir, None);
        let made = [(); 3].map(|()| keys.make(&OsEntropy).unwrap());
        for key in &made {
            assert_eq!(mode(&path(&dir, id(key))), 0o600);
        }
        assert_eq!(mode(&dir.path().join("signing-keys")), 0o700);
        let loaded = keys.load_all(made.iter().map(id)).unwrap();
        assert!(loaded.iter().map(id).eq(made.iter().map(id)));
        let mut ids: Vec<&str> = made.iter().map(id).collect();
        ids.sort_unstable();
        assert_eq!(keys.ids().unwrap(), ids);
        keys.erase(id(&made[0])).unwrap();
        keys.erase(id(&made[0])).unwrap();
        assert!(!path(&dir, id(&made[0])).exists());
        let missing = error(keys.load_all(made.iter().map(id)));
        assert!(
            missing.contains("is missing") && missing.contains("backup"),
            "{missing}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_right_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(&dir, None);
        let [one, two] = [(); 2].map(|()| keys.make(&OsEntropy).unwrap());
        let file = path(&dir, id(&one));
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert!(error(keys.load(id(&one))).contains("chmod 600"));
        fs::copy(path(&dir, id(&two)), &file).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(error(keys.load(id(&one))).contains("not the one it is named after"));
        fs::write(&file, "").unwrap();
        assert!(error(keys.load(id(&one))).contains("empty"));
        fs::write(&file, "-----BEGIN PRIVATE KEY-----\nMC4").unwrap();
        assert!(error(keys.load(id(&one))).contains("cut off"));
        for elsewhere in ["", "../signing-key", &format!("../{}", "a".repeat(40))] {
            assert!(error(keys.load(elsewhere)).contains("no signing key's id"));
        }
    }

    #[test]
    fn the_single_key_of_an_older_data_directory_moves_in_once() {
        let dir = tempfile::tempdir().unwrap();
        let data = data(&dir, None);
        let old = SigningKey::from_seed(&[9; 32]).unwrap();
        let pem = old.to_pem().unwrap();
        secret_file::write(&dir.path().join("signing-key.pem"), &pem).unwrap();
        for _ in 0..2 {
            let keys = data.signing_keys().unwrap();
            assert_eq!(keys.ids().unwrap(), [id(&old)]);
            assert_eq!(id(&keys.load(id(&old)).unwrap()), id(&old));
            assert!(!dir.path().join("signing-key.pem").exists());
        }
        // A copy that came back with a backup is the same key and takes the same place.
        fs::copy(path(&dir, id(&old)), dir.path().join("signing-key.pem")).unwrap();
        assert_eq!(data.signing_keys().unwrap().ids().unwrap(), [id(&old)]);
        // One that cannot be read stays where it is, for whoever looks into it.
        fs::write(dir.path().join("signing-key.pem"), "x").unwrap();
        fs::set_permissions(
            dir.path().join("signing-key.pem"),
            Permissions::from_mode(0o600),
        )
        .unwrap();
        assert!(error(data.signing_keys()).contains("signing-key.pem"));
        assert!(dir.path().join("signing-key.pem").exists());
    }

    #[test]
    fn what_a_crash_left_half_written_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let key = keys(&dir, None).make(&OsEntropy).unwrap();
        let half = path(&dir, id(&key)).with_extension("new");
        fs::write(&half, "-----BEGIN").unwrap();
        fs::write(dir.path().join("signing-keys/notes.new"), "mine").unwrap();
        let keys = keys(&dir, None);
        assert!(!half.exists());
        assert!(dir.path().join("signing-keys/notes.new").exists());
        assert_eq!(keys.ids().unwrap(), [id(&key)]);
    }

    #[test]
    fn plain_files_are_encrypted_once_there_is_a_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        let key = keys(&dir, None).make(&OsEntropy).unwrap();
        let file = path(&dir, id(&key));
        let load = |passphrase| keys(&dir, passphrase).load(id(&key));
        assert_eq!(id(&load(Some("open sesame")).unwrap()), id(&key));
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
            "{text}"
        );
        assert_eq!(mode(&file), 0o600);
        // It is not written again.
        assert_eq!(id(&load(Some("open sesame")).unwrap()), id(&key));
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert!(error(load(None)).contains("key-passphrase-file"));
        let wrong = error(load(Some("open barley")));
        assert!(wrong.contains("passphrase is not the one"), "{wrong}");
        assert!(!wrong.contains("barley"), "{wrong}");
    }

    #[test]
    fn a_key_made_under_a_passphrase_is_never_plain_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(&dir, Some("open sesame"));
        let key = keys.make(&OsEntropy).unwrap();
        let bytes = fs::read(path(&dir, id(&key))).unwrap();
        assert!(SigningKey::is_encrypted_pem(&bytes));
        assert!(!format!("{keys:?}").contains("sesame"));
    }
}
