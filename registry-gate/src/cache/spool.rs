//! What is arriving at a cache, before it has its place there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Held, MODE};

/// A file that is being written. Unless it is kept, it goes away.
#[derive(Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    placed: bool,
}

impl Spool {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .mode(MODE)
            .open(&path)?;
        Ok(Self {
            file: Arc::new(file),
            path,
            bytes: 0,
            placed: false,
        })
    }

    /// How much has come.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next piece.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.file).write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives it its place, whole.
    pub(super) fn rename(&mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.placed = true;
        Ok(())
    }

    pub(super) fn held(&self) -> Held {
        Held {
            file: Arc::clone(&self.file),
            bytes: self.bytes,
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.placed {
            // What stays is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
