//! Tables `downloads` and `download_batches`: how often releases were downloaded, and which
//! batches of it were counted.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Date;

use super::{Link, StoreError, Tx, inconsistent, on, row};
use crate::domain::downloads::{Counted, Filter, Grouping, Place, Record};

const TAKE: &str = "INSERT INTO download_batches (id, taken_at) VALUES ($1, $2) \
    ON CONFLICT (id) DO NOTHING";
const FORGET: &str = "DELETE FROM download_batches WHERE taken_at <= $1";

/// So many rows are added by one statement, where there are as many: a batch shall not hold up
/// other changes for long.
const ROWS: usize = 50;
static ADD_ROWS: LazyLock<String> = LazyLock::new(|| add(ROWS));
static ADD_ROW: LazyLock<String> = LazyLock::new(|| add(1));

/// The statement that adds so many rows.
fn add(rows: usize) -> String {
    let row = |nth: usize| {
        let places: Vec<String> = (1..=6)
            .map(|place| format!("${}", 6 * nth + place))
            .collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO downloads (license_id, package, version, day, customer_id, count) VALUES {} \
         ON CONFLICT (license_id, package, version, day) \
         DO UPDATE SET count = downloads.count + excluded.count",
        rows.join(", ")
    )
}

/// Which rows are wanted: `$1` to `$6`.
macro_rules! wanted {
    () => {
        "WHERE ($1 IS NULL OR license_id = $1) AND ($2 IS NULL OR customer_id = $2) \
         AND ($3 IS NULL OR package = $3) AND ($4 IS NULL OR version = $4) \
         AND ($5 IS NULL OR day >= $5) AND ($6 IS NULL OR day < $6)"
    };
}
// What is not grouped by is the same everywhere: the empty text.
const SUMS: &str = concat!(
    "SELECT day, customer_id, license_id, package, version, count FROM ( \
     SELECT CASE WHEN $7 = 1 THEN day ELSE '' END AS day, \
     CASE WHEN $8 = 1 THEN customer_id ELSE '' END AS customer_id, \
     CASE WHEN $9 = 1 THEN license_id ELSE '' END AS license_id, \
     CASE WHEN $10 = 1 THEN package ELSE '' END AS package, \
     CASE WHEN $11 = 1 THEN version ELSE '' END AS version, \
     CAST(SUM(count) AS BIGINT) AS count FROM downloads ",
    wanted!(),
    " GROUP BY 1, 2, 3, 4, 5) AS sums \
     WHERE $12 = 0 OR (day, customer_id, license_id, package, version) > ($13, $14, $15, $16, $17) \
     ORDER BY day, customer_id, license_id, package, version LIMIT $18"
);
const TOTAL: &str = concat!(
    "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM downloads ",
    wanted!()
);

row! {
    struct Row {
        day: String,
        customer_id: String,
        license_id: String,
        package: String,
        version: String,
        count: i64,
    }
}

/// Notes that a batch is counted. `false` when it was before.
pub async fn take(tx: &mut Tx, batch_id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let rows = on!(tx.link(), |c| sqlx::query(TAKE)
        .bind(batch_id)
        .bind(now.as_microsecond())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// Counts records.
pub async fn add_all(tx: &mut Tx, records: &[Record]) -> Result<(), StoreError> {
    // One statement may not change a row twice.
    let mut sums: BTreeMap<_, (&str, i64)> = BTreeMap::new();
    for record in records {
        let key = (
            &record.license_id,
            &record.package,
            &record.version,
            record.day,
        );
        let sum = sums.entry(key).or_insert((&record.customer_id, 0));
        sum.1 = sum.1.saturating_add(record.count);
    }
    let rows: Vec<_> = sums.into_iter().collect();
    for some in rows.chunks(ROWS) {
        if some.len() == ROWS {
            add_rows(tx, ADD_ROWS.as_str(), some).await?;
        } else {
            for one in some.chunks(1) {
                add_rows(tx, ADD_ROW.as_str(), one).await?;
            }
        }
    }
    Ok(())
}

/// What a row is found by, and its customer and count.
type Sum<'r> = ((&'r String, &'r String, &'r String, Date), (&'r str, i64));

async fn add_rows(tx: &mut Tx, sql: &'static str, rows: &[Sum<'_>]) -> Result<(), StoreError> {
    on!(tx.link(), |c| {
        let mut query = sqlx::query(sql);
        for ((license_id, package, version, day), (customer_id, count)) in rows {
            query = query
                .bind(license_id.as_str())
                .bind(package.as_str())
                .bind(version.as_str())
                .bind(day.to_string())
                .bind(*customer_id)
                .bind(*count);
        }
        query.execute(c).await.map(drop)
    })?;
    Ok(())
}

/// Forgets which batches were taken until a time.
pub async fn forget(tx: &mut Tx, taken_until: Timestamp) -> Result<(), StoreError> {
    on!(tx.link(), |c| sqlx::query(FORGET)
        .bind(taken_until.as_microsecond())
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// The sums of a grouping, in its order, from the one after `after` on.
pub async fn sums(
    link: Link<'_>,
    filter: &Filter,
    by: Grouping,
    after: Option<&Place>,
    rows_max: u32,
) -> Result<Vec<Counted>, StoreError> {
    let nothing = Place::default();
    let from = after.unwrap_or(&nothing);
    let rows = on!(link, |c| sqlx::query_as::<_, Row>(SUMS)
        .bind(&filter.license_id)
        .bind(&filter.customer_id)
        .bind(&filter.package)
        .bind(&filter.version)
        .bind(filter.from.map(|day| day.to_string()))
        .bind(filter.to.map(|day| day.to_string()))
        .bind(i64::from(by.day))
        .bind(i64::from(by.customer))
        .bind(i64::from(by.license))
        .bind(i64::from(by.package))
        .bind(i64::from(by.version))
        .bind(i64::from(after.is_some()))
        .bind(&from.day)
        .bind(&from.customer_id)
        .bind(&from.license_id)
        .bind(&from.package)
        .bind(&from.version)
        .bind(i64::from(rows_max))
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(Row::into_domain).collect()
}

/// How many downloads fit a filter.
pub async fn total(link: Link<'_>, filter: &Filter) -> Result<u64, StoreError> {
    let (total,) = on!(link, |c| sqlx::query_as::<_, (i64,)>(TOTAL)
        .bind(&filter.license_id)
        .bind(&filter.customer_id)
        .bind(&filter.package)
        .bind(&filter.version)
        .bind(filter.from.map(|day| day.to_string()))
        .bind(filter.to.map(|day| day.to_string()))
        .fetch_one(c)
        .await)?;
    u64::try_from(total).map_err(|_| inconsistent("downloads", &"all")("count"))
}

impl Row {
    fn into_domain(self) -> Result<Counted, StoreError> {
        let count = u64::try_from(self.count)
            .map_err(|_| inconsistent("downloads", &self.license_id)("count"))?;
        Ok(Counted {
            place: Place {
                day: self.day,
                customer_id: self.customer_id,
                license_id: self.license_id,
                package: self.package,
                version: self.version,
            },
            count,
        })
    }
}
