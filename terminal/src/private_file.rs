//! Files with secrets: readable by their owner alone, whole or absent. The one writer of them.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

use crate::{Exit, Failure};

/// The mode of a file that is its owner's alone.
pub const MODE: u32 = 0o600;
const OTHERS: u32 = 0o077;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Writes beside, syncs, then renames: the file has its old text or the new one, with mode 0600.
/// Two writers at once each write their own file beside.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (process, nth) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let beside = path.with_file_name(format!(".{name}.{process}-{nth}.new"));
    write_by(path, &beside, text)
}

/// As [`write()`], for one who is the only writer and finds again what a crash left: at `beside`.
pub fn write_by(path: &Path, beside: &Path, text: &str) -> anyhow::Result<()> {
    write_as(path, beside, text, |_| Ok(()))
}

/// As [`write_by()`]. `finish` may give the file another mode before it takes its place.
pub fn write_as(
    path: &Path,
    beside: &Path,
    text: &str,
    finish: impl FnOnce(&File) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let written = replace(path, beside, text, finish);
    if written.is_err() {
        // What was written beside holds the secret; that it is gone already is fine.
        let _ = fs::remove_file(beside);
    }
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

fn replace(
    path: &Path,
    beside: &Path,
    text: &str,
    finish: impl FnOnce(&File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut file = create_anew(beside)?;
    file.write_all(text.as_bytes())?;
    finish(&file)?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    sync_parent(path)
}

/// Makes a file in the place of whatever is there: what a crash left keeps its mode, and a link
/// leads elsewhere.
pub fn create_anew(path: &Path) -> std::io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => create(path),
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(MODE).open(path)
}

/// Makes what happened to a directory's entries last.
pub fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// The text of a file; none where there is none.
pub fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Refuses a file that others than its owner can read.
pub fn must_be_private(path: &Path) -> anyhow::Result<()> {
    let file = fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if file.permissions().mode() & OTHERS == 0 {
        return Ok(());
    }
    let name = path.display();
    let failure = Failure::new(Exit::Failed, format!("`{name}` can be read by others"));
    Err(failure.hint(format!("chmod 600 {name}")).into())
}

/// A place for a secret that can be got only once: taken before it is asked for, so that it cannot
/// be lost for want of a file, and no other one is written over. Free again when it is dropped.
#[derive(Debug)]
pub struct Reserved {
    path: PathBuf,
    is_filled: bool,
}

impl Reserved {
    /// Takes a name that no file has.
    pub fn new(path: PathBuf) -> anyhow::Result<Self> {
        match create(&path) {
            Ok(_) => Ok(Self {
                path,
                is_filled: false,
            }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let text = format!("`{}` is there already", path.display());
                let failure = Failure::new(Exit::Failed, text);
                Err(failure.hint("name a file that is not there yet").into())
            }
            Err(error) => Err(error).with_context(|| format!("cannot write `{}`", path.display())),
        }
    }

    /// Writes the secret.
    pub fn fill(mut self, text: &str) -> anyhow::Result<()> {
        write(&self.path, text)?;
        self.is_filled = true;
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_filled {
            // It is empty; nothing is lost where it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_replaced_whole_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert_eq!(read(&path).unwrap(), None);
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = must_be_private(&path).unwrap_err().to_string();
        assert!(
            error.contains("read by others") && error.contains("chmod 600"),
            "{error}"
        );
        write(&path, "new").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("new"));
        assert_eq!(mode(&path), 0o600);
        must_be_private(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_beside_lends_the_secret_neither_its_mode_nor_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let [path, beside, other] = ["secret", "secret.new", "other"].map(|n| dir.path().join(n));
        fs::write(&beside, "left").unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o644)).unwrap();
        write_by(&path, &beside, "new").unwrap();
        assert_eq!(mode(&path), 0o600);
        std::os::unix::fs::symlink(&other, &beside).unwrap();
        write_by(&path, &beside, "newer").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("newer"));
        assert!(!other.exists() && !beside.exists());
    }

    #[test]
    fn a_reserved_place_is_filled_or_free_again_and_takes_no_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        drop(Reserved::new(path.clone()).unwrap());
        assert!(!path.exists());
        Reserved::new(path.clone()).unwrap().fill("k\n").unwrap();
        assert_eq!(mode(&path), 0o600);
        let again = Reserved::new(path.clone()).unwrap_err().to_string();
        assert!(again.contains("is there already"), "{again}");
        assert_eq!(read(&path).unwrap().as_deref(), Some("k\n"));
    }
}
