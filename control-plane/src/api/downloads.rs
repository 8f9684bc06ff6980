//! `/v1/downloads`: what was downloaded; and where gates tell of it.

use activation_token::downloads::{BATCH_BYTES_MAX, DownloadBatch, DownloadRecord};
use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use jiff::Timestamp;
use jiff::civil::Date;
use manifest::PackageName;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::caller::{Allowed, ReadLicenses, ReportDownloads};
use super::json::{self, shown};
use super::problem::{Problem, ReadProblems, WriteProblems};
use super::query::{self, Query};
use super::write::read;
use crate::domain::downloads::{Counted, Filter, Grouping, Place, Taken, day_of};
use crate::store::downloads;

/// Downloads that a gate tells of together.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DownloadBatch)]
pub(super) struct BatchRequest {
    /// The same each time the batch is sent, and of no other.
    #[schema(min_length = 1, max_length = 100)]
    batch_id: String,
    /// What was downloaded, 1000 records at most.
    #[schema(min_items = 1)]
    records: Vec<RecordRequest>,
}

/// How often one release was downloaded on a day with the tokens of a license.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DownloadRecord)]
struct RecordRequest {
    /// The license of the tokens.
    #[schema(min_length = 1, max_length = 200)]
    license_id: String,
    /// Its customer.
    #[schema(min_length = 1, max_length = 200)]
    customer_id: String,
    /// The package.
    #[schema(value_type = String)]
    package: PackageName,
    /// Its version.
    #[schema(min_length = 1, max_length = 256)]
    version: String,
    /// The day, in UTC.
    day: Date,
    /// How often.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    count: u64,
}

impl From<BatchRequest> for DownloadBatch {
    fn from(request: BatchRequest) -> Self {
        let record = |record: RecordRequest| DownloadRecord {
            license_id: record.license_id,
            customer_id: record.customer_id,
            package: record.package,
            version: record.version,
            day: record.day,
            count: record.count,
        };
        Self {
            batch_id: request.batch_id,
            records: request.records.into_iter().map(record).collect(),
        }
    }
}

/// A batch as it came. It may be larger than other bodies.
pub(super) struct Batch(BatchRequest);

impl FromRequest<App> for Batch {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        json::require(&parts.headers)?;
        let bytes = read(body, BATCH_BYTES_MAX).await?;
        Ok(Self(json::parse(&bytes)?))
    }
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// It is counted.
    Accepted,
    /// It was before, and nothing changed.
    Duplicate,
}

/// The answer to a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchTaken {
    outcome: Outcome,
}

/// Tell of downloads.
///
/// A batch is counted once, however often it is sent: `outcome` says whether that was now. Its
/// id does for it what an `Idempotency-Key` does elsewhere, for 90 days. Send it again until it
/// is answered with 200; 422 says that it never will be. Licenses need not be known.
#[utoipa::path(post, path = "/v1/gate/downloads", operation_id = "reportDownloads", tag = "gates",
    security(("gate" = [])), request_body = BatchRequest,
    responses((status = 200, body = BatchTaken), WriteProblems))]
pub(super) async fn report(
    State(app): State<App>,
    _caller: Allowed<ReportDownloads>,
    Batch(batch): Batch,
) -> Result<Response, Problem> {
    let outcome = match app.take_downloads(batch.into()).await? {
        Taken::Accepted => Outcome::Accepted,
        Taken::Duplicate => Outcome::Duplicate,
    };
    shown(&BatchTaken { outcome })
}

/// A day, or an instant.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
enum Edge {
    Day(Date),
    Instant(Timestamp),
}

impl TryFrom<String> for Edge {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        // A date's parser takes a time as well, and leaves it out.
        if text.len() == "2026-11-21".len() {
            let day = text.parse().map(Self::Day);
            return day.map_err(|_| "expected a day such as 2026-11-21");
        }
        let instant = text.parse().map(Self::Instant);
        instant.map_err(|_| "expected a day such as 2026-11-21, or a time as in RFC 3339")
    }
}

impl Edge {
    /// The first day that it is not before the end of.
    fn first_day(self) -> Date {
        match self {
            Self::Day(day) => day,
            Self::Instant(instant) => day_of(instant),
        }
    }

    /// The first day that begins no earlier.
    fn day_after(self) -> Date {
        match self {
            Self::Day(day) => day,
            Self::Instant(instant) => {
                let just_before = instant.as_nanosecond().saturating_sub(1);
                let last = Timestamp::from_nanosecond(just_before).map_or(Date::MIN, day_of);
                last.tomorrow().unwrap_or(Date::MAX)
            }
        }
    }
}

/// Which downloads are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DownloadsQuery {
    /// With this license.
    license_id: Option<String>,
    /// Of this customer.
    customer_id: Option<String>,
    /// Of this package.
    package: Option<String>,
    /// Of this version.
    version: Option<String>,
    /// From when on, inclusive: a day, or a time of RFC 3339. Days count whole, in UTC.
    #[param(value_type = Option<String>, example = "2026-11-01")]
    from: Option<Edge>,
    /// Until when, exclusive: a day, or a time of RFC 3339.
    #[param(value_type = Option<String>, example = "2026-12-01")]
    to: Option<Edge>,
    /// What each gets a sum of its own: any of `day`, `customer`, `license`, `package` and
    /// `version`, with commas in between; `license,package,version` if not said.
    #[param(
        pattern = "^(day|customer|license|package|version)(,(day|customer|license|package|version))*$"
    )]
    group_by: Option<String>,
    /// Sums on a page, 1 to 100; 50 if not said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `nextCursor` of the page before, of the same grouping.
    cursor: Option<String>,
}

/// A sum. It has the members that it was grouped by.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DownloadSum {
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "2026-11-21")]
    day: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    customer_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    license_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    package: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    version: String,
    /// How many downloads.
    count: u64,
}

impl From<Counted> for DownloadSum {
    fn from(Counted { place, count }: Counted) -> Self {
        Self {
            day: place.day,
            customer_id: place.customer_id,
            license_id: place.license_id,
            package: place.package,
            version: place.version,
            count,
        }
    }
}

/// A page of sums.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DownloadsPage {
    downloads: Vec<DownloadSum>,
    /// All that fits, on every page.
    total: u64,
    /// Where the next page begins, if there is one.
    next_cursor: Option<String>,
}

/// Read what was downloaded, in sums.
///
/// Ordered by day, customer, license, package and version, as far as they are grouped by. What
/// gates have not told of yet is missing: seconds, while they are connected.
#[utoipa::path(get, path = "/v1/downloads", operation_id = "listDownloads", tag = "downloads",
    security(("operator" = [])), params(DownloadsQuery),
    responses((status = 200, body = DownloadsPage), ReadProblems))]
pub(super) async fn list(
    State(app): State<App>,
    _caller: Allowed<ReadLicenses>,
    Query(query): Query<DownloadsQuery>,
) -> Result<Response, Problem> {
    let rows = query::rows(query.limit)?;
    let after: Option<Place> = query::after(query.cursor.as_deref())?;
    let by = query
        .group_by
        .as_deref()
        .unwrap_or("license,package,version");
    let by: Grouping = by.parse().map_err(|()| {
        query::invalid("`groupBy` is any of day, customer, license, package and version, with commas in between")
    })?;
    let filter = Filter {
        license_id: query.license_id,
        customer_id: query.customer_id,
        package: query.package,
        version: query.version,
        from: query.from.map(Edge::first_day),
        to: query.to.map(Edge::day_after),
    };
    let mut conn = app.store.read().await?;
    let total = downloads::total(conn.link(), &filter).await?;
    let mut sums = downloads::sums(conn.link(), &filter, by, after.as_ref(), rows + 1).await?;
    let next_cursor = query::next(&mut sums, rows, |sum| sum.place.clone());
    shown(&DownloadsPage {
        downloads: sums.into_iter().map(DownloadSum::from).collect(),
        total,
        next_cursor,
    })
}
