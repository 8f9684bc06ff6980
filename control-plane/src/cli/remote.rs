//! What all commands share that ask a running control plane: which one, with whose token, and how
//! its answers are printed.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use terminal::output::{print, print_json, table};
use terminal::{ControlPlane, Exit, Failure};
use url::Url;

use super::profiles::Profiles;
use crate::settings::secret;

/// Which control plane is asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Control plane")]
pub struct Remote {
    /// The control plane's address [default: the profile's]
    #[arg(long, global = true, value_name = "URL", env = "TOLLGATE_SERVER")]
    server: Option<Url>,
    /// A profile that `tollgate login` made [default: the current one]
    #[arg(long, global = true, value_name = "NAME", env = "TOLLGATE_PROFILE")]
    profile: Option<String>,
    /// A file with the operator token, in place of the profile's; or the token itself in
    /// `TOLLGATE_OPERATOR_TOKEN`
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TOLLGATE_OPERATOR_TOKEN_FILE"
    )]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// A column of a table, or a line of what is shown: its heading, and what stands there.
pub type Column = (&'static str, Cell);

/// What stands in a cell.
#[derive(Debug, Clone, Copy)]
pub enum Cell {
    /// What the row has there (a JSON pointer, RFC 6901); nothing is a dash.
    At(&'static str),
    /// What is made of the row.
    Of(fn(&Value) -> String),
}

impl Remote {
    /// The control plane, with the operator's token.
    pub fn control_plane(&self) -> anyhow::Result<ControlPlane> {
        let profile = Profiles::load()?.get(self.profile.as_deref())?;
        let (known, kept) = match profile {
            Some(profile) => (Some(profile.url), Some(profile.token)),
            None => (None, None),
        };
        let url = self.server.clone().or(known).ok_or_else(|| {
            Failure::new(Exit::Usage, "no control plane is named")
                .hint("`tollgate login --server URL` keeps one, or add `--server URL`")
        })?;
        let given = match &self.token_file {
            Some(file) => Some(read_token(file)?),
            None => secret("TOLLGATE_OPERATOR_TOKEN"),
        };
        // A token is for the server that it was made for.
        let kept = kept.filter(|_| self.server.is_none());
        let token = given.or(kept).ok_or_else(|| {
            Failure::new(Exit::NotAllowed, "no operator token is given")
                .hint("`tollgate login` keeps one, or name a file with `--token-file`")
        })?;
        ControlPlane::new(url, Some(token))
    }

    /// Reads every page of a list and prints it.
    pub async fn list(&self, path: &str, member: &str, columns: &[Column]) -> anyhow::Result<()> {
        let rows = pages(&self.control_plane()?, path, member).await?;
        if self.json {
            return print_json(&json!({ member: rows }));
        }
        print(&rows_table(&rows, columns))
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.control_plane()?.get(path).await?)
    }

    /// Writes, with a body or without.
    pub async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let control_plane = self.control_plane()?;
        Ok(control_plane.write(method, path, body.as_ref()).await?)
    }

    /// Prints one thing: its fields under each other.
    pub fn show(&self, value: &Value, fields: &[Column]) -> anyhow::Result<()> {
        if self.json {
            return print_json(value);
        }
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines: Vec<String> = fields
            .iter()
            .map(|(name, cell)| format!("{name:width$}  {}\n", cell.text(value)))
            .collect();
        print(&lines.concat())
    }
}

/// Every row of a list, page after page.
pub async fn pages(
    control_plane: &ControlPlane,
    path: &str,
    member: &str,
) -> anyhow::Result<Vec<Value>> {
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page: Value = match &cursor {
            None => control_plane.get(path).await?,
            Some(cursor) => {
                let cursor = escaped(cursor);
                control_plane
                    .get(&format!("{path}{sign}cursor={cursor}"))
                    .await?
            }
        };
        let found = page.get(member).and_then(Value::as_array);
        let found = found.with_context(|| format!("the answer has no `{member}`"))?;
        rows.extend(found.iter().cloned());
        cursor = page
            .get("nextCursor")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned);
        if cursor.is_none() {
            return Ok(rows);
        }
    }
}

/// Rows of a list as a table.
pub fn rows_table(rows: &[Value], columns: &[Column]) -> String {
    let heading: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let rows = rows
        .iter()
        .map(|row| columns.iter().map(|(_, cell)| cell.text(row)));
    table(&heading, rows)
}

/// A path with a reason for the audit log, where one is given.
pub fn with_reason(path: &str, reason: Option<&str>) -> String {
    let Some(reason) = reason else {
        return path.to_owned();
    };
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}reason={}", escaped(reason))
}

/// A part of a path or query that may hold anything.
pub fn escaped(part: &str) -> String {
    url::form_urlencoded::byte_serialize(part.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

impl Cell {
    fn text(self, row: &Value) -> String {
        match self {
            Self::At(at) => row.pointer(at).map_or_else(|| text(&Value::Null), text),
            Self::Of(make) => make(row),
        }
    }
}

/// A value for people: nothing is a dash.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "-".to_owned(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Object(all) if all.is_empty() => "-".to_owned(),
        Value::Object(all) => {
            let members = all
                .iter()
                .map(|(name, value)| format!("{name}={}", text(value)));
            members.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

fn read_token(file: &std::path::Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token file `{}`", file.display()))?;
    Ok(SecretString::from(text.trim()))
}
