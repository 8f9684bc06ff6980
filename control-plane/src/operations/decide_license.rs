//! Suspend, reinstate and revoke a license.

use super::issue_license::state;
use super::{Error, Operations, license};
use crate::domain::{Decision, Event, License, LicenseId, Refusal, Requester};
use crate::store::{Recorded, Tx, licenses};

impl Operations {
    /// Suspends a license, so that it cannot be used and its tokens are no longer good; makes it
    /// active again; or revokes it for good. Said twice, a decision stands as it did and is on
    /// record twice.
    pub async fn decide_license(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        decision: Decision,
        reason: String,
    ) -> Result<Recorded<License>, Error> {
        let action = match decision {
            Decision::Suspended => "license.suspend",
            Decision::Active => "license.reinstate",
            Decision::Revoked => "license.revoke",
        };
        let now = self.clock.now();
        let before = license(tx, id, now).await?;
        if before.decision == Decision::Revoked && decision != Decision::Revoked {
            return Err(Refusal::LicenseRevoked.into());
        }
        let mut after = License {
            decision,
            ..before.clone()
        };
        if decision != before.decision && decision != Decision::Active {
            after.narrow(now);
        }
        licenses::update(tx, &after).await?;
        let event = Event {
            before: Some(state(&before)),
            after: Some(state(&after)),
            reason: Some(reason),
            concerns_gates: decision != before.decision,
            ..Event::new(action, id)
        };
        Ok(tx.record(by, now, event, after).await?)
    }
}
