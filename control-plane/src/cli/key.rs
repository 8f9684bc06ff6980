//! `tollgate key`: the keys that tokens are signed with.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use terminal::ask::confirm;
use terminal::output::{print, print_json};

use super::remote::{Cell, Column, Remote, escaped, rows_table, with_reason};

/// What `tollgate key` can do.
#[derive(Debug, Args)]
pub struct Key {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the signing keys, newest first
    List,
    /// Make a new signing key, which signs once it is known everywhere
    Rotate {
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Remove a signing key by force: all tokens that it signed are refused at once
    Remove {
        /// The key's id
        #[arg(value_name = "KEY")]
        id: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const COLUMNS: &[Column] = &[
    ("KEY", Cell::At("/id")),
    ("STATE", Cell::At("/state")),
    ("CREATED", Cell::At("/createdAt")),
    ("SIGNS FROM", Cell::At("/signsFrom")),
    ("NEXT CHANGE", Cell::At("/changesAt")),
];

const FIELDS: &[Column] = &[
    ("key", Cell::At("/id")),
    ("state", Cell::At("/state")),
    ("created", Cell::At("/createdAt")),
    ("signs from", Cell::At("/signsFrom")),
    ("next change", Cell::At("/changesAt")),
    ("removed", Cell::At("/removedAt")),
];

impl Key {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::List => list(&remote).await?,
            Command::Rotate { reason } => {
                let body = json!({ "reason": reason });
                let path = "/v1/signing-keys/rotate";
                let key = remote.write(Method::POST, path, Some(body)).await?;
                remote.show(&key, FIELDS)?;
            }
            Command::Remove { id, reason, yes } => {
                confirm(
                    &format!(
                        "Remove key {id}? Every token that it signed is refused at once, and boxes \
                         must renew."
                    ),
                    yes,
                )?;
                let path = format!("/v1/signing-keys/{}", escaped(&id));
                let path = with_reason(&path, reason.as_deref());
                let key = remote.write(Method::DELETE, &path, None).await?;
                remote.show(&key, FIELDS)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(remote: &Remote) -> anyhow::Result<()> {
    let list = remote.get("/v1/signing-keys").await?;
    if remote.json {
        return print_json(&list);
    }
    let keys = list.pointer("/signingKeys").and_then(Value::as_array);
    let keys = keys.map(Vec::as_slice).unwrap_or_default();
    print(&rows_table(keys, COLUMNS))?;
    match list.pointer("/nextRotationAt").and_then(Value::as_str) {
        Some(at) => print(&format!("next rotation by schedule: {at}\n")),
        None => Ok(()),
    }
}
