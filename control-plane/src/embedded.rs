//! Single-process mode: keeps the gate's snapshot current without HTTP in between.
//!
//! The gate cannot tell this from a control plane elsewhere: if the database stops answering,
//! its snapshot grows old and it closes, as it would there.

use std::sync::Arc;
use std::time::Duration;

use registry_gate::SnapshotSender;

use crate::operations::Operations;

/// Without a change, a fresh snapshot is made this often; far below any `max-stale`.
const REFRESH: Duration = Duration::from_secs(20);

/// Hands the gate its first snapshot, so that it opens with the listener.
pub async fn feed_once(operations: &Operations, gate: &SnapshotSender) -> anyhow::Result<()> {
    match operations.snapshot().await {
        Ok(snapshot) => Ok(gate.publish(snapshot)?),
        Err(crate::operations::Error::Fault(fault)) => Err(fault.into()),
        Err(crate::operations::Error::Refused(refusal)) => anyhow::bail!("{refusal}"),
    }
}

/// Hands the gate a snapshot after every change, and now and then without one. Never ends.
pub async fn feed(operations: Arc<Operations>, gate: SnapshotSender) {
    let mut changes = operations.store.changes();
    loop {
        // A timeout is no news, which is news enough: the snapshot's date must go on.
        let _ = tokio::time::timeout(REFRESH, changes.changed()).await;
        changes.mark_unchanged();
        if let Err(error) = feed_once(&operations, &gate).await {
            tracing::error!(error = &*error, "the gate gets no new snapshot");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
