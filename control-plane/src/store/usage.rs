//! Tables `entitlement_usage…`: what subjects use. Their statements are the library's.

use std::sync::LazyLock;

use entitlements::meter::sql::{SqlRows, Tables};
use entitlements::meter::{Ledger, MeterError, Metrics};
use entitlements::sql::Prefix;
use jiff::Timestamp;

use super::{Link, StoreError, Tx};

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::new(&Prefix::default()));

/// The usage of these metrics, within whatever transaction the link stands in.
pub fn ledger<'m, 'c>(metrics: &'m Metrics, link: Link<'c>) -> Ledger<'m, SqlRows<'c>> {
    Ledger::new(metrics, SqlRows::on(link, &TABLES))
}

/// Forgets events from before a time, and the keys of those that were recorded before it.
pub async fn prune(tx: &mut Tx, until: Timestamp) -> Result<(), StoreError> {
    let metrics = Metrics::default();
    let pruned = ledger(&metrics, tx.link()).prune(until).await;
    pruned.map_err(failed)
}

/// A meter's fault as one of the store.
pub fn failed(error: MeterError) -> StoreError {
    match error {
        MeterError::Database(error) => StoreError::Database(error),
        error => StoreError::Inconsistent {
            table: "entitlement_usage",
            row: error.to_string(),
            column: "value",
        },
    }
}

#[cfg(test)]
mod tests {
    use entitlements::meter::sql::schema;

    use super::*;

    /// The tables are the library's own, however they came here.
    #[test]
    fn ent_49_the_migration_makes_the_tables_of_the_library() {
        let migration = include_str!("migrations/0005_usage.sql");
        let said = migration.lines().filter(|line| !line.starts_with("--"));
        let said = said.collect::<Vec<_>>().join("\n").replace("\n\n", "\n");
        let library = schema(&Prefix::default()).join(";\n") + ";";
        assert_eq!(said.trim(), library.replace(" IF NOT EXISTS", ""));
    }
}
