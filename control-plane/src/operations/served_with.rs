//! Notice that the manifest or a setting that gates go by is another one since the last start.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Error, Operations};
use crate::domain::{Event, Requester};
use crate::store::facts;

impl Operations {
    /// Raises the number of changes, with an audit row, when a gate's snapshot would now differ
    /// from that of the last start though nothing was changed by a request.
    pub async fn note_what_is_served(&self) -> Result<(), Error> {
        let policy = &self.policy;
        let text = serde_json::json!([
            self.tiers.digest(),
            policy.issuer,
            policy.audience,
            policy.max_stale_seconds,
        ]);
        let digest = HEXLOWER.encode(&Sha256::digest(text.to_string()));
        let mut tx = self.store.begin().await?;
        let before = facts::get(tx.link(), facts::SERVED_WITH).await?;
        if before.as_ref() == Some(&digest) {
            return Ok(());
        }
        facts::put(&mut tx, facts::SERVED_WITH, &digest).await?;
        let event = Event {
            before: before.map(Into::into),
            after: Some(serde_json::json!({
                "manifest": self.tiers.digest(),
                "issuer": policy.issuer,
                "audience": policy.audience,
                "maxStaleSeconds": policy.max_stale_seconds,
            })),
            concerns_gates: true,
            ..Event::new("manifest.load", &self.tiers.scope())
        };
        let recorded = tx
            .record(&Requester::system(), self.clock.now(), event, ())
            .await?;
        Ok(tx.commit(recorded).await?)
    }
}
