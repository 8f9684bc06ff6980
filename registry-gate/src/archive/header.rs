//! The headers of an archive, and those that stand ahead of an entry and say more about it (pax,
//! GNU). Programs are lenient here, each in its own way; this is not.

use std::io::Read;

use tar::{EntryType, Header};

use super::ArchiveError;

/// The largest header that says something about the next entry, in bytes.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Extension(Extension),
}

/// What says something about the next entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    /// Pax, about all entries that follow.
    Global,
    /// Pax, about the next entry.
    Pax,
    /// A path that is too long for the GNU form.
    LongPath,
}

/// What was said about the next entry.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    /// Whether there was anything.
    is_told: bool,
}

/// Fields of a header: where they begin and how long they are.
const NAME: (usize, usize) = (0, 100);
const SIZE: (usize, usize) = (124, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const LINK: (usize, usize) = (157, 100);
const PREFIX: (usize, usize) = (345, 155);
/// The prefix where times stand after it.
const SHORT_PREFIX: (usize, usize) = (345, 130);

/// Where further numbers begin: mode, owner, group, time, device.
const NUMBERS: [usize; 6] = [100, 108, 116, 136, 329, 337];
/// Further times, where the prefix is short.
const TIMES: [usize; 2] = [476, 488];

/// Reads a header for itself.
pub(super) fn kind(header: &Header) -> Result<Kind, ArchiveError> {
    let bytes = header.as_bytes();
    let number = |(at, len): (usize, usize), digits_max| {
        let field = bytes.get(at..at + len).unwrap_or_default();
        is_number(field, digits_max)
    };
    // Some read a checksum without an end into the fields that follow it.
    if !number(SIZE, SIZE.1) || !number(CHECKSUM, CHECKSUM.1 - 1) {
        return Err(ArchiveError::Ambiguous);
    }
    // Numbers in binary are no numbers to some, who then pass over the whole entry.
    let is_binary = |at: &usize| bytes.get(*at).is_some_and(|first| *first >= 0x80);
    let is_prefix_long = bytes.get(SHORT_PREFIX.0 + SHORT_PREFIX.1) != Some(&0);
    if NUMBERS.iter().any(is_binary) || !is_prefix_long && TIMES.iter().any(is_binary) {
        return Err(ArchiveError::Ambiguous);
    }
    // A header without a name is no header to some, who take what follows for the next one.
    if text(bytes, NAME)?.is_empty() {
        return Err(ArchiveError::Ambiguous);
    }
    // A file that has a link's target is a file to some and nothing to others.
    if !text(bytes, LINK)?.is_empty() {
        return Err(match header.entry_type() {
            EntryType::Symlink | EntryType::Link => ArchiveError::NotAFile,
            _ => ArchiveError::Ambiguous,
        });
    }
    prefix(header)?;
    let kind = match header.entry_type() {
        EntryType::Regular => Kind::File,
        // To some a folder has no bytes, whatever its size says.
        EntryType::Directory if header.entry_size()? == 0 => Kind::Folder,
        EntryType::Directory => return Err(ArchiveError::Ambiguous),
        EntryType::XGlobalHeader => Kind::Extension(Extension::Global),
        EntryType::XHeader => Kind::Extension(Extension::Pax),
        EntryType::GNULongName => Kind::Extension(Extension::LongPath),
        _ => return Err(ArchiveError::NotAFile),
    };
    Ok(kind)
}

/// Octal digits, then blanks or zeros to the end.
fn is_number(field: &[u8], digits_max: usize) -> bool {
    let digits = field
        .iter()
        .take_while(|b| matches!(b, b'0'..=b'7'))
        .count();
    let rest = field.get(digits..).unwrap_or_default();
    (1..=digits_max).contains(&digits) && rest.iter().all(|b| matches!(b, 0 | b' '))
}

/// Text up to the first zero; nothing but zeros may follow, for some read on.
fn text(header: &[u8], (at, len): (usize, usize)) -> Result<&[u8], ArchiveError> {
    let field = header.get(at..at + len).unwrap_or_default();
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    let (text, rest) = field.split_at(end);
    if rest.iter().any(|b| *b != 0) {
        return Err(ArchiveError::Ambiguous);
    }
    Ok(text)
}

fn prefix(header: &Header) -> Result<&[u8], ArchiveError> {
    if header.as_ustar().is_none() {
        return Ok(&[]);
    }
    let bytes = header.as_bytes();
    let is_long = bytes.get(SHORT_PREFIX.0 + SHORT_PREFIX.1) != Some(&0);
    text(bytes, if is_long { PREFIX } else { SHORT_PREFIX })
}

impl Ahead {
    /// Reads what an extension says.
    pub(super) fn read(
        &mut self,
        extension: Extension,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<(), ArchiveError> {
        if entry.size() > EXTENSION_BYTES_MAX {
            return Err(ArchiveError::Ambiguous);
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if extension == Extension::Global {
            // Tools leave notes there. What changes the entries that follow is not for packages.
            let mut global = Self::default();
            global.pax(&bytes, |key| key == "comment")?;
            return Ok(());
        }
        if std::mem::replace(&mut self.is_told, true) {
            return Err(ArchiveError::Ambiguous);
        }
        if extension == Extension::Pax {
            return self.pax(&bytes, may_be_told);
        }
        let path = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        self.path = Some(path.to_vec());
        Ok(())
    }

    /// The records of pax: `LENGTH KEY=VALUE\n`. Some take them for lines, so no value has one.
    fn pax(&mut self, mut rest: &[u8], allowed: fn(&str) -> bool) -> Result<(), ArchiveError> {
        let mut read = || -> Option<()> {
            while !rest.is_empty() {
                let end = rest.iter().position(|b| *b == b'\n')?;
                let (line, after) = rest.split_at(end + 1);
                rest = after;
                let line = std::str::from_utf8(line).ok()?;
                let (length, record) = line.split_once(' ')?;
                let canonical = length.bytes().all(|b| b.is_ascii_digit())
                    && !length.starts_with('0')
                    && length.parse() == Ok(line.len());
                let (key, value) = record.strip_suffix('\n')?.split_once('=')?;
                if !canonical || !allowed(key) || value.contains('\0') {
                    return None;
                }
                let repeated = match key {
                    "path" => self.path.replace(value.as_bytes().to_vec()).is_some(),
                    "size" if value.bytes().all(|b| b.is_ascii_digit()) => {
                        self.size.replace(value.parse().ok()?).is_some()
                    }
                    "size" => true,
                    _ => false,
                };
                if repeated {
                    return None;
                }
            }
            Some(())
        };
        read().ok_or(ArchiveError::Ambiguous)
    }

    /// The path of the entry that this header begins, with what was told of it ahead.
    pub(super) fn path_of(self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        // A second opinion on the size would shift everything that follows.
        if self
            .size
            .is_some_and(|size| header.entry_size().ok() != Some(size))
        {
            return Err(ArchiveError::Ambiguous);
        }
        match self.path {
            // Some put the prefix before it, others do not.
            Some(_) if !prefix(header)?.is_empty() => Err(ArchiveError::Ambiguous),
            Some(path) => Ok(path),
            None => Ok(header.path_bytes().into_owned()),
        }
    }

    /// Whether nothing was said about a next entry.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_told
    }
}

/// The keys of pax that change nothing but the path, and what is of no matter here.
fn may_be_told(key: &str) -> bool {
    const PLAIN: [&str; 14] = [
        "path",
        "size",
        "mtime",
        "atime",
        "ctime",
        "uid",
        "gid",
        "uname",
        "gname",
        "comment",
        "mode",
        "SCHILY.dev",
        "SCHILY.ino",
        "SCHILY.nlink",
    ];
    const FAMILIES: [&str; 3] = ["LIBARCHIVE.", "SCHILY.acl.", "SCHILY.xattr."];
    PLAIN.contains(&key) || FAMILIES.iter().any(|family| key.starts_with(family))
}
