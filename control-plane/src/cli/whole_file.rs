//! A file that an operator asked for: whole, or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use terminal::private_file;

/// A file that is written beside, with mode 0600, and gets its name at the end; without that it
/// goes away.
pub(super) struct WholeFile {
    file: BufWriter<File>,
    beside: PathBuf,
    path: PathBuf,
}

impl WholeFile {
    /// Begins one. A file of that name stays until this one is whole.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let beside = beside(path, "new");
        let file = private_file::create_anew(&beside);
        let file = file.with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self {
            file: BufWriter::new(file),
            beside,
            path: path.to_owned(),
        })
    }

    /// Gives it its name. Returns its length in bytes.
    pub(super) fn finish(mut self) -> anyhow::Result<u64> {
        let mut finish = || {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            fs::rename(&self.beside, &self.path)?;
            private_file::sync_parent(&self.path)?;
            Ok(self.file.get_ref().metadata()?.len())
        };
        let finished: io::Result<u64> = finish();
        finished.with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // After a rename there is none, which is fine; otherwise a full disk would stay full.
        let _ = fs::remove_file(&self.beside);
    }
}

/// A name in the same folder that no other process uses.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{ending}", std::process::id()))
}
