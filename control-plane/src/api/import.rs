//! `POST /v1/licenses/import`: many licenses at once, from CSV.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use csv::StringRecord;
use manifest::PackageName;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::caller::{Allowed, WriteLicenses};
use super::licenses::{LicenseView, with_key};
use super::problem::{Problem, ProblemField, WriteProblems};
use super::query::Query;
use super::write::{Halt, IdempotencyKey, read};
use crate::domain::{FieldError, Refusal};
use crate::operations::{IMPORT_ROWS_MAX, Imported, NewLicense, Operations};

const CSV_BYTES_MAX: usize = 1024 * 1024;
/// What a column of the vendor's own notes begins with.
const METADATA: &str = "metadata.";
const COLUMNS: [&str; 8] = [
    "customerId",
    "tier",
    "expiresAt",
    "expiryStrategy",
    "graceSeconds",
    "maxBoxes",
    "leaseSeconds",
    "addOns",
];

/// A CSV body.
pub(super) struct Csv {
    bytes: Bytes,
    key: Option<IdempotencyKey>,
}

impl FromRequest<App> for Csv {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next());
        if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/csv")) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send the table as `Content-Type: text/csv`",
            ));
        }
        let bytes = read(body, CSV_BYTES_MAX).await?;
        let key = IdempotencyKey::of(&parts, &bytes)?;
        Ok(Self { bytes, key })
    }
}

/// How an import goes.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportQuery {
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// What became of an import.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportReport {
    /// Whether nothing was written.
    dry_run: bool,
    issued: usize,
    refused: usize,
    rows: Vec<ImportRow>,
}

/// What became of a row: a license, or what is wrong.
#[derive(Serialize, ToSchema)]
struct ImportRow {
    /// The line of the table on which it begins; the heading is line 1.
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    license: Option<LicenseView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    error: Option<RowError>,
}

/// What is wrong with a row.
#[derive(Serialize, ToSchema)]
struct RowError {
    code: &'static str,
    detail: String,
    errors: Vec<ProblemField>,
}

/// Issue many licenses from a CSV table.
///
/// The first line names the columns: `customerId`, and any of `tier`, `expiresAt`,
/// `expiryStrategy`, `graceSeconds`, `maxBoxes`, `leaseSeconds`, `addOns` (names with blanks in
/// between) and `metadata.…`. Rows that are good are issued, all in one step, and the answer holds
/// their keys; the others are reported. At most 1,000 rows.
#[utoipa::path(post, path = "/v1/licenses/import", operation_id = "importLicenses",
    tag = "licenses", security(("operator" = [])),
    params(ImportQuery, super::openapi::IdempotencyParam),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 200, body = ImportReport), WriteProblems))]
pub(super) async fn import(
    State(app): State<App>,
    caller: Allowed<WriteLicenses>,
    Query(query): Query<ImportQuery>,
    csv: Csv,
) -> Result<Response, Halt> {
    let (lines, rows): (Vec<u64>, Vec<_>) = table(&csv.bytes)?.into_iter().unzip();
    let mut write = caller.write(&app, csv.key).await?;
    let imported = app.import_licenses(&mut write.tx, &write.by, rows).await?;
    if query.dry_run {
        // Not committed, all of it is taken back.
        return Ok(super::json::shown(&report(
            &app,
            &lines,
            imported.value(),
            true,
        ))?);
    }
    write
        .answer(StatusCode::OK, imported, |imported| {
            report(&app, &lines, imported, false)
        })
        .await
}

fn report(app: &Operations, lines: &[u64], imported: &Imported, dry_run: bool) -> ImportReport {
    let rows: Vec<ImportRow> = lines
        .iter()
        .zip(imported)
        .map(|(&line, row)| ImportRow {
            line,
            license: row.as_ref().ok().map(|issued| {
                let view = with_key(app, issued);
                // A key that is taken back must not be sold.
                if dry_run { view.without_key() } else { view }
            }),
            error: row.as_ref().err().map(|refusal| RowError {
                code: refusal.code(),
                detail: refusal.to_string(),
                errors: ProblemField::of(refusal),
            }),
        })
        .collect();
    let issued = imported.iter().filter(|row| row.is_ok()).count();
    ImportReport {
        dry_run,
        issued,
        refused: imported.len() - issued,
        rows,
    }
}

type Row = (u64, Result<NewLicense, Refusal>);

/// Reads the table. A heading that is wrong, or lines that are no CSV, spoil it whole.
fn table(bytes: &[u8]) -> Result<Vec<Row>, Problem> {
    let bad = |text: String| Problem::new(StatusCode::BAD_REQUEST, "malformed_csv", text);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let heading = reader
        .headers()
        .map_err(|error| bad(error.to_string()))?
        .clone();
    let mut seen = std::collections::BTreeSet::new();
    for column in &heading {
        let known = COLUMNS.contains(&column)
            || column.len() > METADATA.len() && column.starts_with(METADATA);
        if !known || !seen.insert(column) {
            let columns = COLUMNS.join("`, `");
            return Err(bad(format!(
                "the column `{column}` is unknown or stands twice; there are `{columns}` and `metadata.…`"
            )));
        }
    }
    if !seen.contains("customerId") {
        return Err(bad("the first line names no column `customerId`".to_owned()));
    }
    let mut rows = Vec::new();
    let mut lines = Lines {
        bytes,
        at: 0,
        line: 1,
    };
    for record in reader.records() {
        let record = record.map_err(|error| bad(error.to_string()))?;
        if rows.len() == IMPORT_ROWS_MAX {
            return Err(bad(format!("a table has at most {IMPORT_ROWS_MAX} rows")));
        }
        let line = lines.of(&record);
        rows.push((line, new_license(&heading, &record)));
    }
    Ok(rows)
}

/// Counts lines as people see them: the reader's own count is one behind where lines end in CR LF.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line on which a record begins, which lies behind all that were asked for.
    fn of(&mut self, record: &StringRecord) -> u64 {
        let start = record.position().map_or(0, csv::Position::byte);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        while let Some(&byte) = self.bytes.get(self.at) {
            let ends =
                byte == b'\n' || byte == b'\r' && self.bytes.get(self.at + 1) != Some(&b'\n');
            // The reader begins a record with what is left of the end of the line before it.
            if self.at >= start && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            self.line += u64::from(ends);
            self.at += 1;
        }
        self.line
    }
}

/// Reads a row; an empty cell says nothing.
fn new_license(heading: &StringRecord, record: &StringRecord) -> Result<NewLicense, Refusal> {
    let mut cells: BTreeMap<&str, &str> = heading.iter().zip(record).collect();
    cells.retain(|_, cell| !cell.is_empty());
    let mut errors = Vec::new();
    let mut new = NewLicense {
        customer_id: cells
            .get("customerId")
            .copied()
            .unwrap_or_default()
            .to_owned(),
        tier: cells.get("tier").copied().map(ToOwned::to_owned),
        expires_at: cell(&cells, "expiresAt", "is no RFC 3339 time", &mut errors),
        grace_seconds: cell(&cells, "graceSeconds", "is no whole number", &mut errors).unwrap_or(0),
        max_boxes: cell(&cells, "maxBoxes", "is no whole number", &mut errors),
        lease_seconds: cell(&cells, "leaseSeconds", "is no whole number", &mut errors),
        ..NewLicense::default()
    };
    if let Some(strategy) = cells.get("expiryStrategy") {
        match crate::domain::ExpiryStrategy::parse(strategy) {
            Some(strategy) => new.expiry_strategy = strategy,
            None => errors.push(FieldError::new(
                "expiryStrategy",
                "is `restrict` or `maintain`",
            )),
        }
    }
    for name in cells
        .get("addOns")
        .copied()
        .unwrap_or_default()
        .split_whitespace()
    {
        match PackageName::parse(name) {
            Ok(name) => new.add_ons.push(name),
            Err(error) => errors.push(FieldError::new("addOns", error.to_string())),
        }
    }
    for (column, cell) in &cells {
        if let Some(key) = column.strip_prefix(METADATA) {
            new.metadata.insert(key.to_owned(), (*cell).to_owned());
        }
    }
    if errors.is_empty() {
        Ok(new)
    } else {
        Err(Refusal::InvalidFields(errors))
    }
}

fn cell<T: std::str::FromStr>(
    cells: &BTreeMap<&str, &str>,
    column: &'static str,
    wrong: &str,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    let read = cells.get(column)?.parse();
    if read.is_err() {
        errors.push(FieldError::new(column, wrong));
    }
    read.ok()
}
