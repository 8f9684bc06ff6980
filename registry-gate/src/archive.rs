//! Reading a package's tarball: `package/package.json` and two counts, from memory, never
//! unpacked. What npm's own reader, or a file system it unpacks to, might understand differently
//! is refused: then all see the same package in it.

mod header;
mod place;

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use tar::Archive;

use header::{Ahead, Kind};
use place::{Place, place};

/// The most files an archive may have.
const ENTRIES_MAX: u64 = 50_000;
/// The largest `package.json`, in bytes.
const PACKAGE_JSON_BYTES_MAX: u64 = 1024 * 1024;
/// How much of a readme is kept, in bytes.
const README_BYTES_MAX: u64 = 64 * 1024;
/// An archive may always unpack to so many bytes, however small it is …
const UNPACKED_BYTES_FLOOR: u64 = 16 * 1024 * 1024;
/// … and beyond that to so many times its own size.
const UNPACKED_RATIO_MAX: u64 = 100;

/// What is known of an archive that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The bytes of `package/package.json`.
    pub(crate) package_json: Vec<u8>,
    /// Its readme, if it has one.
    pub(crate) readme: Option<Readme>,
    /// How many files it has.
    pub(crate) file_count: u64,
    /// Their size altogether, in bytes.
    pub(crate) unpacked_bytes: u64,
}

/// What people are to read of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Readme {
    /// The file's name in the package.
    pub(crate) file: String,
    /// Its text, or the beginning of a long one.
    pub(crate) text: String,
}

/// Why an archive is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("the tarball is no gzip-compressed tar archive, or unpacks to far more than its size")]
    Unreadable,
    #[error("the tarball has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    #[error("the tarball has an entry outside its folder `package/`")]
    Outside,
    #[error("the tarball has an entry that is neither file nor folder")]
    NotAFile,
    #[error("the tarball has a header that programs read in different ways")]
    Ambiguous,
    #[error("the tarball has no `package/package.json`")]
    NoPackageJson,
    #[error("the tarball has `package/package.json` twice")]
    TwoPackageJsons,
    #[error("the tarball's package.json is over {PACKAGE_JSON_BYTES_MAX} bytes")]
    PackageJsonTooLarge,
    #[error("the tarball goes on after its end")]
    Trailing,
}

impl From<io::Error> for ArchiveError {
    fn from(_: io::Error) -> Self {
        Self::Unreadable
    }
}

/// Reads a `.tgz` whole.
pub(crate) fn read(tarball: &[u8]) -> Result<Contents, ArchiveError> {
    let bytes_max = UNPACKED_BYTES_FLOOR.max(tarball.len() as u64 * UNPACKED_RATIO_MAX);
    // Several gzip members are one stream to Node, so they are to us.
    let mut archive = Archive::new(Bounded {
        inner: MultiGzDecoder::new(tarball),
        left: bytes_max,
    });
    let (mut package_json, mut readme) = (None, None);
    let (mut entries, mut file_count, mut unpacked_bytes) = (0, 0, 0_u64);
    let mut ahead = Ahead::default();
    // Raw: the headers that say something about the next entry are read here, strictly.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        entries += 1;
        if entries > ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        let kind = header::kind(entry.header())?;
        if let Kind::Extension(extension) = kind {
            ahead.read(extension, &mut entry)?;
            continue;
        }
        let path = std::mem::take(&mut ahead).path_of(entry.header())?;
        let place = place(&path, kind == Kind::Folder)?;
        if kind == Kind::Folder {
            continue;
        }
        file_count += 1;
        unpacked_bytes = unpacked_bytes.saturating_add(entry.size());
        if place == Place::PackageJson && package_json.is_some() {
            return Err(ArchiveError::TwoPackageJsons);
        }
        if place == Place::PackageJson {
            if entry.size() > PACKAGE_JSON_BYTES_MAX {
                return Err(ArchiveError::PackageJsonTooLarge);
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            package_json = Some(bytes);
        }
        if place == Place::Readme && readme.is_none() {
            let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let mut bytes = Vec::new();
            (&mut entry)
                .take(README_BYTES_MAX)
                .read_to_end(&mut bytes)?;
            readme = Some(Readme {
                file: String::from_utf8_lossy(file).into_owned(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            });
        }
    }
    if !ahead.is_empty() {
        return Err(ArchiveError::Ambiguous);
    }
    check_end(archive.into_inner())?;
    Ok(Contents {
        package_json: package_json.ok_or(ArchiveError::NoPackageJson)?,
        readme,
        file_count,
        unpacked_bytes,
    })
}

/// Our reader stops at the first empty block, others read on after a single one: so nothing but
/// zeros may follow.
fn check_end(mut rest: impl Read) -> Result<(), ArchiveError> {
    let mut block = [0; 8192];
    loop {
        let count = rest.read(&mut block)?;
        if count == 0 {
            return Ok(());
        }
        if block.iter().take(count).any(|byte| *byte != 0) {
            return Err(ArchiveError::Trailing);
        }
    }
}

/// Fails when more than so many bytes come out.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("unpacks to too many bytes"))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
