//! What registries behind the gate have sent, on disk: files in one directory, bounded in all,
//! the least recently used thrown out first. What they hold is checked before it comes in.
//!
//! ```text
//! cache/lock                                   held by the gate that works here
//! cache/incoming-{number}                      what is arriving; removed at the next start
//! cache/tarball-upstream-sha512-{hex}.{bytes}  a tarball, under where it is from and its own hash
//! cache/document-{hex}.{bytes}                 a package document, under the hash of where it is from
//! ```
//!
//! One gate works on a directory. Another one that is told to use the same takes `cache-2` beside
//! it, and so on. The length stands in the name, so that a file that a crash or a full disk cut
//! short is known when it is found again; the hash of a tarball is checked once more then.

mod index;
mod spool;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use activation_token::clock::Clock;

pub(crate) use self::index::{Key, Registry};
pub(crate) use self::spool::Spool;

use self::index::{Index, size};
use crate::integrity::Integrity;
use crate::upstream::figures;

/// Gates that can work beside each other.
const DIRS_MAX: u32 = 16;
/// How much of a file is read at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;
const LOCK: &str = "lock";
const INCOMING: &str = "incoming-";
const MODE: u32 = 0o600;

/// See the module. All of it waits for the disk: it belongs where that holds nobody up.
pub(crate) struct DiskCache {
    dir: PathBuf,
    bytes_max: u64,
    index: Mutex<Index>,
    incoming: AtomicU64,
    clock: Arc<dyn Clock>,
    /// Given back when the process ends, however it does.
    _lock: File,
}

/// An open file. It can be read even after it was thrown out.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) file: Arc<File>,
    pub(crate) bytes: u64,
}

/// The cache's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the cache directory `{}` cannot be used", path.display())]
pub struct CacheDirError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl DiskCache {
    /// Opens a directory, makes it if it is not there, and takes stock.
    pub(crate) fn open(
        dir: &Path,
        bytes_max: u64,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CacheDirError> {
        let unusable = |source| CacheDirError {
            path: dir.to_owned(),
            source,
        };
        let (dir, lock) = take_dir(dir).map_err(unusable)?;
        let index = take_stock(&dir).map_err(unusable)?;
        let cache = Self {
            dir,
            bytes_max,
            index: Mutex::new(index),
            incoming: AtomicU64::new(0),
            clock,
            _lock: lock,
        };
        cache.throw_out(&mut cache.index(), bytes_max);
        Ok(cache)
    }

    /// The file under this key. One that is not as it was is dropped.
    pub(crate) fn get(&self, key: &Key) -> Option<Held> {
        let mut index = self.index();
        let known = index.touch(key)?;
        let opened = File::open(self.path(key, known.bytes)).and_then(|file| {
            let whole = file.metadata()?.len() == known.bytes;
            Ok(whole.then_some(file))
        });
        let Ok(Some(file)) = opened else {
            tracing::warn!(file = %key.file_name(known.bytes), "a cached file cannot be read");
            self.remove_from(&mut index, key);
            return None;
        };
        drop(index);
        let held = Held {
            file: Arc::new(file),
            bytes: known.bytes,
        };
        self.note_use(&held.file);
        if let (Key::Tarball(_, integrity), false) = (key, known.checked) {
            if !held.fits(integrity) {
                tracing::warn!(file = %key.file_name(known.bytes), "a cached file has changed");
                self.remove(key);
                return None;
            }
            if let Some(known) = self.index().files.get_mut(key) {
                known.checked = true;
            }
        }
        Some(held)
    }

    /// Takes note that what came from this file is in use.
    pub(crate) fn touch(&self, key: &Key) {
        let known = self.index().touch(key);
        if let Some(known) = known
            && let Ok(file) = File::open(self.path(key, known.bytes))
        {
            self.note_use(&file);
        }
    }

    /// Drops a file.
    pub(crate) fn remove(&self, key: &Key) {
        self.remove_from(&mut self.index(), key);
    }

    /// A place for what is arriving.
    pub(crate) fn spool(&self) -> io::Result<Spool> {
        let number = self.incoming.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{INCOMING}{number}"));
        Spool::create(path).inspect_err(|error| self.make_room(error))
    }

    /// Keeps what has arrived and was checked. If it cannot be kept, it can still be read.
    pub(crate) fn keep(&self, key: Key, mut spool: Spool) -> Held {
        if let Err(error) = self.place(key, &mut spool) {
            self.make_room(&error);
            let file = key.file_name(spool.bytes());
            tracing::warn!(file, %error, "a file cannot be cached");
        }
        spool.held()
    }

    /// Keeps bytes whose own check comes when they are read.
    pub(crate) fn store(&self, key: Key, parts: &[&[u8]]) {
        let stored = self.spool().and_then(|mut spool| {
            for part in parts {
                spool.write(part)?;
            }
            self.place(key, &mut spool)
        });
        if let Err(error) = stored {
            self.make_room(&error);
            tracing::warn!(%error, "a package document cannot be cached");
        }
    }

    /// After a write failed because the disk is full: gives back half, for what comes next.
    pub(crate) fn make_room(&self, error: &io::Error) {
        if matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            let mut index = self.index();
            let half = index.bytes / 2;
            self.throw_out(&mut index, half);
        }
    }

    fn place(&self, key: Key, spool: &mut Spool) -> io::Result<()> {
        if size(spool.bytes()) > self.bytes_max {
            return Ok(());
        }
        if matches!(key, Key::Tarball(..)) {
            spool.sync()?;
        }
        self.note_use(&spool.held().file);
        let mut index = self.index();
        // Of another length, it would stay beside.
        if index
            .files
            .get(&key)
            .is_some_and(|old| old.bytes != spool.bytes())
        {
            self.remove_from(&mut index, &key);
        }
        spool.rename(&self.path(&key, spool.bytes()))?;
        index.insert(key, spool.bytes(), true);
        self.throw_out(&mut index, self.bytes_max);
        Ok(())
    }

    /// The order of use outlives the process in the files' times. It may be lost.
    fn note_use(&self, file: &File) {
        let _ = file.set_modified(SystemTime::from(self.clock.now()));
    }

    fn throw_out(&self, index: &mut Index, bytes_max: u64) {
        while index.bytes > bytes_max
            && let Some((_, key)) = index.order.first_key_value()
        {
            let key = *key;
            self.remove_from(index, &key);
        }
        figures::cache_bytes(index.bytes);
    }

    /// Under the lock, so that a file that comes back at the same time is not removed with it.
    fn remove_from(&self, index: &mut Index, key: &Key) {
        if let Some(known) = index.remove(key)
            && let Err(error) = fs::remove_file(self.path(key, known.bytes))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a cached file cannot be removed");
        }
    }

    fn path(&self, key: &Key, bytes: u64) -> PathBuf {
        self.dir.join(key.file_name(bytes))
    }

    /// No code that can panic runs under the lock.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// All of it.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.bytes).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn fits(&self, integrity: &Integrity) -> bool {
        let mut check = integrity.check();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut at = 0;
        loop {
            match self.file.read_at(&mut buffer, at) {
                Ok(0) => return check.fits(),
                Ok(read) => {
                    check.update(buffer.get(..read).unwrap_or_default());
                    at += read as u64;
                }
                Err(_) => return false,
            }
        }
    }
}

/// The first directory beside this one where no other gate works, with its lock.
fn take_dir(dir: &Path) -> io::Result<(PathBuf, File)> {
    for number in 1..=DIRS_MAX {
        let mut path = dir.as_os_str().to_owned();
        if number > 1 {
            path.push(format!("-{number}"));
        }
        let path = PathBuf::from(path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(MODE)
            .open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => return Ok((path, lock)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other(
        "too many gates work beside each other here",
    ))
}

/// Finds what is there, the least recently used first. What a crash left half written goes.
fn take_stock(dir: &Path) -> io::Result<Index> {
    let mut found = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        let name = file.file_name();
        let Some(name) = name.to_str() else { continue };
        let known = Key::parse(name);
        if known.is_none() && !name.starts_with(INCOMING) {
            continue;
        }
        let metadata = file.metadata()?;
        match known {
            Some((key, bytes)) if metadata.is_file() && metadata.len() == bytes => {
                found.push((metadata.modified()?, key, bytes));
            }
            _ if metadata.is_file() => fs::remove_file(file.path())?,
            _ => {}
        }
    }
    found.sort_by_key(|(modified, ..)| *modified);
    let mut index = Index::default();
    for (_, key, bytes) in found {
        if let Some(old) = index.remove(&key) {
            // Two lengths under one key: the later one holds.
            fs::remove_file(dir.join(key.file_name(old.bytes)))?;
        }
        index.insert(key, bytes, false);
    }
    Ok(index)
}

#[cfg(test)]
mod tests;
