//! `tollgate premium`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;
use terminal::output::say;

use super::remote::{Cell, Column, Remote, escaped, with_reason};

/// What `tollgate premium` can do.
#[derive(Debug, Args)]
pub struct Premium {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a user premium
    Grant(User),
    /// Take premium back from a user
    Revoke(User),
    /// Show whether a user is premium
    Show {
        /// The user's id
        #[arg(value_name = "USER")]
        id: String,
    },
    /// List the premium users
    List,
}

#[derive(Debug, Args)]
struct User {
    /// The user's id
    #[arg(value_name = "USER")]
    id: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

const COLUMNS: &[Column] = &[
    ("USER", Cell::At("/userId")),
    ("GRANTED", Cell::At("/grantedAt")),
    ("BY", Cell::At("/grantor")),
    ("REASON", Cell::At("/reason")),
];

const FIELDS: &[Column] = &[
    ("user", Cell::At("/userId")),
    ("premium", Cell::At("/premium")),
    ("granted", Cell::At("/grantedAt")),
    ("by", Cell::At("/grantor")),
    ("reason", Cell::At("/reason")),
];

impl Premium {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::Grant(user) => {
                let body = json!({ "reason": user.reason });
                let premium = remote
                    .write(Method::POST, &path(&user.id), Some(body))
                    .await?;
                remote.show(&premium, FIELDS)?;
            }
            Command::Revoke(user) => {
                let path = with_reason(&path(&user.id), user.reason.as_deref());
                remote.write(Method::DELETE, &path, None).await?;
                say(&format!("{} is not premium any more", user.id))?;
            }
            Command::Show { id } => remote.show(&remote.get(&path(&id)).await?, FIELDS)?,
            Command::List => {
                let path = "/v1/premium-users?limit=100";
                remote.list(path, "users", COLUMNS).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn path(user: &str) -> String {
    format!("/v1/users/{}/premium", escaped(user))
}
