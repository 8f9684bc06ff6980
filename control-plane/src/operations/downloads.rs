//! Downloads, as gates tell of them.
//!
//! Counting them is bookkeeping: nobody may do more or less because of it, and a row in the audit
//! log for each batch of each gate would bury the rows that matter. So a batch is committed as
//! notes are, without one. Its id and its counts stand in one transaction.

use activation_token::downloads::DownloadBatch;

use super::{Error, Operations};
use crate::domain::downloads::{self, Taken};
use crate::store::downloads as rows;

impl Operations {
    /// Counts a batch, unless that was done before. Licenses that are not known, or are no
    /// longer good, count as well: what a gate served, it served.
    pub async fn take_downloads(&self, batch: DownloadBatch) -> Result<Taken, Error> {
        let now = self.clock.now();
        let batch_id = batch.batch_id.clone();
        let records = downloads::check(batch, now)?;
        let mut tx = self.store.begin().await?;
        if !rows::take(&mut tx, &batch_id, now).await? {
            // The first one may stand in this very transaction, not yet committed.
            tx.settled().await?;
            return Ok(Taken::Duplicate);
        }
        rows::add_all(&mut tx, &records).await?;
        tx.commit_notes().await?;
        Ok(Taken::Accepted)
    }
}
