//! Files that are there whole or not at all, whenever the process ends or the disk is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Puts a file in the place of the one of that name, for its owner alone. It is written to
/// `beside`, a name in the same directory that nobody else uses, synced, and renamed.
pub(crate) fn replace(dir: &Path, name: &str, beside: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = dir.join(beside);
    let write = || {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, dir.join(name))?;
        File::open(dir)?.sync_all()
    };
    write().inspect_err(|_| {
        // Otherwise a full disk stays full.
        let _ = fs::remove_file(&beside);
    })
}
