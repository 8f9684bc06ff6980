//! The tables. The same text makes them on both engines.

use super::{Link, Prefix, SqlError};
use crate::on;

/// Overrides, add-ons and switches. `{p}` stands for the prefix.
pub const SHARED_TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS {p}_overrides (\
        subject    TEXT   NOT NULL, \
        kind       TEXT   NOT NULL CHECK (kind IN ('feature', 'limit')), \
        name       TEXT   NOT NULL, \
        value      BIGINT CHECK (value >= 0), \
        updated_at BIGINT NOT NULL, \
        PRIMARY KEY (subject, kind, name), \
        CHECK (kind = 'limit' OR (value IS NOT NULL AND value <= 1)))",
    "CREATE TABLE IF NOT EXISTS {p}_add_ons (\
        subject    TEXT   NOT NULL, \
        position   BIGINT NOT NULL, \
        name       TEXT   NOT NULL, \
        updated_at BIGINT NOT NULL, \
        PRIMARY KEY (subject, position))",
    "CREATE TABLE IF NOT EXISTS {p}_switches (\
        feature    TEXT    PRIMARY KEY, \
        is_on      BOOLEAN NOT NULL, \
        was_on     BOOLEAN, \
        version    BIGINT  NOT NULL, \
        actor      TEXT    NOT NULL, \
        updated_at BIGINT  NOT NULL)",
];

/// Assignments and subjects, for who has no tables of their own for them.
pub const OWN_TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS {p}_assignments (\
        subject     TEXT   PRIMARY KEY, \
        tier        TEXT   NOT NULL, \
        source      TEXT   NOT NULL CHECK (source IN ('billing', 'manual')), \
        actor       TEXT   NOT NULL, \
        reason      TEXT, \
        assigned_at BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS {p}_subjects (\
        subject    TEXT   PRIMARY KEY, \
        created_at BIGINT NOT NULL, \
        updated_at BIGINT NOT NULL)",
];

/// Makes the tables that are not there yet (ENT-42). Several statements.
pub async fn setup(mut link: Link<'_>, prefix: &Prefix) -> Result<(), SqlError> {
    for text in SHARED_TABLES.iter().chain(OWN_TABLES) {
        let sql = prefix.statement(text);
        on!(link.again(), |c| sqlx::raw_sql(sql)
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}
