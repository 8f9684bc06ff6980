//! Checking a bundle, and laying it into a directory that is served as the gate's store.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use activation_token::offline::BundleHead;
use activation_token::{BUNDLE_HEAD_BYTES_MAX, Key};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    BundleError, CONTENTS, CONTENTS_BYTES_MAX, Contents, File, HEAD, ROOT_KEY, is_of_store,
};
use crate::follow::Kept;
use crate::whole_file;

/// The longest root key that is read, in bytes.
const ROOT_KEY_BYTES_MAX: u64 = 4096;
/// Where bundles lie in the data directory, each under the hash of its contents.
const BUNDLES: &str = "bundles";
/// The file there that whoever serves one of them holds.
const LOCK: &str = "lock";
/// The file there that says when the newest was made.
const NEWEST: &str = "newest";

/// A bundle that was checked whole.
#[derive(Debug)]
pub struct Opened {
    /// The root key that signed it.
    pub root_key: Key,
    /// Whether that key was taken from the bundle, since none was given or kept.
    pub trusts_anew: bool,
    /// What it says of itself.
    pub head: BundleHead,
    /// The store that it was laid into.
    pub store_dir: PathBuf,
    /// Held for as long as the store is served: another bundle would take it away.
    _lock: fs::File,
}

/// How a bundle is opened.
#[derive(Debug)]
pub struct Terms {
    /// The root key that alone counts. Without one, the one that is kept in the data directory
    /// counts, and without that the one in the bundle, which is then kept.
    pub root_key: Option<Key>,
    /// Whether a bundle may be older than the last one that was served from this directory. It
    /// knows less of what was taken back.
    pub may_be_older: bool,
}

/// Checks a bundle and lays it into the data directory. One that was laid there before is not
/// read again behind its list of contents. Whatever is wrong with it, nothing of it stays.
pub fn open(
    bundle: &Path,
    terms: Terms,
    data: &Path,
    now: Timestamp,
) -> Result<Opened, BundleError> {
    let bundles = data.join(BUNDLES);
    let lock = lock(&bundles)?;
    let file = fs::File::open(bundle).map_err(|error| BundleError::file("read", bundle, error))?;
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    let entries = archive.entries().map_err(BundleError::Archive)?;
    let mut entries = entries.raw(true);

    let told = small(&mut entries, ROOT_KEY, ROOT_KEY_BYTES_MAX)?;
    let kept = Kept::open(data)?;
    let known = match terms.root_key {
        Some(root_key) => Some(root_key),
        None => kept.root_key()?,
    };
    let trusts_anew = known.is_none();
    let root_key = match known {
        Some(known) => known,
        None => Key::from_jwk(&told).map_err(BundleError::RootKey)?,
    };
    let head = small(&mut entries, HEAD, BUNDLE_HEAD_BYTES_MAX as u64)?;
    let head = String::from_utf8_lossy(&head);
    let head = BundleHead::from_signed(&head, &root_key).map_err(BundleError::Untrusted)?;
    let contents = small(&mut entries, CONTENTS, CONTENTS_BYTES_MAX)?;
    if HEXLOWER.encode(&Sha256::digest(&contents)) != head.contents_sha256 {
        return Err(BundleError::Altered(CONTENTS.to_owned()));
    }
    let contents: Contents = serde_json::from_slice(&contents)
        .map_err(|error| BundleError::Contents(error.to_string()))?;
    contents.check()?;

    let newest = newest(&bundles)?;
    if let Some(newest) = newest.filter(|newest| head.created_at < *newest)
        && !terms.may_be_older
    {
        let created_at = head.created_at;
        return Err(BundleError::Older { created_at, newest });
    }
    let store_dir = bundles.join(&head.contents_sha256);
    let opened = Opened {
        root_key,
        trusts_anew,
        head,
        store_dir,
        _lock: lock,
    };
    if !opened.store_dir.is_dir() {
        unpack(&mut entries, &contents.files, &bundles, &opened.store_dir)?;
    }
    // Only what was found whole is remembered.
    let newest = newest.map_or(opened.head.created_at, |newest| {
        newest.max(opened.head.created_at)
    });
    let created_at = newest.to_string();
    whole_file::replace(&bundles, NEWEST, ".newest", created_at.as_bytes())
        .map_err(|error| BundleError::file("write", &bundles.join(NEWEST), error))?;
    if trusts_anew {
        kept.keep_root_key(&opened.root_key, now)?;
    }
    Ok(opened)
}

/// Lays files into a store that is whole or not there.
fn unpack<R: Read>(
    entries: &mut tar::Entries<'_, R>,
    files: &[File],
    bundles: &Path,
    store_dir: &Path,
) -> Result<(), BundleError> {
    // What earlier bundles and starts that were cut short have left.
    clear(bundles)?;
    let beside = bundles.join(format!(".new-{}", std::process::id()));
    let laid = lay(entries, files, &beside).and_then(|()| {
        fs::rename(&beside, store_dir)
            .and_then(|()| fs::File::open(bundles)?.sync_all())
            .map_err(|error| BundleError::file("write", store_dir, error))
    });
    if laid.is_err() {
        let _ = fs::remove_dir_all(&beside);
    }
    laid
}

/// Makes the directory of bundles this process's own.
fn lock(bundles: &Path) -> Result<fs::File, BundleError> {
    let path = bundles.join(LOCK);
    let failed = |error| BundleError::file("use", &path, error);
    fs::create_dir_all(bundles).map_err(failed)?;
    let file = fs::File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(BundleError::InUse(path.display().to_string())),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// When the last bundle was made that was served from here.
fn newest(bundles: &Path) -> Result<Option<Timestamp>, BundleError> {
    let path = bundles.join(NEWEST);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BundleError::file("read", &path, error)),
        Ok(text) => text
            .parse()
            .map(Some)
            .map_err(|_| BundleError::file("read", &path, io::ErrorKind::InvalidData.into())),
    }
}

impl Contents {
    /// Whether every file is one that a store has, and stands once, in order.
    fn check(&self) -> Result<(), BundleError> {
        let stray = self.files.iter().find(|file| !is_of_store(&file.path));
        if let Some(file) = stray {
            let why = format!("no store has a file `{}`", file.path.escape_debug());
            return Err(BundleError::Contents(why));
        }
        if !self.files.is_sorted_by(|one, next| one.path < next.path) {
            return Err(BundleError::Contents("it is not sorted".to_owned()));
        }
        Ok(())
    }
}

/// The next entry, which must be a plain file of this name. Entries are read as they lie there:
/// there are no links, no long names and no other things in a bundle.
fn next<'e, R: Read>(
    entries: &mut tar::Entries<'e, R>,
    expected: &str,
) -> Result<tar::Entry<'e, R>, BundleError> {
    let wrong = |found: String| BundleError::Unexpected {
        expected: expected.to_owned(),
        found,
    };
    let entry = entries.next().ok_or_else(|| wrong("nothing".to_owned()))?;
    let entry = entry.map_err(BundleError::Archive)?;
    let name = entry.path_bytes();
    if *name != *expected.as_bytes() || entry.header().entry_type() != tar::EntryType::Regular {
        let found = String::from_utf8_lossy(&name).escape_debug().to_string();
        return Err(wrong(format!("`{found}`")));
    }
    drop(name);
    Ok(entry)
}

/// The bytes of the next entry, which must be small.
fn small<R: Read>(
    entries: &mut tar::Entries<'_, R>,
    name: &str,
    bytes_max: u64,
) -> Result<Vec<u8>, BundleError> {
    let entry = next(entries, name)?;
    if entry.size() > bytes_max {
        return Err(BundleError::Unexpected {
            expected: name.to_owned(),
            found: format!("{} bytes", entry.size()),
        });
    }
    let (size, mut bytes) = (entry.size(), Vec::new());
    entry
        .take(bytes_max)
        .read_to_end(&mut bytes)
        .map_err(BundleError::Archive)?;
    if bytes.len() as u64 != size {
        return Err(BundleError::Archive(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}

/// Lays every file into a new directory, and makes sure that there is no other.
fn lay<R: Read>(
    entries: &mut tar::Entries<'_, R>,
    files: &[File],
    dir: &Path,
) -> Result<(), BundleError> {
    fs::create_dir(dir).map_err(|error| BundleError::file("make", dir, error))?;
    for file in files {
        let mut entry = next(entries, &file.entry_name())?;
        if entry.size() != file.size {
            return Err(BundleError::Altered(file.path.clone()));
        }
        let path = dir.join(&file.path);
        if copy(&mut entry, &path)? != file.sha256 {
            return Err(BundleError::Altered(file.path.clone()));
        }
    }
    match entries.next() {
        None => Ok(()),
        Some(Err(error)) => Err(BundleError::Archive(error)),
        Some(Ok(entry)) => {
            let name = entry.path_bytes();
            let name = String::from_utf8_lossy(&name);
            Err(BundleError::Unexpected {
                expected: "the end".to_owned(),
                found: format!("`{}`", name.escape_debug()),
            })
        }
    }
}

/// Copies an entry to a new file and returns its hash.
fn copy(from: &mut impl Read, path: &Path) -> Result<String, BundleError> {
    let failed = |error| BundleError::file("write", path, error);
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).map_err(BundleError::Archive)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            to.sync_all().map_err(failed)?;
            return Ok(HEXLOWER.encode(&hash.finalize()));
        };
        hash.update(bytes);
        to.write_all(bytes).map_err(failed)?;
    }
}

/// Empties a directory.
fn clear(dir: &Path) -> Result<(), BundleError> {
    let clear = || {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    };
    clear().map_err(|error| BundleError::file("empty", dir, error))
}
