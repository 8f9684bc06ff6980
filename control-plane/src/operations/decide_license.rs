//! Suspend, reinstate and revoke a license.

use super::issue_license::state;
use super::{Error, Operations, license};
use crate::domain::{Decision, Event, License, LicenseId, Refusal, Requester};
use crate::store::{Recorded, Tx, licenses};

impl Operations {
    /// Makes a license unusable until it is reinstated. Its tokens are no longer good.
    pub async fn suspend_license(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        reason: String,
    ) -> Result<Recorded<License>, Error> {
        self.decide(tx, by, id, Decision::Suspended, "license.suspend", reason)
            .await
    }

    /// Makes a suspended license usable again. Its boxes activate once more.
    pub async fn reinstate_license(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        reason: String,
    ) -> Result<Recorded<License>, Error> {
        self.decide(tx, by, id, Decision::Active, "license.reinstate", reason)
            .await
    }

    /// Makes a license unusable for good.
    pub async fn revoke_license(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        reason: String,
    ) -> Result<Recorded<License>, Error> {
        self.decide(tx, by, id, Decision::Revoked, "license.revoke", reason)
            .await
    }

    /// Said twice, a decision stands as it did and is on record twice.
    async fn decide(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        decision: Decision,
        action: &'static str,
        reason: String,
    ) -> Result<Recorded<License>, Error> {
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
