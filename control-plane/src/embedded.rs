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
use registry_gate::reach::Reach;
use registry_gate::{
    DownloadSink, GateConfig, NotTaken, SnapshotSender, UpstreamConfig, UpstreamTimeouts,
};
use secrecy::SecretString;
use url::Url;

use crate::data_dir::DataDir;
use crate::operations::{Error, Operations};
use crate::settings::Config;

/// Without a change, a fresh snapshot is made this often; far below any `max-stale`.
const REFRESH: Duration = Duration::from_secs(20);
/// After a failure, the next attempt waits.
const RETRY: Duration = Duration::from_secs(1);

/// What the settings say of the gate.
pub(crate) fn gate_config(
    config: &Config,
    upstream_token: Option<SecretString>,
    registry_url: Url,
    data: &DataDir,
) -> GateConfig {
    let patience = Duration::from_secs(config.upstream_timeout.into());
    let behind = |url: &Url, token| UpstreamConfig {
        token,
        reach: Reach::allowing_internal(config.upstream_allow_internal),
        timeouts: UpstreamTimeouts::patient_for(patience),
        ..UpstreamConfig::new(url.clone())
    };
    let (upstream, pass_through) = (config.upstream.as_ref(), config.pass_through.as_ref());
    GateConfig {
        store: config.store.clone(),
        upstream: upstream.map(|url| behind(url, upstream_token)),
        pass_through: pass_through.map(|url| behind(url, None)),
        cache_dir: data.cache(),
        cache_bytes_max: u64::from(config.cache_mib) * 1024 * 1024,
        ..GateConfig::new(registry_url, data.packages())
    }
}

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
