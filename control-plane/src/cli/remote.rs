//! What all commands share that ask a running control plane: which one, with whose token, and how
//! its answers are printed.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
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

/// A column of a table: its heading, and where its cell stands in a row (a JSON pointer, RFC 6901).
pub type Column = (&'static str, &'static str);

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

    /// Prints one thing: its fields under each other.
    pub fn show(&self, value: &Value, fields: &[Column]) -> anyhow::Result<()> {
        if self.json {
            return print_json(value);
        }
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines: Vec<String> = fields
            .iter()
            .map(|(name, at)| format!("{name:width$}  {}\n", cell(value, at)))
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
        .map(|row| columns.iter().map(|(_, at)| cell(row, at)));
    table(&heading, rows)
}

/// A part of a path or query that may hold anything.
pub fn escaped(part: &str) -> String {
    url::form_urlencoded::byte_serialize(part.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// What stands at a place, for people: nothing is a dash.
fn cell(row: &Value, at: &str) -> String {
    match row.pointer(at) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) => {
            let texts: Vec<String> = all.iter().map(|one| cell(one, "")).collect();
            texts.join(",")
        }
        Some(other) => other.to_string(),
    }
}

fn read_token(file: &std::path::Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token file `{}`", file.display()))?;
    Ok(SecretString::from(text.trim()))
}
