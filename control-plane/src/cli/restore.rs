//! `tollgate restore`.
//!
//! Everything is done to a copy of the backup, and the copy then takes the database's name in one
//! step. So whatever happens on the way, the old database is in place whole, or the new one is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use activation_token::clock::{Clock, SystemClock};
use activation_token::credential::HashKey;
use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use terminal::ask::confirm;
use terminal::output::print;

use super::backup::{private, remove};
use super::loss::{Loss, Present};
use super::{audit::whole, lock};
use crate::data_dir::{DataDir, Keys};
use crate::operations::note_replacement;
use crate::secret_file::sync_parent;
use crate::settings::Given;
use crate::store::audit::{self, Chain, Head};
use crate::store::{Database, Schema, Store, copy};

/// What `tollgate restore` takes.
#[derive(Debug, Args)]
pub struct Restore {
    /// A file that `tollgate backup` made
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    given: Given,
}

impl Restore {
    /// Puts a backup in place of the database.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (config, _) = self.given.load()?;
        if config.database_url.is_some() {
            bail!(
                "the database is on PostgreSQL, which restores its own backups\n  \
                 hint: stop every control plane, `pg_restore --clean --dbname=URL FILE`, then \
                 `tollgate audit accept`, so that gates follow it"
            );
        }
        let data = lock(&config)?;
        let target = data.database_file();
        let is_target = |path: &Path| path.canonicalize().ok() == target.canonicalize().ok();
        if target.exists() && is_target(&self.file) {
            bail!("`{}` is the database itself", self.file.display());
        }
        let copied = with_suffix(&target, ".restoring");
        let done = restore(&self.file, self.yes, &data, &copied).await;
        remove_database(&copied)?;
        done.map(|()| ExitCode::SUCCESS)
    }
}

async fn restore(file: &Path, yes: bool, data: &DataDir, copied: &Path) -> anyhow::Result<()> {
    let target = data.database_file();
    let (store, unchecked) = checked_copy(file, copied, &data.hash_key(Keys::MustExist)?).await?;
    let head = head(&store).await?;
    let present = Present::open(&target).await;
    let loss = Loss::between(&present, &store).await?;
    let (file, rows) = (file.display(), head.sequence);
    print(&format!(
        "`{file}` is whole: {rows} audit rows\n{unchecked}{loss}"
    ))?;
    confirm("Put it in place?", yes)?;

    let now = SystemClock.now();
    let after = json!({ "sequence": head.sequence, "mac": head.mac, "lost": loss.rows() });
    let (before, seen) = (loss.before(), loss.changes());
    let mut tx = store.begin().await?;
    let recorded = note_replacement(&mut tx, now, "database.restore", before, after, seen).await?;
    tx.commit(recorded).await?;
    let head = self::head(&store).await?;
    store.close().await;
    present.close().await;
    let kept = put_in_place(copied, &target, now).await?;
    data.note_audit_head(&head)?;
    let kept = kept.map_or_else(String::new, |kept| {
        format!(
            "The database that was there is kept as `{}`.\n",
            kept.display()
        )
    });
    print(&format!("restored; the audit log's head is {head}\n{kept}"))
}

/// A checked copy of the backup, brought up to date, its log chained to the end; and what could
/// not be checked.
async fn checked_copy(
    file: &Path,
    copied: &Path,
    hash_key: &HashKey,
) -> anyhow::Result<(Store, &'static str)> {
    let cannot = || format!("`{}` cannot be restored", file.display());
    remove_database(copied)?;
    private(copied).with_context(|| format!("cannot write `{}`", copied.display()))?;
    let schema = copy_whole(file, copied).await.with_context(cannot)?;
    let chain = Chain::new(hash_key);
    let mut unchecked = "";
    if schema.chains() {
        let copy = Database::look_sqlite(copied).await?;
        let log = whole(&mut copy.read().await?, &chain, &[], "its audit log").await;
        copy.close().await;
        log.with_context(cannot)?;
    } else {
        unchecked =
            "its audit log cannot be checked: the release that wrote it did not chain rows\n";
    }
    let database = Database::open_sqlite(copied).await.with_context(cannot)?;
    let store = Store::new(database, hash_key).await?;
    if !schema.chains() {
        store.begin().await?.commit_notes().await?;
    }
    Ok((store, unchecked))
}

/// Copies the file, unless something is wrong with it.
async fn copy_whole(file: &Path, copied: &Path) -> anyhow::Result<Schema> {
    if !file.is_file() {
        bail!("there is no such file");
    }
    let backup = Database::look_sqlite(file).await?;
    if let Err(damage) = backup.integrity().await? {
        bail!("it is damaged: {damage}");
    }
    let schema = backup.schema().await?;
    if schema.version == 0 {
        bail!("it holds no database of Tollgate");
    }
    backup.copy_into(copied).await?;
    backup.close().await;
    Ok(schema)
}

async fn head(store: &Store) -> anyhow::Result<Head> {
    Ok(audit::head(store.read().await?.link()).await?)
}

/// Gives the copy the database's name, and the database a dated one, where it is there.
async fn put_in_place(
    copied: &Path,
    target: &Path,
    now: Timestamp,
) -> anyhow::Result<Option<PathBuf>> {
    let cannot = || format!("cannot put the backup in place of `{}`", target.display());
    if with_suffix(copied, "-wal").exists() {
        bail!("the copy of the backup could not be finished; nothing was changed");
    }
    let kept = target.exists().then(|| {
        let date = now.strftime("%Y%m%dT%H%M%S%3fZ");
        with_suffix(target, &format!(".replaced-{date}"))
    });
    if let Some(kept) = &kept {
        // Of a database that cannot be opened, all files are kept as they are.
        if let Err(error) = copy::settle(target).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the database that is replaced cannot be opened");
        }
        // Both names lead to it until the copy takes one of them.
        fs::hard_link(target, kept)
            .or_else(|_| fs::copy(target, kept).map(drop))
            .with_context(cannot)?;
        // Left behind, they would be taken for the new database's.
        for suffix in ["-wal", "-shm"] {
            let (from, to) = (with_suffix(target, suffix), with_suffix(kept, suffix));
            if from.exists() {
                fs::rename(from, to).with_context(cannot)?;
            }
        }
    }
    let swap = || -> std::io::Result<()> {
        File::open(copied)?.sync_all()?;
        sync_parent(target)?;
        fs::rename(copied, target)?;
        sync_parent(target)
    };
    swap().with_context(cannot)?;
    Ok(kept)
}

/// Removes an SQLite file with what belongs to it.
fn remove_database(file: &Path) -> std::io::Result<()> {
    ["", "-wal", "-shm"]
        .into_iter()
        .try_for_each(|suffix| remove(&with_suffix(file, suffix)))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
