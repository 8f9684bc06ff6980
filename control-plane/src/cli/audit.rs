//! `tollgate audit`.

use std::process::ExitCode;
use std::sync::Arc;

use activation_token::clock::{Clock, SystemClock};
use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use terminal::ask::confirm;
use terminal::output::print;

use super::{lock, look, look_at_database};
use crate::api::audit::EntryView;
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
    /// Read the whole audit log and check that every row is what was written
    ///
    /// Also while a server runs. Exits with 1 and names the first row that is not. The log must
    /// also contain the row that was noted last in the data directory's `audit-head`.
    Verify {
        /// A row that the log must contain, as `tollgate audit head` printed it: kept elsewhere,
        /// it shows when the end of the log was cut
        #[arg(long, value_name = "ROW:HASH")]
        head: Option<Head>,
        /// Where the log is
        #[command(flatten)]
        given: Box<Given>,
    },
    /// Print the newest row's number and hash, to be kept elsewhere
    Head(Box<Given>),
    /// Print the audit log as JSON lines, oldest first
    Export {
        /// The last row that is there already
        #[arg(long, value_name = "ROW", default_value_t = 0)]
        after: i64,
        /// Where the log is
        #[command(flatten)]
        given: Box<Given>,
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
            Self::Verify { head, given } => verify(&given.load()?.0, head).await?,
            Self::Head(given) => {
                let (_, mut conn) = open(&given.load()?.0).await?;
                print(&format!("{}\n", audit::head(conn.link()).await?))?;
            }
            Self::Export { after, given } => export(&given.load()?.0, after).await?,
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

async fn verify(config: &Config, head: Option<Head>) -> anyhow::Result<()> {
    let data = look(config)?;
    // Noted before the log is read: it only grows.
    let noted: Vec<Head> = head.into_iter().chain(data.audit_head()?).collect();
    let (_database, mut conn) = open(config).await?;
    let chain = Chain::new(&data.hash_key(Keys::MustExist)?);
    let head = whole(&mut conn, &chain, &noted, "the audit log").await?;
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
    let damage = match audit::verify(conn, chain, noted).await? {
        Ok(head) => return Ok(head),
        Err(damage) => damage,
    };
    let hint = match damage {
        Damage::Altered(1) => {
            "\n  hint: every row looks so when `hash-key` is not the one that the log was written with"
        }
        Damage::Unchained(_) => {
            "\n  hint: a release that did not chain wrote it, or somebody else; rows that such a \
             release writes are chained at the next change"
        }
        _ => "",
    };
    bail!("{what} is damaged: {damage}{hint}")
}

async fn export(config: &Config, after: i64) -> anyhow::Result<()> {
    let (_database, mut conn) = open(config).await?;
    let mut last = after;
    loop {
        let entries = audit::entries_after(conn.link(), last).await?;
        let Some(end) = entries.last() else {
            return Ok(());
        };
        last = end.sequence;
        let mut text = String::new();
        for entry in entries {
            text += &json!(EntryView::from(entry)).to_string();
            text.push('\n');
        }
        print(&text)?;
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
