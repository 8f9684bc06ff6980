//! The end of the audit log, noted beside the database: so that a start notices that an older copy
//! of the database was put in place, or that the log was cut.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::data_dir::DataDir;
use crate::store::audit::{self, Head};
use crate::store::{Store, StoreError};

/// How old the note may be.
const EVERY: Duration = Duration::from_mins(1);

/// Refuses a database whose log does not contain what was noted.
pub async fn check(store: &Store, data: &DataDir) -> anyhow::Result<()> {
    let Some(noted) = data.audit_head()? else {
        return Ok(());
    };
    if contains(store, &noted).await? {
        return Ok(());
    }
    let head = audit::head(store.read().await?.link()).await?;
    bail!(
        "this is not the database that was served last from this data directory: \
         its audit log ends at row {}, and does not contain row {} as it was noted\n  \
         cause: an older copy of the database was put in place, or the log was cut or written anew\n  \
         hint: put the right database back; `tollgate restore FILE` puts a backup in place so that \
         gates follow it, and if this database is meant, `tollgate audit accept` says so",
        head.sequence,
        noted.sequence
    )
}

/// Whether the log contains a head that was noted.
pub async fn contains(store: &Store, noted: &Head) -> Result<bool, StoreError> {
    let there = audit::head_at(store.read().await?.link(), noted.sequence).await?;
    Ok(there.as_ref() == Some(noted))
}

/// Notes the end of the log.
pub async fn write(store: &Store, data: &Arc<DataDir>) -> anyhow::Result<()> {
    let head = audit::head(store.read().await?.link()).await?;
    let data = Arc::clone(data);
    tokio::task::spawn_blocking(move || data.note_audit_head(&head))
        .await
        .context("the note was interrupted")?
}

/// Notes the end of the log every minute.
pub async fn keep(store: Store, data: Arc<DataDir>) -> Infallible {
    loop {
        tokio::time::sleep(EVERY).await;
        renew_or_warn(&store, &data).await;
    }
}

/// Notes the end of the log. A failure makes the note older and nothing else. A log that no longer
/// contains what was noted keeps the old note: it proves that rows were changed, and refuses the
/// next start.
pub async fn renew_or_warn(store: &Store, data: &Arc<DataDir>) {
    let renewed = async {
        check(store, data).await?;
        write(store, data).await
    };
    if let Err(error) = renewed.await {
        let error: &dyn std::error::Error = &*error;
        tracing::error!(error, "the end of the audit log is not noted");
    }
}
