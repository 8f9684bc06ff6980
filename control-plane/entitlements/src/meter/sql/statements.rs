//! The statements, in the dialect that SQLite and PostgreSQL share, under a prefix.

use std::sync::Arc;

use crate::sql::Prefix;

/// What the texts below have where the prefix belongs.
const PREFIX: &str = "{p}";

const SCHEMA: [&str; 8] = [
    "CREATE TABLE IF NOT EXISTS {p}_usage (
    subject     TEXT   NOT NULL,
    metric      TEXT   NOT NULL,
    rule        TEXT   NOT NULL,
    bucket      BIGINT NOT NULL,
    value       BIGINT NOT NULL CHECK (value >= 0),
    last_at     BIGINT NOT NULL,
    events      BIGINT NOT NULL,
    soft_hit_at BIGINT,
    PRIMARY KEY (subject, metric, rule, bucket)
)",
    "CREATE TABLE IF NOT EXISTS {p}_usage_events (
    subject     TEXT   NOT NULL,
    metric      TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    rule        TEXT   NOT NULL,
    nth         BIGINT NOT NULL,
    quantity    BIGINT NOT NULL CHECK (quantity >= 0),
    value       TEXT,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (subject, metric, at, rule, nth)
)",
    "CREATE INDEX IF NOT EXISTS {p}_usage_events_by_time ON {p}_usage_events (at)",
    "CREATE TABLE IF NOT EXISTS {p}_usage_values (
    subject TEXT   NOT NULL,
    metric  TEXT   NOT NULL,
    rule    TEXT   NOT NULL,
    bucket  BIGINT NOT NULL,
    value   TEXT   NOT NULL,
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (subject, metric, rule, bucket, value)
)",
    "CREATE INDEX IF NOT EXISTS {p}_usage_values_by_end ON {p}_usage_values (ends_at)",
    "CREATE TABLE IF NOT EXISTS {p}_usage_keys (
    subject   TEXT   NOT NULL,
    event_key TEXT   NOT NULL,
    metric    TEXT   NOT NULL,
    amount    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    kept_at   BIGINT NOT NULL,
    PRIMARY KEY (subject, event_key)
)",
    "CREATE INDEX IF NOT EXISTS {p}_usage_keys_by_time ON {p}_usage_keys (kept_at)",
    "CREATE TABLE IF NOT EXISTS {p}_usage_horizon (
    one   BIGINT PRIMARY KEY CHECK (one = 1),
    until BIGINT NOT NULL
)",
];

/// What makes the tables, for embedders who keep their own migrations.
pub fn schema(prefix: &Prefix) -> Vec<String> {
    let name = |sql: &str| sql.replace(PREFIX, prefix.as_str());
    SCHEMA.into_iter().map(name).collect()
}

macro_rules! statements {
    ($($name:ident: $sql:expr;)*) => {
        /// Each statement, with the names of the tables in it.
        #[derive(Debug)]
        pub(super) struct Statements { $(pub(super) $name: Arc<str>),* }

        impl Statements {
            /// The statements on the tables under a prefix.
            pub(super) fn new(prefix: &Prefix) -> Self {
                Self { $($name: $sql.replace(PREFIX, prefix.as_str()).into()),* }
            }

            #[cfg(test)]
            pub(super) fn all(&self) -> Vec<(&'static str, &Arc<str>)> {
                vec![$((stringify!($name), &self.$name)),*]
            }
        }
    };
}

/// The aggregate of one place.
macro_rules! one {
    () => {
        "subject = $1 AND metric = $2 AND rule = $3 AND bucket = $4"
    };
}

/// The aggregates of a stretch.
macro_rules! buckets {
    () => {
        " FROM {p}_usage WHERE subject = $1 AND metric = $2 AND rule = $3 \
         AND bucket >= $4 AND bucket < $5"
    };
}

/// The events of a stretch.
macro_rules! events {
    () => {
        " FROM {p}_usage_events WHERE subject = $1 AND metric = $2 AND at >= $3 AND at < $4"
    };
}

/// Takes an event into an aggregate, whose new value is `$value`.
macro_rules! raise {
    ($value:literal) => {
        concat!(
            "INSERT INTO {p}_usage AS u (subject, metric, rule, bucket, value, last_at, events) \
             VALUES ($1, $2, $3, $4, $5, $6, 1) \
             ON CONFLICT (subject, metric, rule, bucket) DO UPDATE SET value = ",
            $value,
            ", last_at = CASE WHEN excluded.last_at > u.last_at THEN excluded.last_at \
             ELSE u.last_at END, events = u.events + 1"
        )
    };
}

statements! {
    take_key: "INSERT INTO {p}_usage_keys (subject, event_key, metric, amount, at, kept_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (subject, event_key) DO NOTHING";
    key: "SELECT metric, amount, at FROM {p}_usage_keys WHERE subject = $1 AND event_key = $2";
    drop_key: "DELETE FROM {p}_usage_keys WHERE subject = $1 AND event_key = $2";
    add_value: "INSERT INTO {p}_usage_values (subject, metric, rule, bucket, value, ends_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (subject, metric, rule, bucket, value) DO NOTHING";
    drop_value: concat!("DELETE FROM {p}_usage_values WHERE ", one!(), " AND value = $5");
    // The condition is weighed on the row as it is once it is locked.
    add: concat!(raise!("u.value + excluded.value"), " WHERE u.value <= $7 RETURNING value, events");
    // Of PostgreSQL alone.
    add_with_event: concat!(
        "WITH raised AS (",
        raise!("u.value + excluded.value"),
        " WHERE u.value <= $7 RETURNING value, events), kept AS (INSERT INTO {p}_usage_events \
         (subject, metric, at, rule, nth, quantity, value, recorded_at) \
         SELECT $1, $2, $6, $3, raised.events, CAST($8 AS BIGINT), CAST($9 AS TEXT), \
         CAST($10 AS BIGINT) FROM raised) SELECT value, events FROM raised"
    );
    raise_max: concat!(
        raise!("CASE WHEN excluded.value > u.value THEN excluded.value ELSE u.value END"),
        " RETURNING value, events"
    );
    raise_last: concat!(
        raise!("CASE WHEN excluded.last_at >= u.last_at THEN excluded.value ELSE u.value END"),
        " RETURNING value, events"
    );
    lower: concat!("UPDATE {p}_usage SET value = value - $5 WHERE ", one!(), " AND value >= $5");
    value: concat!("SELECT value FROM {p}_usage WHERE ", one!());
    mark: concat!("UPDATE {p}_usage SET soft_hit_at = $5 WHERE ", one!(), " AND soft_hit_at IS NULL");
    add_event: "INSERT INTO {p}_usage_events \
        (subject, metric, at, rule, nth, quantity, value, recorded_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    drop_event: "DELETE FROM {p}_usage_events \
        WHERE subject = $1 AND metric = $2 AND at = $3 AND rule = $4 AND nth = $5";
    events_sum: concat!("SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT)", events!());
    events_max: concat!("SELECT COALESCE(MAX(quantity), 0)", events!());
    events_last: concat!(
        "SELECT COALESCE((SELECT quantity", events!(), " ORDER BY at DESC, rule DESC, nth DESC LIMIT 1), 0)"
    );
    events_unique: concat!("SELECT COUNT(DISTINCT value)", events!());
    buckets_sum: concat!("SELECT CAST(COALESCE(SUM(value), 0) AS BIGINT)", buckets!());
    buckets_max: concat!("SELECT COALESCE(MAX(value), 0)", buckets!());
    buckets_last: concat!(
        "SELECT COALESCE((SELECT value", buckets!(), " ORDER BY bucket DESC LIMIT 1), 0)"
    );
    horizon: "SELECT until FROM {p}_usage_horizon WHERE one = 1";
    set_horizon: "INSERT INTO {p}_usage_horizon AS h (one, until) VALUES (1, $1) \
        ON CONFLICT (one) DO UPDATE SET until = excluded.until WHERE h.until < excluded.until";
    prune_events: "DELETE FROM {p}_usage_events WHERE at < $1";
    prune_values: "DELETE FROM {p}_usage_values WHERE ends_at <= $1";
    prune_keys: "DELETE FROM {p}_usage_keys WHERE kept_at < $1";
    // In the order in which a change locks them.
    hold: "LOCK TABLE {p}_usage_values, {p}_usage IN SHARE ROW EXCLUSIVE MODE";
    subjects: "SELECT subject FROM {p}_usage UNION SELECT subject FROM {p}_usage_events \
        ORDER BY subject";
    clear: "UPDATE {p}_usage SET value = 0, last_at = bucket \
        WHERE subject = $1 AND metric = $2 AND rule = $3 AND bucket >= $4";
    clear_values: "DELETE FROM {p}_usage_values \
        WHERE subject = $1 AND metric = $2 AND rule = $3 AND bucket >= $4";
    events: "SELECT at, rule, nth, quantity, value FROM {p}_usage_events \
        WHERE subject = $1 AND metric = $2 AND (at, rule, nth) > ($3, $4, $5) \
        ORDER BY at, rule, nth LIMIT $6";
    put: "INSERT INTO {p}_usage AS u (subject, metric, rule, bucket, value, last_at, events) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) \
        ON CONFLICT (subject, metric, rule, bucket) DO UPDATE SET value = excluded.value, \
        last_at = excluded.last_at, \
        events = CASE WHEN excluded.events > u.events THEN excluded.events ELSE u.events END";
}
