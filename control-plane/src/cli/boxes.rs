//! `tollgate box`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use terminal::ask::confirm;
use terminal::output::say;

use super::remote::{Cell, Column, Remote, escaped, with_reason};

/// What `tollgate box` can do.
#[derive(Debug, Args)]
pub struct Boxes {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the boxes of a license that hold a seat, oldest first
    List {
        /// The license's id
        #[arg(value_name = "LICENSE")]
        license: String,
        /// Those too whose lease ran out
        #[arg(long)]
        all: bool,
    },
    /// Free a box's seat; its tokens are refused from now on
    Release {
        /// The license's id
        #[arg(value_name = "LICENSE")]
        license: String,
        /// The box's id
        #[arg(value_name = "BOX")]
        id: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const COLUMNS: &[Column] = &[
    ("BOX", Cell::At("/id")),
    ("NAME", Cell::At("/name")),
    ("SEAT", Cell::Of(seat)),
    ("ACTIVATED", Cell::At("/activatedAt")),
    ("LAST SEEN", Cell::At("/lastSeenAt")),
    ("FINGERPRINT", Cell::At("/fingerprint")),
];

impl Boxes {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::List { license, all } => {
                let path = format!("/v1/licenses/{}/boxes?limit=100", escaped(&license));
                let wanted = |row: Value| (all || holds_seat(&row)).then_some(row);
                remote.list_some(&path, "boxes", COLUMNS, wanted).await?;
            }
            Command::Release {
                license,
                id,
                reason,
                yes,
            } => {
                confirm(&format!("Release {id}? It is refused at once."), yes)?;
                let (license, of) = (escaped(&license), escaped(&id));
                let path = format!("/v1/licenses/{license}/boxes/{of}");
                let path = with_reason(&path, Some(&reason));
                remote.write(Method::DELETE, &path, None).await?;
                say(&format!("released {id}: its seat is free"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn holds_seat(row: &Value) -> bool {
    row.pointer("/holdsSeat").and_then(Value::as_bool) == Some(true)
}

/// Whether a box holds its seat, and until when.
fn seat(row: &Value) -> String {
    let at = |name| row.pointer(name).and_then(Value::as_str);
    match (holds_seat(row), at("/leasedUntil"), at("/offlineUntil")) {
        (true, Some(until), _) => format!("until {until}"),
        (true, None, Some(until)) => format!("yes, offline until {until}"),
        (true, None, None) => "yes".to_owned(),
        (false, ..) => "no".to_owned(),
    }
}
