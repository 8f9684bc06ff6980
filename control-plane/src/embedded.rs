//! Single-process mode: keeps the gate's snapshot current, and takes what it tells of downloads,
//! without HTTP in between.
//!
//! The gate cannot tell this from a control plane elsewhere: if the database stops answering,
//! its snapshot grows old and it closes, as it would there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use activation_token::downloads::DownloadBatch;
use anyhow::bail;
use registry_gate::{DownloadSink, NotTaken, SnapshotSender};

use crate::operations::{Error, Operations};

/// Without a change, a fresh snapshot is made this often; far below any `max-stale`.
const REFRESH: Duration = Duration::from_secs(20);
/// After a failure, the next attempt waits.
const RETRY: Duration = Duration::from_secs(1);

/// Hands the gate a snapshot of now.
pub async fn feed_once(operations: &Operations, gate: &SnapshotSender) -> anyhow::Result<()> {
    let snapshot = match operations.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(Error::Fault(fault)) => return Err(fault.into()),
        Err(Error::Refused(refusal)) => bail!("{refusal}"),
    };
    let number = i64::try_from(snapshot.sequence)?;
    gate.publish(snapshot)?;
    operations.store.changes().delivered(number);
    Ok(())
}

/// Hands the gate a snapshot after every change, and now and then without one. Never ends.
pub async fn feed(operations: Arc<Operations>, gate: SnapshotSender) -> Infallible {
    let mut changes = operations.store.changes().subscribe();
    loop {
        // No news for a while is news enough: the snapshot's date must go on.
        let _ = tokio::time::timeout(REFRESH, changes.changed()).await;
        while let Err(error) = feed_once(&operations, &gate).await {
            tracing::error!(error = &*error, "the gate gets no new snapshot");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Takes the downloads of the gate in this process. They come as those of other gates do, from
/// its disk and again until they are heard: the database may be away for a while.
pub struct DownloadCounter(pub Arc<Operations>);

impl DownloadSink for DownloadCounter {
    async fn take(&self, batch: &DownloadBatch) -> Result<(), NotTaken> {
        match self.0.take_downloads(batch.clone()).await {
            Ok(_) => Ok(()),
            Err(Error::Refused(refusal)) => Err(NotTaken::Never(refusal.to_string().into())),
            Err(Error::Fault(fault)) => Err(NotTaken::Later(fault.into())),
        }
    }
}
