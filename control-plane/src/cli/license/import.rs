//! `tollgate license import`: a license for each row of a table.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use reqwest::Method;
use serde_json::Value;
use terminal::Exit;
use terminal::output::{print, print_json, say};
use terminal::private_file::Reserved;

use crate::cli::remote::{Cell, Remote, rows_table};

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The table, `-` for standard input
    #[arg(value_name = "FILE")]
    table: PathBuf,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Write the keys to this new file, mode 0600, as CSV with each license's id and customer; `-`
    /// prints them, and says the rest on standard error
    #[arg(short = 'o', long, value_name = "FILE", required_unless_present_any = ["dry_run", "json"])]
    keys_file: Option<PathBuf>,
}

impl Import {
    pub(super) async fn run(self, remote: &Remote) -> anyhow::Result<ExitCode> {
        let mut table = Vec::new();
        let read = if self.table.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut table).map(drop)
        } else {
            std::fs::read(&self.table).map(|read| table = read)
        };
        read.with_context(|| format!("cannot read `{}`", self.table.display()))?;
        let to_print = self
            .keys_file
            .as_ref()
            .is_some_and(|file| file.as_os_str() == "-");
        let keys_file = self.keys_file.filter(|_| !self.dry_run && !to_print);
        let keys_file = keys_file.map(Reserved::new).transpose()?;
        let control_plane = remote.control_plane()?;
        let path = format!("/v1/licenses/import?dryRun={}", self.dry_run);
        let request = control_plane.request(Method::POST, &path);
        let request = request.header("content-type", "text/csv").body(table);
        let mut report: Value = control_plane.answer(request).await?;
        let refused = report.get("refused").and_then(Value::as_u64).unwrap_or(0);
        if to_print && !self.dry_run {
            print(&take_keys(&mut report)?)?;
            say(told(&report, self.dry_run).trim_end())?;
        } else {
            if let Some(file) = keys_file {
                let filled = file.fill(&take_keys(&mut report)?);
                filled.inspect_err(|_| {
                    // They can be rotated by their ids; more is not to be had.
                    let _ = say(told(&report, self.dry_run).trim_end());
                })?;
            }
            if remote.json {
                print_json(&report)?;
            } else {
                print(&told(&report, self.dry_run))?;
            }
        }
        let exit = if refused == 0 { 0 } else { Exit::Refused as u8 };
        Ok(ExitCode::from(exit))
    }
}

/// What became of an import, row by row.
fn told(report: &Value, dry_run: bool) -> String {
    let rows = report.get("rows").and_then(Value::as_array);
    let rows = rows.map(Vec::as_slice).unwrap_or_default();
    let number = |name| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    let done = if dry_run { "would be issued" } else { "issued" };
    let mut columns = vec![
        ("LINE", Cell::At("/line")),
        ("CUSTOMER", Cell::At("/license/customerId")),
        ("LICENSE", Cell::At("/license/id")),
        ("TIER", Cell::At("/license/tier")),
        ("REFUSED", Cell::Of(why_refused)),
    ];
    if dry_run {
        // Its ids are taken back with all the rest.
        columns.retain(|(heading, _)| *heading != "LICENSE");
    }
    let table = rows_table(rows, &columns);
    let (issued, refused) = (number("issued"), number("refused"));
    format!("{table}{issued} {done}, {refused} refused\n")
}

/// What is wrong with a row, field by field where that is known.
fn why_refused(row: &Value) -> String {
    let text = |value: &Value, at| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let errors = row.pointer("/error/errors").and_then(Value::as_array);
    let fields: Vec<String> = errors
        .into_iter()
        .flatten()
        .filter_map(|error| {
            Some(format!(
                "{}: {}",
                text(error, "/field")?,
                text(error, "/message")?
            ))
        })
        .collect();
    if fields.is_empty() {
        return text(row, "/error/detail").unwrap_or_else(|| "-".to_owned());
    }
    fields.join("; ")
}

/// The keys of an import as a table, taken out of the report, so that they stand in one place.
fn take_keys(report: &mut Value) -> anyhow::Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["licenseId", "customerId", "key"])?;
    let rows = report.get_mut("rows").and_then(Value::as_array_mut);
    for license in rows.into_iter().flatten() {
        let Some(license) = license.get_mut("license").and_then(Value::as_object_mut) else {
            continue;
        };
        let key = license.remove("key");
        let cells = [license.get("id"), license.get("customerId"), key.as_ref()];
        let cells = cells.map(|cell| cell.and_then(Value::as_str).unwrap_or_default());
        table.write_record(cells)?;
    }
    Ok(String::from_utf8(table.into_inner()?)?)
}
