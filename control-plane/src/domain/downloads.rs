//! Downloads, as gates tell of them and as operators ask for them.

use std::fmt;
use std::str::FromStr;

use activation_token::downloads::{
    BATCH_DAYS_MAX, BATCH_ID_BYTES_MAX, COUNT_MAX, DownloadBatch, DownloadRecord, RECORDS_MAX,
};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};

use super::{FieldError, Refusal};

/// Ids of batches are remembered for so long after they were taken. A batch is refused
/// [`BATCH_DAYS_MAX`] days after its newest record, so none comes back after its id is forgotten.
pub const IDS_KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);
/// No identifier in a token is longer, in bytes.
const ID_BYTES_MAX: usize = 200;
/// The longest version that npm takes, in bytes.
const VERSION_BYTES_MAX: usize = 256;

/// A record that may be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The license.
    pub license_id: String,
    /// Its customer.
    pub customer_id: String,
    /// The package.
    pub package: String,
    /// The version.
    pub version: String,
    /// The day, in UTC.
    pub day: Date,
    /// How often.
    pub count: i64,
}

/// Whether a batch was counted now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Now.
    Accepted,
    /// Before.
    Duplicate,
}

/// Checks a batch, which is refused whole or taken whole.
pub fn check(batch: DownloadBatch, now: Timestamp) -> Result<Vec<Record>, Refusal> {
    let today = day_of(now);
    let newest = batch.records.iter().map(|record| record.day).max();
    let out_of_time = newest.is_some_and(|newest| {
        // A gate's clock may be ahead, and its day begin before ours.
        let (first, last) = (today - BATCH_DAYS_MAX.days(), today + 1.day());
        !(first..=last).contains(&newest)
    });
    let records = || FieldError::new("records", format!("has 1 to {RECORDS_MAX} records"));
    let ages = || {
        let text = format!("ends {BATCH_DAYS_MAX} days ago at most, and not in the future");
        FieldError::new("records", text)
    };
    let broken = batch.records.iter().find_map(in_record);
    Refusal::unless_all_hold([
        FieldError::in_text("batchId", &batch.batch_id, BATCH_ID_BYTES_MAX),
        (!(1..=RECORDS_MAX).contains(&batch.records.len())).then(records),
        out_of_time.then(ages),
        broken,
    ])?;
    Ok(batch.records.into_iter().map(Record::from).collect())
}

/// What is wrong with a record, if anything.
fn in_record(record: &DownloadRecord) -> Option<FieldError> {
    let text = FieldError::in_text;
    let count = || {
        let text = format!("is 1 to {COUNT_MAX}");
        FieldError::new("records.count", text)
    };
    text("records.licenseId", &record.license_id, ID_BYTES_MAX)
        .or_else(|| text("records.customerId", &record.customer_id, ID_BYTES_MAX))
        .or_else(|| text("records.version", &record.version, VERSION_BYTES_MAX))
        .or_else(|| {
            let old = record.day.year() < 2000;
            old.then(|| FieldError::new("records.day", "is of this century"))
        })
        .or_else(|| (!(1..=COUNT_MAX).contains(&record.count)).then(count))
}

impl From<DownloadRecord> for Record {
    fn from(record: DownloadRecord) -> Self {
        Self {
            license_id: record.license_id,
            customer_id: record.customer_id,
            package: record.package.to_string(),
            version: record.version,
            day: record.day,
            // It was checked.
            count: i64::try_from(record.count).unwrap_or(i64::MAX),
        }
    }
}

/// The day of an instant, in UTC.
pub fn day_of(instant: Timestamp) -> Date {
    instant.to_zoned(TimeZone::UTC).date()
}

/// Which downloads are wanted; what is none does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With this license.
    pub license_id: Option<String>,
    /// Of this customer.
    pub customer_id: Option<String>,
    /// Of this package.
    pub package: Option<String>,
    /// Of this version.
    pub version: Option<String>,
    /// From this day on.
    pub from: Option<Date>,
    /// Before this day.
    pub to: Option<Date>,
}

/// What sums are made by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "any of the five, each for itself"
)]
pub struct Grouping {
    /// Each day apart.
    pub day: bool,
    /// Each customer apart.
    pub customer: bool,
    /// Each license apart.
    pub license: bool,
    /// Each package apart.
    pub package: bool,
    /// Each version apart.
    pub version: bool,
}

impl FromStr for Grouping {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut by = Self::default();
        for name in text.split(',') {
            let flag = match name {
                "day" => &mut by.day,
                "customer" => &mut by.customer,
                "license" => &mut by.license,
                "package" => &mut by.package,
                "version" => &mut by.version,
                _ => return Err(()),
            };
            *flag = true;
        }
        Ok(by)
    }
}

/// What a sum is of. What is not grouped by is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The day, as `2026-11-21`.
    pub day: String,
    /// The customer.
    pub customer_id: String,
    /// The license.
    pub license_id: String,
    /// The package.
    pub package: String,
    /// The version.
    pub version: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // None of them has a line break.
        write!(
            f,
            "{}\n{}\n{}\n{}\n{}",
            self.day, self.customer_id, self.license_id, self.package, self.version
        )
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('\n').map(str::to_owned);
        let mut next = || parts.next().filter(|part| !part.contains('\0')).ok_or(());
        let place = Self {
            day: next()?,
            customer_id: next()?,
            license_id: next()?,
            package: next()?,
            version: next()?,
        };
        parts.next().map_or(Ok(place), |_| Err(()))
    }
}

/// A sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Of what.
    pub place: Place,
    /// How many downloads.
    pub count: u64,
}
