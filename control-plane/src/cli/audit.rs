//! `tollgate audit`: the log in a database at hand here, a control plane's in [`there`] and [`tail`].

mod copy;
mod noted;
mod rows;
mod source;
mod tail;
mod there;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use activation_token::clock::{Clock, SystemClock};
use anyhow::Context;
use clap::Subcommand;
use serde_json::json;
use terminal::ask::confirm;
use terminal::output::{print, print_json};
use terminal::{Exit, Failure};

use copy::Copy;
use source::{Log, Source};
use tail::Tail;

use super::{lock, look, look_at_database};
use crate::api::audit::EntryView;
use crate::api::audit_check::VerifiedView;
use crate::data_dir::{DataDir, Keys};
use crate::head_note;
use crate::operations::note_replacement;
use crate::serve::open_database;
use crate::settings::{Config, Given};
use crate::store::audit::{self, Chain, Damage, Head};
use crate::store::{Conn, Database, Store};

/// What `tollgate audit` can do.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Print the newest rows of a control plane's audit log, and go on with those that come
    ///
    /// One line each, until it is stopped. A server that is away for a while is waited for.
    Tail(Box<Tail>),
    /// Check that every row of the audit log is what was written
    ///
    /// Exits with 1 and names the first row that is not. Which log is meant: `--server` or
    /// `--profile` names a control plane, `--data`, `--database-url` or `--config` a database at
    /// hand. An option counts before a variable; where neither is given, the current profile's
    /// control plane is asked, and without a profile the data directory is read. Standard error says
    /// which log it was, where another one could have been meant.
    ///
    /// A control plane reads its whole log; the end that it tells is noted beside the profiles, and
    /// must be in the log at the next check, which shows when the log was cut. A database is read
    /// from here, also while a server runs, and must contain the row that was noted last in the
    /// data directory's `audit-head`.
    Verify {
        /// A row that the log must contain, as `tollgate audit head` and this command print it:
        /// kept elsewhere, it shows when the end of the log was cut
        #[arg(long, value_name = "ROW:HASH")]
        head: Option<Head>,
        /// An exported file: it must have no gap, and a control plane's log must still say the same
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Where the log is
        #[command(flatten)]
        source: Box<Source>,
    },
    /// Print the newest row's number and hash, to be kept elsewhere
    Head(Box<Given>),
    /// Print the audit log as JSON lines, oldest first
    ///
    /// Which log is meant is told as for `verify`.
    Export {
        /// The last row that is there already
        #[arg(long, value_name = "ROW", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        after: i64,
        /// Write to this file, mode 0600, which is whole or not there
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Go on with the file after its last row
        #[arg(long, requires = "output", conflicts_with = "after")]
        append: bool,
        /// Where the log is
        #[command(flatten)]
        source: Box<Source>,
    },
    /// Go on with a database that is not the one that was served last
    ///
    /// `serve` refuses a database whose audit log lacks the row in the data directory's
    /// `audit-head`. Where such a database is meant, for instance after `pg_restore`, this checks
    /// its log, writes a row `audit.accept`, and has gates follow it.
    Accept {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Where the log is
        #[command(flatten)]
        given: Box<Given>,
    },
}

impl Audit {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Tail(tail) => tail.run().await?,
            Self::Verify { head, file, source } => verify(*source, head, file.as_deref()).await?,
            Self::Head(given) => {
                let (_, mut conn) = open(&given.load()?.0).await?;
                print(&format!("{}\n", audit::head(conn.link()).await?))?;
            }
            Self::Export {
                after,
                output,
                append,
                source,
            } => {
                let log = source.log()?;
                let (copy, after) = Copy::open(output.as_deref(), append, after)?;
                match log {
                    Log::Here(config) => export(&config, copy, after).await?,
                    Log::There(control_plane) => there::export(control_plane, copy, after).await?,
                }
            }
            Self::Accept { yes, given } => accept(&given.load()?.0, yes).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn open(config: &Config) -> anyhow::Result<(Database, Conn)> {
    let database = look_at_database(config).await?;
    database.expect_current().await?;
    let conn = database.read().await?;
    Ok((database, conn))
}

async fn verify(source: Source, head: Option<Head>, file: Option<&Path>) -> anyhow::Result<()> {
    let json = source.json();
    let config = match source.log()? {
        Log::Here(config) => config,
        Log::There(control_plane) => {
            return there::verify(control_plane, head, file, json).await;
        }
    };
    if let Some(file) = file {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "`{}` can be compared with a control plane's log alone",
                file.display()
            ),
        )
        .hint("name one with `--server` or `--profile`")
        .into());
    }
    let data = look(&config)?;
    // Noted before the log is read: it only grows.
    let noted: Vec<Head> = head.into_iter().chain(data.audit_head()?).collect();
    let (_database, mut conn) = open(&config).await?;
    let chain = Chain::new(&data.hash_key(Keys::MustExist)?);
    let found = audit::verify(&mut conn, &chain, &noted).await?;
    if json {
        print_json(&VerifiedView::of(&found))?;
    }
    let head = found.map_err(|damage| damaged("the audit log", &damage))?;
    if json {
        return Ok(());
    }
    let rows = head.sequence;
    print(&format!(
        "the audit log is whole: {rows} rows, head {head}\n"
    ))
}

/// The end of a log without damage.
pub(super) async fn whole(
    conn: &mut Conn,
    chain: &Chain,
    noted: &[Head],
    what: &str,
) -> anyhow::Result<Head> {
    let found = audit::verify(conn, chain, noted).await?;
    found.map_err(|damage| damaged(what, &damage))
}

fn damaged(what: &str, damage: &Damage) -> anyhow::Error {
    let failure = Failure::new(Exit::Failed, format!("{what} is damaged: {damage}"));
    match damage.hint() {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

async fn export(config: &Config, mut copy: Copy, after: i64) -> anyhow::Result<()> {
    let (_database, mut conn) = open(config).await?;
    let mut last = after;
    loop {
        let entries = audit::entries_after(conn.link(), last).await?;
        let Some(end) = entries.last() else {
            return copy.finish();
        };
        last = end.sequence;
        let mut text = String::new();
        for entry in entries {
            text += &json!(EntryView::from(entry)).to_string();
            text.push('\n');
        }
        if !copy.write(&text)? {
            return Ok(());
        }
    }
}

async fn accept(config: &Config, yes: bool) -> anyhow::Result<()> {
    let data = Arc::new(lock(config)?);
    let noted = noted(&data)?;
    let database = open_database(config, &data).await?;
    let store = Store::new(database, &data.hash_key(Keys::MustExist)?).await?;
    if let Some(noted) = &noted
        && head_note::contains(&store, noted).await?
    {
        let row = noted.sequence;
        print(&format!(
            "there is nothing to accept: the audit log contains row {row} as it was noted\n"
        ))?;
        return Ok(());
    }
    let head = whole(
        &mut store.read().await?,
        store.chain(),
        &[],
        "the audit log",
    )
    .await?;
    let was = noted.as_ref().map_or_else(
        || "no row is noted in the data directory".to_owned(),
        |noted| format!("row {} is noted, and the log lacks it", noted.sequence),
    );
    let ends = head.sequence;
    print(&format!("{was}\nthe log is whole and ends at row {ends}\n"))?;
    confirm("Go on with this database?", yes)?;
    let before = noted.map(|noted| json!({ "sequence": noted.sequence, "mac": noted.mac }));
    let after = json!({ "sequence": head.sequence, "mac": head.mac });
    let now = SystemClock.now();
    let mut tx = store.begin().await?;
    let recorded = note_replacement(&mut tx, now, "audit.accept", before, after, 0).await?;
    tx.commit(recorded).await?;
    head_note::write(&store, &data).await?;
    store.close().await;
    print("accepted: `tollgate serve` goes on with it\n")
}

/// What was noted; a note that cannot be read is about to be written anew.
fn noted(data: &DataDir) -> anyhow::Result<Option<Head>> {
    match data.audit_head() {
        Err(error) => {
            print(&format!("{error}\n")).context("cannot tell of a damaged note")?;
            Ok(None)
        }
        noted => noted,
    }
}
