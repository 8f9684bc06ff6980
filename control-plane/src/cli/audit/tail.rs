//! `tollgate audit tail`.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::Method;
use serde_json::Value;
use terminal::output::{plain, print_on, say};
use terminal::{ControlPlane, Exit};

use crate::cli::remote::Remote;

/// Rows on a page of the log.
const PAGE_ROWS: u32 = 100;

/// Prints the newest rows, and then those that come.
#[derive(Debug, Args)]
pub struct Tail {
    /// How many of the newest rows to begin with
    #[arg(
        short = 'n',
        long = "lines",
        value_name = "NUMBER",
        default_value_t = 10
    )]
    lines: u32,
    /// End after them
    #[arg(long)]
    no_follow: bool,
    /// How often to ask for new rows, in seconds, 1 to 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Rows of this actor: a credential's id, `system`, `key-holder`, `stripe` or `unknown`
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Rows of this action, for example `license.suspend`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Rows about this: an id
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Tail {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<()> {
        let control_plane = self.remote.control_plane()?;
        // Rows that are written between the two questions come with the first poll.
        let mut last = newest(&control_plane).await?;
        let first = self.newest(&control_plane, last).await?;
        if !self.print(&first)? || self.no_follow {
            return Ok(());
        }
        let mut is_lost = false;
        loop {
            tokio::time::sleep(Duration::from_secs(self.every)).await;
            let new = match self.after(&control_plane, last).await {
                Ok(new) => new,
                Err(error) if is_passing(&error) => {
                    if !is_lost {
                        say(&format!("{error}; trying again"))?;
                    }
                    is_lost = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if is_lost {
                let url = control_plane.url();
                say(&format!("{url} answers again; going on after row {last}"))?;
            }
            is_lost = false;
            if let Some(newest) = new.last() {
                last = sequence(newest)?;
            }
            if !self.print(&new)? {
                return Ok(());
            }
        }
    }

    /// The newest rows up to one, oldest first, as many as are wanted.
    async fn newest(&self, control_plane: &ControlPlane, last: i64) -> anyhow::Result<Vec<Value>> {
        let wanted = usize::try_from(self.lines)?;
        let enough = |rows: &[Value]| rows.len() >= wanted;
        let mut rows = if wanted == 0 {
            Vec::new()
        } else {
            self.pages(control_plane, self.lines, enough).await?
        };
        rows.retain(|row| sequence(row).is_ok_and(|row| row <= last));
        rows.truncate(wanted);
        rows.reverse();
        Ok(rows)
    }

    /// Rows after one, oldest first.
    async fn after(&self, control_plane: &ControlPlane, last: i64) -> anyhow::Result<Vec<Value>> {
        let is_old = |row: &Value| sequence(row).is_ok_and(|row| row <= last);
        let reached = |rows: &[Value]| rows.last().is_some_and(is_old);
        let mut rows = self.pages(control_plane, PAGE_ROWS, reached).await?;
        rows.retain(|row| !is_old(row));
        rows.reverse();
        Ok(rows)
    }

    /// Rows that are asked for, newest first, page after page until there are enough.
    async fn pages(
        &self,
        control_plane: &ControlPlane,
        rows_max: u32,
        enough: impl Fn(&[Value]) -> bool,
    ) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let query = self.query(rows_max.min(PAGE_ROWS), cursor.as_deref());
            let page = ask(control_plane, &query).await?;
            let found = page.get("entries").and_then(Value::as_array);
            rows.extend_from_slice(found.context("the answer has no `entries`")?);
            let next = page.get("nextCursor").and_then(Value::as_str);
            cursor = next.map(str::to_owned);
            if cursor.is_none() || enough(&rows) {
                return Ok(rows);
            }
        }
    }

    fn query(&self, limit: u32, cursor: Option<&str>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        for (name, value) in [
            ("actor", self.actor.as_deref()),
            ("action", self.action.as_deref()),
            ("subject", self.subject.as_deref()),
            ("cursor", cursor),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }

    /// A line each. Whether anybody reads on.
    fn print(&self, rows: &[Value]) -> anyhow::Result<bool> {
        if rows.is_empty() {
            return Ok(true);
        }
        let line = |row: &Value| {
            if self.remote.json {
                row.to_string()
            } else {
                line(row)
            }
        };
        let text: Vec<String> = rows.iter().map(|row| line(row) + "\n").collect();
        print_on(&text.concat())
    }
}

/// The number of the newest row of all.
async fn newest(control_plane: &ControlPlane) -> anyhow::Result<i64> {
    let page = ask(control_plane, "limit=1").await?;
    page.pointer("/entries/0").map_or(Ok(0), sequence)
}

async fn ask(control_plane: &ControlPlane, query: &str) -> anyhow::Result<Value> {
    let path = format!("/v1/audit?{query}");
    let response = control_plane.send(Method::GET, &path, None).await?;
    Ok(control_plane.read(response).await?)
}

fn sequence(row: &Value) -> anyhow::Result<i64> {
    let sequence = row.get("sequence").and_then(Value::as_i64);
    sequence.context("the server sent a row without a number")
}

/// Whether the server may answer later.
fn is_passing(error: &anyhow::Error) -> bool {
    let unanswered = error.downcast_ref::<terminal::Unanswered>();
    unanswered.is_some_and(|unanswered| unanswered.exit() == Exit::Unreachable)
}

/// A row for people: its number, when, who, what, to what, and why.
fn line(row: &Value) -> String {
    let text = |name: &str| match row.get(name) {
        Some(Value::String(text)) => plain(text),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let [number, at, actor] = ["sequence", "at", "actor"].map(text);
    let [action, subject] = ["action", "subject"].map(text);
    let line = format!("{number:>6}  {at}  {actor}  {action}  {subject}");
    match row.get("reason").and_then(Value::as_str) {
        Some(reason) => format!("{line}  ({})", plain(reason)),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_one_line_whatever_it_holds() {
        let row = json!({ "sequence": 7, "at": "2026-11-27T12:00:00Z", "actor": "cred_1",
            "action": "license.suspend", "subject": "lic_1\n", "reason": "a\u{1b}[2J b" });
        assert_eq!(
            line(&row),
            "     7  2026-11-27T12:00:00Z  cred_1  license.suspend  lic_1\u{fffd}  (a\u{fffd}[2J b)"
        );
    }
}
