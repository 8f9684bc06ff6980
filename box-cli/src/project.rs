//! The project that is installed into: where its files are, and who may change them now.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use terminal::{Exit, Failure, private_file};

use crate::box_json;

/// The folder of what is this box's own.
const DIR: &str = ".box";
/// The file in `.box` that is locked.
const LOCK: &str = "lock";
/// The file in `.box` that has git ignore all of it.
const IGNORE: &str = ".gitignore";
/// How the names of files end that are being written.
const NEW: &str = ".new";

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
    /// `box.json`, of the current folder's owner), else the current one.
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
        let owner = fs::metadata(&here).context("the current folder cannot be read")?;
        // What somebody else left in a folder above, such as `/tmp`, must not lead us.
        let is_theirs =
            |path: &Path| fs::symlink_metadata(path).is_ok_and(|there| there.uid() == owner.uid());
        let is_a_boxs = |dir: &&Path| {
            let (private, json) = (dir.join(DIR), dir.join(box_json::FILE));
            private.is_dir() && is_theirs(&private) || json.is_file() && is_theirs(&json)
        };
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
        self.root.join(DIR).join(name)
    }

    /// The turn to change what the box knows; none where another process has it. Makes `.box`, and
    /// has git ignore what is in it.
    pub fn try_turn(&self) -> anyhow::Result<Option<Turn>> {
        loop {
            self.make_private_folder()?;
            let path = self.private(LOCK);
            let lock = match open(&path) {
                // Whoever ended the activation took it away with the folder.
                Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => continue,
                lock => lock.with_context(|| format!("cannot write `{}`", path.display()))?,
            };
            match lock.try_lock() {
                Ok(()) if is_at(&lock, &path) => return Ok(Some(Turn { _lock: lock })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock `{}`", path.display()));
                }
            }
        }
    }

    fn make_private_folder(&self) -> anyhow::Result<()> {
        let dir = self.root.join(DIR);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot make `{}`", dir.display()));
            }
            _ => {}
        }
        // Git keeps links, so a clone could have secrets written anywhere.
        if dir.is_symlink() {
            let failure = Failure::new(Exit::Failed, format!("`{}` is a link", dir.display()));
            return Err(failure.hint("remove it; it has to be a folder").into());
        }
        let path = dir.join(IGNORE);
        match File::create_new(&path) {
            Ok(mut ignore) => {
                let written = ignore.write_all(b"*\n");
                written.with_context(|| format!("cannot write `{}`", path.display()))
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) =>
            {
                Ok(())
            }
            Err(error) => Err(error).with_context(|| format!("cannot write `{}`", path.display())),
        }
    }

    /// Writes a file of this box alone, with mode 0600. The turn is held.
    pub fn keep(&self, name: &str, text: &str) -> anyhow::Result<()> {
        self.write(&self.private(name), text, private_file::MODE)
    }

    /// Writes a file of the project. The turn is held.
    ///
    /// It is written in `.box` first, where git takes nothing and the next writer finds what a
    /// crash left, and has its old text or the new one.
    pub fn write(&self, path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}{NEW}");
        let finish = |file: &File| file.set_permissions(Permissions::from_mode(mode));
        match private_file::write_as(path, &self.private(&name), text, finish) {
            // `.box` is a volume of its own.
            Err(error) if is_across_volumes(&error) => {
                private_file::write_as(path, &path.with_file_name(name), text, finish)
            }
            written => written,
        }
    }

    /// Removes `.box` where nothing but the lock and its company is left in it. The turn is held.
    pub fn clear(&self) -> anyhow::Result<()> {
        let dir = self.root.join(DIR);
        let removed = remove_what_is_empty(&dir);
        removed.with_context(|| format!("cannot remove `{}`", dir.display()))
    }
}

/// Opens the lock, or makes it. Nothing in it is changed: it may be a link.
fn open(lock: &Path) -> std::io::Result<File> {
    match File::create_new(lock) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).open(lock)
        }
        made => made,
    }
}

/// Whether this is the file that is there now, and not one that was removed meanwhile.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(there)) => (file.dev(), file.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn is_across_volumes(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::CrossesDevices)
}

fn remove_what_is_empty(dir: &Path) -> std::io::Result<()> {
    let names: Vec<_> = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<std::io::Result<_>>()?;
    let is_company =
        |name: &OsString| name == IGNORE || name.as_encoded_bytes().ends_with(NEW.as_bytes());
    if !names.iter().all(|name| name == LOCK || is_company(name)) {
        return Ok(());
    }
    for name in names.iter().filter(|name| is_company(name)) {
        fs::remove_file(dir.join(name))?;
    }
    // The lock goes last, and only then may another one begin, which keeps the folder.
    fs::remove_file(dir.join(LOCK))?;
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}
