//! The project that is installed into: where its files are, and who may change them now.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context;
use terminal::{Exit, Failure};

/// The file in `.box` that is locked.
const LOCK: &str = "lock";
/// The file in `.box` that has git ignore all of it.
const IGNORE: &str = ".gitignore";

/// A project's folder.
///
/// `box.json` may be committed; what lies in `.box` is this box's own.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
}

/// Held by the one process that changes what the box knows.
#[derive(Debug)]
pub struct Turn {
    // Closing the file lets go of the lock.
    _lock: File,
}

impl Project {
    /// The given folder. Without one, the nearest folder upwards that is a box's (it has `.box` or
    /// `box.json`), else the current one.
    pub fn find(given: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(given) = given {
            if !given.is_dir() {
                let text = format!("there is no folder `{}`", given.display());
                return Err(Failure::new(Exit::Usage, text).into());
            }
            let root = given.to_owned();
            return Ok(Self { root });
        }
        let here = std::env::current_dir().context("the current folder is gone")?;
        let is_a_boxs = |dir: &&Path| dir.join(".box").is_dir() || dir.join("box.json").is_file();
        let root = here.ancestors().find(is_a_boxs).unwrap_or(&here).to_owned();
        Ok(Self { root })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file of this box alone, which is never committed.
    pub fn private(&self, name: &str) -> PathBuf {
        self.root.join(".box").join(name)
    }

    /// Waits until no other process changes what the box knows. Makes `.box`, and has git ignore
    /// what is in it.
    pub fn take_turn(&self) -> anyhow::Result<Turn> {
        let (file, path) = self.lock_file()?;
        file.lock()
            .with_context(|| format!("cannot lock `{}`", path.display()))?;
        Ok(Turn { _lock: file })
    }

    /// The same without waiting; none where another process has its turn.
    pub fn try_turn(&self) -> anyhow::Result<Option<Turn>> {
        let (file, path) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn { _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock `{}`", path.display()))
            }
        }
    }

    fn lock_file(&self) -> anyhow::Result<(File, PathBuf)> {
        let dir = self.root.join(".box");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        let ignore = dir.join(IGNORE);
        if !ignore.exists() {
            fs::write(&ignore, "*\n")
                .with_context(|| format!("cannot write `{}`", ignore.display()))?;
        }
        let path = dir.join(LOCK);
        let file = File::create(&path);
        let file = file.with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok((file, path))
    }

    /// Removes `.box` where nothing but the lock and its company is left in it. The turn is held.
    pub fn clear(&self) -> anyhow::Result<()> {
        let dir = self.root.join(".box");
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot read `{}`", dir.display()))?;
        let empty = entries.flatten().all(|entry| {
            let name = entry.file_name();
            name == LOCK || name == IGNORE
        });
        if !empty {
            return Ok(());
        }
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove `{}`", dir.display()))
    }
}
