//! Where an export goes, and what an exported file holds.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use terminal::output::print_on;

use super::rows::Line;
use crate::cli::whole_file::WholeFile;

/// Takes rows.
pub(super) enum Copy {
    /// Standard output.
    Output,
    /// A file that is written beside and gets its name at the end.
    New(WholeFile, PathBuf),
    /// A file that goes on.
    Longer(BufWriter<File>, PathBuf),
}

/// An exported file, read row after row.
pub(super) struct Exported {
    file: BufReader<File>,
    path: PathBuf,
    /// The number of the last row that was read, 0 before the first one.
    pub last: i64,
    /// Where its line ends.
    end: u64,
}

impl Copy {
    /// Opens where an export goes, and says after which row it begins.
    pub(super) fn open(
        output: Option<&Path>,
        append: bool,
        after: i64,
    ) -> anyhow::Result<(Self, i64)> {
        let Some(path) = output else {
            return Ok((Self::Output, after));
        };
        let cannot = || format!("cannot write `{}`", path.display());
        let mut options = OpenOptions::new();
        options.create(true).mode(0o600);
        if append {
            let file = options.read(true).write(true).truncate(false).open(path);
            let mut file = file.with_context(cannot)?;
            let mut exported = Exported::open(path)?;
            while exported.next()?.is_some() {}
            // A line that was cut off in the middle is written again.
            file.set_len(exported.end).with_context(cannot)?;
            file.seek(SeekFrom::End(0)).with_context(cannot)?;
            let file = BufWriter::new(file);
            return Ok((Self::Longer(file, path.to_owned()), exported.last));
        }
        Ok((Self::New(WholeFile::new(path)?, path.to_owned()), after))
    }

    /// Takes whole lines. Whether anybody wants more.
    pub(super) fn write(&mut self, text: &str) -> anyhow::Result<bool> {
        let (file, path): (&mut dyn Write, _) = match self {
            Self::Output => return print_on(text),
            Self::New(file, path) => (file, path),
            Self::Longer(file, path) => (file, path),
        };
        let written = file.write_all(text.as_bytes());
        written.with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(true)
    }

    /// Keeps what was taken. Where this is not called, a file that goes on keeps it as well.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Output => Ok(()),
            Self::New(file, _) => file.finish().map(drop),
            Self::Longer(mut file, path) => file
                .flush()
                .and_then(|()| file.get_ref().sync_all())
                .with_context(|| format!("cannot write `{}`", path.display())),
        }
    }
}

impl Exported {
    /// Opens one.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path);
        let file = file.with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok(Self {
            file: BufReader::new(file),
            path: path.to_owned(),
            last: 0,
            end: 0,
        })
    }

    /// The next row; none at the end. Fails where a row is missing. A last line that was cut off in
    /// the middle is passed over.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Line>> {
        let mut line = Vec::new();
        let read = self.file.read_until(b'\n', &mut line);
        let shown = self.path.display();
        let read = read.with_context(|| format!("cannot read `{shown}`"))?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        let row = std::str::from_utf8(&line).ok().and_then(Line::read);
        let (end, last) = (self.end, self.last);
        let row = row.with_context(|| {
            format!("`{shown}` holds a line at byte {end} that is no row of an audit log")
        })?;
        let found = row.sequence;
        if last > 0 && found != last + 1 {
            let missing = last + 1;
            bail!("row {missing} is missing in `{shown}`: row {found} stands in its place");
        }
        self.last = found;
        self.end += read as u64;
        Ok(Some(row))
    }
}
