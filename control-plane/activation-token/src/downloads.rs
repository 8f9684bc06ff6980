//! What a gate tells of downloads: counts, in batches with an id.
//!
//! A gate sends a batch again until it hears that it was taken, and the control plane takes each
//! id once. Members that one side does not know yet are passed over, so that the two need not be
//! of the same release.

use jiff::civil::Date;
use manifest::PackageName;
use serde::{Deserialize, Serialize};

/// The most records of a batch. It must not change: a batch may have been told in part.
pub const RECORDS_MAX: usize = 1_000;
/// The largest batch as JSON, in bytes.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest id of a batch, in bytes.
pub const BATCH_ID_BYTES_MAX: usize = 100;
/// The largest count of a record. More stands in several.
pub const COUNT_MAX: u64 = 1_000_000_000;
/// For how many days after its newest record a batch is taken. The control plane remembers ids
/// for longer, so no batch that it took once can be taken again.
pub const BATCH_DAYS_MAX: i32 = 60;

/// Downloads that are told of together: all of them are counted, once, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownloadBatch {
    /// The same each time it is sent, and of no other batch.
    pub batch_id: String,
    /// 1 to [`RECORDS_MAX`].
    pub records: Vec<DownloadRecord>,
}

/// How often one release was downloaded on a day with the tokens of a license.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownloadRecord {
    /// The license (`lic` of the tokens).
    pub license_id: String,
    /// Its customer (`sub` of the tokens).
    pub customer_id: String,
    /// The package.
    pub package: PackageName,
    /// The release's version.
    pub version: String,
    /// The day, in UTC by the gate's clock.
    pub day: Date,
    /// How often, 1 to [`COUNT_MAX`].
    pub count: u64,
}
