//! `tollgate key`: what tokens are signed with.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use terminal::ask::confirm;
use terminal::output::{print, print_json};
use terminal::{Exit, Failure};

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
    /// List signing keys, newest first, and what becomes of each
    List,
    /// Make a new signing key
    ///
    /// It is published now and signs once every gate and every cache must know it. Tokens of the
    /// key before it stay good.
    Rotate {
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Remove a signing key by force
    ///
    /// For a key that somebody else may have. Every token that it signed is refused at once, and
    /// boxes have to activate again. Another key signs at once.
    Remove {
        /// The key's id
        #[arg(value_name = "KEY", allow_hyphen_values = true)]
        id: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What is shown of each key.
const COLUMNS: &[Column] = &[
    ("KEY", Cell::At("/id")),
    ("STATE", Cell::At("/state")),
    ("MADE", Cell::At("/createdAt")),
    ("THAT IS", Cell::Of(meaning)),
];

const FIELDS: &[Column] = &[
    ("key", Cell::At("/id")),
    ("state", Cell::At("/state")),
    ("made", Cell::At("/createdAt")),
    ("that is", Cell::Of(meaning)),
];

impl Key {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::List => list(&remote).await?,
            Command::Rotate { reason } => {
                let path = "/v1/signing-keys/rotate";
                let body = json!({ "reason": reason });
                let key = remote.write(Method::POST, path, Some(body)).await?;
                remote.show(&key, FIELDS)?;
            }
            Command::Remove { id, reason, yes } => remove(&remote, &id, reason, yes).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(remote: &Remote) -> anyhow::Result<()> {
    let all = remote.get("/v1/signing-keys").await?;
    if remote.json {
        return print_json(&all);
    }
    let keys = all.get("signingKeys").and_then(Value::as_array);
    let keys = keys.map(Vec::as_slice).unwrap_or_default();
    let next = all.get("nextRotationAt").and_then(Value::as_str);
    let next = next.map_or_else(String::new, |at| {
        format!("the next key is made by schedule at {at}\n")
    });
    print(&format!("{}{next}", rows_table(keys, COLUMNS)))
}

async fn remove(
    remote: &Remote,
    id: &str,
    reason: Option<String>,
    yes: bool,
) -> anyhow::Result<()> {
    let all = remote.get("/v1/signing-keys").await?;
    let keys = all.get("signingKeys").and_then(Value::as_array);
    let key = keys
        .into_iter()
        .flatten()
        .find(|key| key.get("id").and_then(Value::as_str) == Some(id));
    let Some(key) = key else {
        let text = format!("there is no signing key `{id}`");
        return Err(Failure::new(Exit::Refused, text)
            .hint("`tollgate key list` shows them")
            .into());
    };
    let breaks = match state(key) {
        "pending" => "It has signed nothing yet.",
        "signing" => {
            "It is the one that signs: every token that it signed is refused at once, every box \
             has to activate again, and another key signs from now on."
        }
        "retiring" => {
            "Tokens that it signed are still good: all of them are refused at once, and the boxes \
             that have them must activate again."
        }
        // What is over or removed already breaks nothing.
        _ => "No good token is signed by it.",
    };
    confirm(&format!("Remove the key {id} for good? {breaks}"), yes)?;
    let path = format!("/v1/signing-keys/{}", escaped(id));
    let path = with_reason(&path, reason.as_deref());
    let key = remote.write(Method::DELETE, &path, None).await?;
    remote.show(&key, FIELDS)
}

fn state(key: &Value) -> &str {
    key.get("state").and_then(Value::as_str).unwrap_or_default()
}

/// A key's state in words, and when it changes.
fn meaning(key: &Value) -> String {
    let at = |name: &str| key.get(name).and_then(Value::as_str);
    let until = |text: &str| match at("changesAt") {
        Some(time) => format!("{text} until {time}"),
        None => text.to_owned(),
    };
    match state(key) {
        "pending" => format!(
            "published, signs from {}",
            at("signsFrom").unwrap_or("later")
        ),
        "signing" => until("signs"),
        "retiring" => until("signs no more, its tokens are good"),
        "retired" => "over, no token of it is good".to_owned(),
        "removed" => format!(
            "its tokens are refused since {}",
            at("removedAt").unwrap_or("its removal")
        ),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_begins_with_a_hyphen_is_no_option() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            key: Key,
        }
        let line = ["key", "remove", "-uPx_1", "--yes", "--reason", "leaked"];
        let line: Line = clap::Parser::try_parse_from(line).unwrap();
        let Command::Remove { id, reason, yes } = line.key.command else {
            panic!("another command");
        };
        assert_eq!(
            (&*id, reason.as_deref(), yes),
            ("-uPx_1", Some("leaked"), true)
        );
    }

    #[test]
    fn a_state_is_told_in_words_with_its_end() {
        let told = |state: &str, member: &str| {
            let mut key = json!({ "state": state, "changesAt": null });
            key[member] = json!("2026-11-28T00:00:00Z");
            meaning(&key)
        };
        for (state, member, expected) in [
            (
                "pending",
                "signsFrom",
                "published, signs from 2026-11-28T00:00:00Z",
            ),
            ("signing", "x", "signs"),
            ("signing", "changesAt", "signs until 2026-11-28T00:00:00Z"),
            (
                "retiring",
                "changesAt",
                "signs no more, its tokens are good until 2026-11-28T00:00:00Z",
            ),
            ("retired", "x", "over, no token of it is good"),
            (
                "removed",
                "removedAt",
                "its tokens are refused since 2026-11-28T00:00:00Z",
            ),
        ] {
            assert_eq!(told(state, member), expected, "{state}");
        }
    }
}
