//! `tollgate backup`.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use terminal::output::print;

use super::{look, look_at_database};
use crate::secret_file::sync_parent;
use crate::settings::Given;
use crate::store::{Database, audit};

/// What `tollgate backup` takes.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; it must not be there yet
    file: PathBuf,
    #[command(flatten)]
    given: Given,
}

impl Backup {
    /// Copies the database as it stands now, also while a server runs.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (config, _) = self.given.load()?;
        if config.database_url.is_some() {
            bail!(
                "the database is on PostgreSQL, which makes its own backups\n  \
                 hint: `pg_dump --format=custom --file=FILE URL`; keep the keys and packages of the \
                 data directory with it"
            );
        }
        let data = look(&config)?;
        let database = look_at_database(&config).await?;
        database.schema().await?;
        let made = copy(&database, &self.file).await?;
        let (file, dir) = (self.file.display(), data.path().display());
        print(&format!(
            "backed up the database to `{file}`: {made}\n\
             Only the database is in it. Keep with it, from `{dir}`: hash-key, root-key.pem, the \
             signing keys, and packages/. Without hash-key it is of no use.\n"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes beside, checks and syncs, then renames: under its name, the copy is whole or empty.
async fn copy(database: &Database, file: &Path) -> anyhow::Result<String> {
    // Takes the name, so that nothing is overwritten, not even what comes into being meanwhile.
    private(file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow::anyhow!(
            "`{}` is there already\n  hint: a backup overwrites nothing; choose another name",
            file.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot write `{}`", file.display())),
    })?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".partial");
    let beside = PathBuf::from(beside);
    let made = async {
        remove(&beside)?;
        private(&beside)?;
        database.copy_into(&beside).await?;
        let made = describe(&beside).await?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, file)?;
        sync_parent(&file.canonicalize()?)?;
        Ok::<_, anyhow::Error>(made)
    }
    .await;
    if made.is_err() {
        // What is half-written must not be taken for a backup.
        let _ = remove(&beside);
        let _ = fs::remove_file(file);
    }
    made.with_context(|| format!("the backup `{}` could not be made", file.display()))
}

/// Checks a copy, and says what is in it.
async fn describe(file: &Path) -> anyhow::Result<String> {
    let copy = Database::look_sqlite(file).await?;
    if let Err(damage) = copy.integrity().await? {
        bail!("the copy is damaged: {damage}");
    }
    let version = copy.schema().await?.version;
    let rows = audit::summary_after(copy.read().await?.link(), 0).await?;
    copy.close().await;
    let rows = rows.map_or(0, |rows| rows.rows);
    Ok(format!("schema version {version}, {rows} audit rows"))
}

/// Makes an empty file for its owner alone, where none is yet.
pub(super) fn private(file: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.create_new(true).write(true).mode(0o600);
    options.open(file).map(drop)
}

/// Removes a file; one that is gone already is no error.
pub(super) fn remove(file: &Path) -> std::io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
