//! `tollgate premium`: who is premium.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

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
    /// Make a user premium; granting again replaces the grant
    Grant(Change),
    /// Take a user's premium back; that goes well also for who has none
    Revoke(Change),
    /// List premium users
    List,
    /// Show whether a user is premium
    Show {
        /// The user
        #[arg(value_name = "USER")]
        user: String,
    },
}

#[derive(Debug, Args)]
struct Change {
    /// The user
    #[arg(value_name = "USER")]
    user: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What a list shows of each user.
const COLUMNS: &[Column] = &[
    ("USER", Cell::At("/userId")),
    ("GRANTED", Cell::At("/grantedAt")),
    ("BY", Cell::At("/grantor")),
    ("REASON", Cell::At("/reason")),
];

/// What is shown of one.
const FIELDS: &[Column] = &[
    ("user", Cell::At("/userId")),
    ("premium", Cell::Of(premium)),
    ("granted", Cell::At("/grantedAt")),
    ("by", Cell::At("/grantor")),
    ("reason", Cell::At("/reason")),
];

impl Premium {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::Grant(change) => {
                let (path, body) = (path(&change.user), json!({ "reason": change.reason }));
                let user = remote.write(Method::POST, &path, Some(body)).await?;
                remote.show(&user, FIELDS)?;
            }
            Command::Revoke(change) => {
                let path = with_reason(&path(&change.user), change.reason.as_deref());
                remote.write(Method::DELETE, &path, None).await?;
                // It answers with nothing; that the user is not premium is what it means.
                let user = json!({ "userId": change.user, "premium": false, "grantedAt": null,
                    "grantor": null, "reason": null });
                remote.show(&user, FIELDS)?;
            }
            Command::List => {
                let path = "/v1/premium-users?limit=100";
                remote.list(path, "users", COLUMNS).await?;
            }
            Command::Show { user } => {
                let user = remote.get(&path(&user)).await?;
                remote.show(&user, FIELDS)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn path(user: &str) -> String {
    format!("/v1/users/{}/premium", escaped(user))
}

fn premium(user: &Value) -> String {
    let yes = user.get("premium").and_then(Value::as_bool) == Some(true);
    if yes { "yes" } else { "no" }.to_owned()
}
