//! `tollgate credential`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use terminal::ask::confirm;
use terminal::output::say;
use terminal::private_file;

use super::remote::{Cell, Column, Remote, escaped, with_reason};
use super::when::When;

/// What `tollgate credential` can do.
#[derive(Debug, Args)]
pub struct Credential {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a credential and print its secret, this once
    Create(Create),
    /// List credentials, newest first
    List {
        /// Of this kind
        #[arg(long, value_name = "KIND", value_parser = kinds())]
        kind: Option<String>,
    },
    /// Revoke a credential: it is refused from now on
    Revoke {
        /// The credential's id
        #[arg(value_name = "CREDENTIAL")]
        id: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Who it is for
    #[arg(value_parser = kinds())]
    kind: String,
    /// A name for people
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// What an operator may do [default: viewer]
    #[arg(long, value_name = "ROLE", value_parser = PossibleValuesParser::new(["admin", "support", "viewer", "billing"]))]
    role: Option<String>,
    /// When it ends: a time, a day, or a span from now such as `90d` [default: never]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<When>,
    /// Write the secret to this file, mode 0600, in place of printing it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

const COLUMNS: &[Column] = &[
    ("CREDENTIAL", Cell::At("/id")),
    ("KIND", Cell::At("/kind")),
    ("ROLE", Cell::At("/role")),
    ("NAME", Cell::At("/name")),
    ("LAST USED", Cell::At("/lastUsedAt")),
    ("EXPIRES", Cell::At("/expiresAt")),
    ("REVOKED", Cell::At("/revokedAt")),
];

const FIELDS: &[Column] = &[
    ("credential", Cell::At("/id")),
    ("kind", Cell::At("/kind")),
    ("role", Cell::At("/role")),
    ("name", Cell::At("/name")),
    ("created", Cell::At("/createdAt")),
    ("expires", Cell::At("/expiresAt")),
    ("revoked", Cell::At("/revokedAt")),
];

impl Credential {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::Create(command) => command.run(&remote).await?,
            Command::List { kind } => {
                let mut path = "/v1/credentials?limit=100".to_owned();
                if let Some(kind) = kind {
                    path += "&kind=";
                    path += &kind;
                }
                remote.list(&path, "credentials", COLUMNS).await?;
            }
            Command::Revoke { id, reason, yes } => {
                let own: Value = remote.get("/v1/credentials/self").await?;
                let is_own = own.pointer("/id").and_then(Value::as_str) == Some(&id);
                let note = if is_own {
                    " It is the one you work with."
                } else {
                    ""
                };
                confirm(&format!("Revoke {id}? It is refused at once.{note}"), yes)?;
                let path = format!("/v1/credentials/{}", escaped(&id));
                let path = with_reason(&path, reason.as_deref());
                let revoked = remote.write(Method::DELETE, &path, None).await?;
                remote.show(&revoked, FIELDS)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let body = json!({
            "kind": self.kind,
            "name": self.name,
            "role": self.role,
            "expiresAt": self.expires_at.map(|When(at)| at),
        });
        let path = "/v1/credentials";
        let mut made = remote.write(Method::POST, path, Some(body)).await?;
        let Some(file) = self.secret_file else {
            let mut fields = FIELDS.to_vec();
            fields.push(("secret", Cell::At("/secret")));
            return remote.show(&made, &fields);
        };
        let secret = made.as_object_mut().and_then(|made| made.remove("secret"));
        let secret = secret.as_ref().and_then(Value::as_str);
        let secret = secret.context("the answer has no secret")?;
        private_file::write(&file, &format!("{secret}\n"))?;
        say(&format!("the secret is in `{}`", file.display()))?;
        remote.show(&made, FIELDS)
    }
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(["operator", "gate", "publisher", "application"])
}
