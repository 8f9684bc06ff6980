//! Downloads on the disk, until the control plane has them.
//!
//! ```text
//! downloads/0/lock           held by the gate that keeps its downloads here
//! downloads/0/17-17.json     what was written seventeenth
//! downloads/0/3-16.json      what was written third to sixteenth, folded together
//! downloads/0/refused.json   the last batch that the control plane refused for good
//! ```
//!
//! The oldest file may have been told already, wholly or in part, so it never changes. The others
//! were not: they are folded into one before it is their turn, and when there are many. A file
//! that covers others takes their place by one rename, whenever the process ends.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use activation_token::downloads::{COUNT_MAX, DownloadBatch, DownloadRecord, RECORDS_MAX};
use data_encoding::HEXLOWER;
use jiff::civil::Date;

use super::tally::{Counts, Release};
use crate::whole_file;

#[cfg(test)]
mod tests;

const REFUSED: &str = "refused.json";
/// So many files wait to be folded at most.
const FILES_MAX: usize = 60;
/// So many records are kept in one file, which is how much there can be while the control plane
/// is away: about 40 MB. What was downloaded and has no record then gets none.
const KEPT_MAX: usize = if cfg!(test) { 5_000 } else { 200_000 };
/// So many gates may keep their downloads in one directory.
const GATES_MAX: usize = 256;

/// The files of one gate.
pub(crate) struct Ledger {
    dir: PathBuf,
    /// What ids begin with.
    seed: String,
    /// By their last number.
    files: BTreeMap<u64, Entry>,
    /// The last number of the file that may have been told. It is the oldest one.
    sealed: Option<u64>,
    /// Files that others have taken the place of, to be removed before anything is told.
    covered: Vec<(u64, u64)>,
    newest: u64,
    told_full: bool,
    // Held until the end.
    _lock: File,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its first number.
    from: u64,
    records: usize,
}

/// A file whose turn it is.
pub(crate) struct Next {
    to: u64,
    whole: DownloadBatch,
}

/// The place for downloads cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file system said no to its use at all.
    #[error("the place for downloads `{}` cannot be used", path.display())]
    Place {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
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
    /// Other gates have it all.
    #[error("`{}` has no room for the downloads of one more gate; give it a directory of its own", .0.display())]
    Taken(PathBuf),
}

/// What a record is found by when files are folded.
type Key = (Release, Date);

impl Ledger {
    /// Takes the first place that no other gate has, and what was left there.
    pub(crate) fn open(dir: &Path, seed: [u8; 16]) -> Result<Self, LedgerError> {
        for nth in 0..GATES_MAX {
            let place = dir.join(nth.to_string());
            let unusable = |source| LedgerError::Place {
                path: place.clone(),
                source,
            };
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&place);
            made.map_err(unusable)?;
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(place.join("lock"))
                .map_err(unusable)?;
            match lock.try_lock() {
                Ok(()) => return Self::take_up(place, lock, seed, nth),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(unusable(source)),
            }
        }
        Err(LedgerError::Taken(dir.to_owned()))
    }

    /// What gates have left that nobody has started again. Places are few where gates share a
    /// directory, and a later start may take another one.
    pub(crate) fn left_behind(dir: &Path, seed: [u8; 16]) -> Result<Vec<Self>, LedgerError> {
        let mut left = Vec::new();
        for nth in 0..GATES_MAX {
            let place = dir.join(nth.to_string());
            let Ok(lock) = OpenOptions::new().write(true).open(place.join("lock")) else {
                break;
            };
            if lock.try_lock().is_ok() {
                let ledger = Self::take_up(place, lock, seed, nth)?;
                left.extend((!ledger.files.is_empty()).then_some(ledger));
            }
        }
        Ok(left)
    }

    fn take_up(dir: PathBuf, lock: File, seed: [u8; 16], nth: usize) -> Result<Self, LedgerError> {
        let mut ledger = Self {
            // A process may tell from several places.
            seed: format!("{}.{nth}", HEXLOWER.encode(&seed)),
            files: BTreeMap::new(),
            sealed: None,
            covered: Vec::new(),
            newest: 0,
            told_full: false,
            _lock: lock,
            dir,
        };
        let read = |source| failed("read", &ledger.dir, source);
        let mut found = Vec::new();
        for file in fs::read_dir(&ledger.dir).map_err(read)? {
            let name = file.map_err(read)?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                // Half written.
                let _ = fs::remove_file(ledger.dir.join(&*name));
            }
            let numbers = name.strip_suffix(".json").and_then(|n| n.split_once('-'));
            let numbers =
                numbers.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
            found.extend(numbers);
        }
        // One that covers others comes before them.
        found.sort_by_key(|&(from, to): &(u64, u64)| (from, u64::MAX - to));
        for (from, to) in found {
            if to <= ledger.newest {
                // The process ended before it was removed.
                ledger.covered.push((from, to));
                continue;
            }
            let entry = Entry { from, records: 0 };
            ledger.files.insert(to, entry);
            ledger.newest = to;
        }
        ledger.sealed = ledger.files.keys().next().copied();
        ledger.remove_covered()?;
        Ok(ledger)
    }

    /// How many records wait, as far as they were counted.
    pub(crate) fn records(&self) -> usize {
        self.files.values().map(|entry| entry.records).sum()
    }

    /// Writes what was downloaded on a day. Returns for how much there is no room any more.
    pub(crate) fn write(&mut self, counts: &Counts, day: Date) -> Result<u64, LedgerError> {
        let counts = counts
            .iter()
            .map(|(release, count)| ((release.clone(), day), *count));
        let number = self.newest + 1;
        self.put(number, number, counts.collect())?;
        let waiting: usize = self.unsealed().map(|(_, entry)| entry.records).sum();
        if self.unsealed().count() > FILES_MAX || waiting > 2 * KEPT_MAX {
            // It is written already. What keeps files from being folded shows when they are told.
            return Ok(self.fold().unwrap_or(0));
        }
        Ok(0)
    }

    /// The file whose turn it is, and for how much there was no room.
    pub(crate) fn next(&mut self) -> Result<(Option<Next>, u64), LedgerError> {
        let mut lost = 0;
        self.remove_covered()?;
        loop {
            if self.sealed.is_none() {
                lost += self.fold()?;
                self.sealed = self.files.keys().next().copied();
            }
            let Some(to) = self.sealed else {
                return Ok((None, lost));
            };
            if let Some(whole) = self.read(to)? {
                return Ok((Some(Next { to, whole }), lost));
            }
            self.forget(to)?;
        }
    }

    /// Forgets a file that was told.
    pub(crate) fn told(&mut self, next: &Next) -> Result<(), LedgerError> {
        self.forget(next.to)
    }

    /// Keeps a batch for somebody to look at, in place of the one before.
    pub(crate) fn set_aside(&self, batch: &DownloadBatch) -> Result<(), LedgerError> {
        self.replace(REFUSED, batch)
    }

    /// The files that were not told.
    fn unsealed(&self) -> impl Iterator<Item = (u64, Entry)> {
        let after = self.sealed.map_or(0, |sealed| sealed + 1);
        self.files.range(after..).map(|(to, entry)| (*to, *entry))
    }

    /// Makes one of all files that were not told. Returns for how much there was no room.
    fn fold(&mut self) -> Result<u64, LedgerError> {
        self.remove_covered()?;
        let folded: Vec<(u64, Entry)> = self.unsealed().collect();
        let [(_, first), .., (newest, _)] = folded.as_slice() else {
            return Ok(0);
        };
        let mut lost = 0;
        let mut sums: BTreeMap<Key, u64> = BTreeMap::new();
        for (to, _) in &folded {
            let records = self.read(*to)?.map_or_else(Vec::new, |batch| batch.records);
            for record in records {
                let count = record.count;
                let key = key_of(record);
                if let Some(sum) = sums.get_mut(&key) {
                    *sum = sum.saturating_add(count);
                } else if sums.len() < KEPT_MAX {
                    sums.insert(key, count);
                } else {
                    lost += count;
                }
            }
        }
        self.put(first.from, *newest, sums)?;
        for (to, entry) in &folded {
            self.covered.push((entry.from, *to));
            if to != newest {
                self.files.remove(to);
            }
        }
        self.remove_covered()?;
        if lost > 0 && !std::mem::replace(&mut self.told_full, true) {
            tracing::error!(
                "there is no room on the disk for more downloads; some are not counted until the \
                 control plane is told of the others"
            );
        }
        Ok(lost)
    }

    /// Reads a file, and counts it. One that is damaged is moved out of the way.
    fn read(&mut self, to: u64) -> Result<Option<DownloadBatch>, LedgerError> {
        let Some(entry) = self.files.get_mut(&to) else {
            return Ok(None);
        };
        let path = self.dir.join(name(entry.from, to));
        let bytes = fs::read(&path).map_err(|source| failed("read", &path, source))?;
        match serde_json::from_slice::<DownloadBatch>(&bytes) {
            Ok(batch) => {
                entry.records = batch.records.len();
                Ok(Some(batch))
            }
            Err(error) => {
                let aside = path.with_extension("damaged");
                tracing::error!(file = %aside.display(), %error, "a file of downloads is damaged");
                fs::copy(&path, &aside).map_err(|source| failed("write", &aside, source))?;
                Ok(None)
            }
        }
    }

    /// Writes a file.
    fn put(&mut self, from: u64, to: u64, sums: BTreeMap<Key, u64>) -> Result<(), LedgerError> {
        let batch = DownloadBatch {
            batch_id: format!("{}.{from}-{to}", self.seed),
            records: sums.into_iter().flat_map(records_of).collect(),
        };
        self.replace(&name(from, to), &batch)?;
        let records = batch.records.len();
        self.files.insert(to, Entry { from, records });
        self.newest = self.newest.max(to);
        Ok(())
    }

    fn replace(&self, name: &str, batch: &DownloadBatch) -> Result<(), LedgerError> {
        let failed = |source| failed("write", &self.dir.join(name), source);
        let bytes = serde_json::to_vec(batch).map_err(|error| failed(error.into()))?;
        whole_file::replace(&self.dir, name, &format!(".{name}"), &bytes).map_err(failed)
    }

    fn forget(&mut self, to: u64) -> Result<(), LedgerError> {
        if let Some(entry) = self.files.get(&to) {
            self.remove(entry.from, to)?;
            self.files.remove(&to);
        }
        self.sealed = None;
        // There is room again.
        self.told_full = false;
        Ok(())
    }

    /// Removes what others have taken the place of, for good: were one of these to outlive the
    /// file that covers it, it would be told once more.
    fn remove_covered(&mut self) -> Result<(), LedgerError> {
        if self.covered.is_empty() {
            return Ok(());
        }
        for &(from, to) in &self.covered {
            self.remove(from, to)?;
        }
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|source| failed("write", &self.dir, source))?;
        self.covered.clear();
        Ok(())
    }

    fn remove(&self, from: u64, to: u64) -> Result<(), LedgerError> {
        let path = self.dir.join(name(from, to));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("write", &path, error)),
            _ => Ok(()),
        }
    }
}

impl Next {
    /// The batches that it is told in, the same each time.
    pub(crate) fn batches(&self) -> impl Iterator<Item = DownloadBatch> {
        let parts = self.whole.records.chunks(RECORDS_MAX).enumerate();
        parts.map(|(nth, records)| DownloadBatch {
            batch_id: match nth {
                0 => self.whole.batch_id.clone(),
                nth => format!("{}.{nth}", self.whole.batch_id),
            },
            records: records.to_vec(),
        })
    }
}

fn name(from: u64, to: u64) -> String {
    format!("{from}-{to}.json")
}

fn key_of(record: DownloadRecord) -> Key {
    let release = Release {
        license_id: record.license_id.into(),
        customer_id: record.customer_id.into(),
        package: record.package,
        version: record.version.into(),
    };
    (release, record.day)
}

fn records_of(((release, day), count): (Key, u64)) -> impl Iterator<Item = DownloadRecord> {
    let whole = usize::try_from(count / COUNT_MAX).unwrap_or(0);
    let rest = Some(count % COUNT_MAX).filter(|rest| *rest > 0);
    let counts = std::iter::repeat_n(COUNT_MAX, whole).chain(rest);
    counts.map(move |count| DownloadRecord {
        license_id: release.license_id.to_string(),
        customer_id: release.customer_id.to_string(),
        package: release.package.clone(),
        version: release.version.to_string(),
        day,
        count,
    })
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> LedgerError {
    let path = path.to_owned();
    LedgerError::File {
        doing,
        path,
        source,
    }
}
