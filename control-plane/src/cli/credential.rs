//! `tollgate credential`: who may ask the control plane and the gate.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};
use terminal::ask::confirm;
use terminal::output::say;
use terminal::private_file::Reserved;
use terminal::{Exit, Failure};

use super::remote::{Cell, Column, Remote, escaped, pages, with_reason};
use super::when::When;

const KINDS: [&str; 4] = ["operator", "gate", "publisher", "application"];
const ROLES: [&str; 4] = ["admin", "support", "viewer", "billing"];

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
    /// Create a credential and print its secret, this once
    Create(Create),
    /// List credentials, newest first
    List {
        /// Of this kind
        #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
        kind: Option<String>,
    },
    /// Revoke a credential: it is refused at once, for good
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
    #[arg(value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
    kind: String,
    /// A name for people
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What an operator may do [default: viewer]
    #[arg(long, value_name = "ROLE", value_parser = PossibleValuesParser::new(ROLES))]
    role: Option<String>,
    /// From when on it is no longer good: a time, a day, or a span from now such as `90d`
    #[arg(long, value_name = "TIME")]
    expires_at: Option<When>,
    /// Write the secret to this file, mode 0600, in place of printing it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// What a list shows of each credential.
const COLUMNS: &[Column] = &[
    ("CREDENTIAL", Cell::At("/id")),
    ("KIND", Cell::At("/kind")),
    ("ROLE", Cell::At("/role")),
    ("NAME", Cell::At("/name")),
    ("STATE", Cell::Of(state)),
    ("EXPIRES", Cell::At("/expiresAt")),
    ("LAST USED", Cell::At("/lastUsedAt")),
];

/// What is shown of one.
const FIELDS: &[Column] = &[
    ("credential", Cell::At("/id")),
    ("kind", Cell::At("/kind")),
    ("role", Cell::At("/role")),
    ("name", Cell::At("/name")),
    ("state", Cell::Of(state)),
    ("created", Cell::At("/createdAt")),
    ("expires", Cell::At("/expiresAt")),
    ("last used", Cell::At("/lastUsedAt")),
];

impl Credential {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::Create(command) => command.run(&remote).await?,
            Command::List { kind } => {
                let kind = kind.map(|kind| format!("&kind={kind}"));
                let path = format!("/v1/credentials?limit=100{}", kind.unwrap_or_default());
                remote.list(&path, "credentials", COLUMNS).await?;
            }
            Command::Revoke { id, reason, yes } => revoke(&remote, &id, reason, yes).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        if self.role.is_some() && self.kind != "operator" {
            let text = "only an operator has a role";
            return Err(Failure::new(Exit::Usage, text).into());
        }
        let expires_at = self.expires_at.map(|When(at)| at);
        let body: Map<String, Value> = [
            ("kind", json!(self.kind)),
            ("name", json!(self.name)),
            ("role", json!(self.role)),
            ("expiresAt", json!(expires_at)),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        // What cannot be kept is not made.
        let secret_file = self.secret_file.map(Reserved::new).transpose()?;
        let path = "/v1/credentials";
        let credential = remote.write(Method::POST, path, Some(body.into())).await?;
        let lost = "revoke the credential and create another";
        remote.show_secret(credential, FIELDS, ("secret", "/secret"), secret_file, lost)
    }
}

async fn revoke(
    remote: &Remote,
    id: &str,
    reason: Option<String>,
    yes: bool,
) -> anyhow::Result<()> {
    let control_plane = remote.control_plane()?;
    let all = pages(&control_plane, "/v1/credentials?limit=100", "credentials").await?;
    let text = |credential: &Value, name: &str| {
        let text = credential.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let Some(credential) = all.iter().find(|credential| text(credential, "id") == id) else {
        let text = format!("there is no credential `{id}`");
        return Err(Failure::new(Exit::Refused, text)
            .hint("`tollgate credential list` shows them")
            .into());
    };
    let own: Value = control_plane.get("/v1/credentials/self").await?;
    if text(&own, "id") == id {
        say(
            "warning: this is the credential that you are using; nothing can be asked with it \
             afterwards",
        )?;
    }
    let (kind, name) = (text(credential, "kind"), text(credential, "name"));
    let loses = match kind.as_str() {
        "gate" => " The gates that use it stop serving once their snapshot is stale.",
        "publisher" | "application" | "operator" => " Whoever uses it is refused at once.",
        _ => "",
    };
    let question = format!("Revoke the {kind} credential {id} ({name}) for good?{loses}");
    confirm(&question, yes)?;
    let path = format!("/v1/credentials/{}", escaped(id));
    let path = with_reason(&path, reason.as_deref());
    let revoked: Value = control_plane.write(Method::DELETE, &path, None).await?;
    remote.show(&revoked, FIELDS)
}

/// Whether it is still good, as far as anybody decided.
fn state(credential: &Value) -> String {
    match credential.get("revokedAt").and_then(Value::as_str) {
        Some(at) => format!("revoked at {at}"),
        None => "in force".to_owned(),
    }
}
