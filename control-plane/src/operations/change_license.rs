//! Change what a license says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use manifest::PackageName;

use super::issue_license::state;
use super::{Error, Operations, license};
use crate::domain::{Decision, Event, ExpiryStrategy, License, LicenseId, Refusal, Requester};
use crate::store::{Recorded, Tx, licenses};

/// What is to change; what is none stays. Where a member may be taken away, the inner none does.
#[derive(Debug, Clone, Default)]
pub struct LicenseChange {
    /// The tier, or none to follow the customer's.
    pub tier: Option<Option<String>>,
    /// The end, or none for ever.
    pub expires_at: Option<Option<Timestamp>>,
    /// What happens then.
    pub expiry_strategy: Option<ExpiryStrategy>,
    /// For how many seconds it is good after the expiry.
    pub grace_seconds: Option<u32>,
    /// How many boxes, or none to follow the tier's limit.
    pub max_boxes: Option<Option<u32>>,
    /// For how many seconds a silent box keeps its seat, or none for ever.
    pub lease_seconds: Option<Option<u32>>,
    /// Packages beyond the tier, in place of all there were.
    pub add_ons: Option<Vec<PackageName>>,
    /// Notes to set, or with none to take away.
    pub metadata: BTreeMap<String, Option<String>>,
    /// Why.
    pub reason: Option<String>,
}

impl Operations {
    /// Changes a license. What takes something away makes its tokens from before no longer good.
    pub async fn change_license(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        change: LicenseChange,
    ) -> Result<Recorded<License>, Error> {
        let now = self.clock.now();
        let before = license(tx, id, now).await?;
        if before.decision == Decision::Revoked {
            return Err(Refusal::LicenseRevoked.into());
        }
        let reason = change.reason.clone();
        let mut after = self.changed(before.clone(), change)?;
        self.check_license(&after, None)?;
        // A tier that the manifest no longer has granted nothing that could be taken away.
        let narrows = match (self.effective(&before), self.effective(&after)) {
            (Ok(before), Ok(after)) => before.scope().is_narrowed_by(&after.scope()),
            _ => true,
        };
        if narrows {
            after.narrowed_at = Some(now);
        }
        licenses::update(tx, &after).await?;
        let event = Event {
            before: Some(state(&before)),
            after: Some(state(&after)),
            reason,
            concerns_gates: narrows || before.add_ons != after.add_ons,
            ..Event::new("license.change", id)
        };
        Ok(tx.record(by, now, event, after).await?)
    }

    fn changed(&self, mut license: License, change: LicenseChange) -> Result<License, Refusal> {
        if let Some(tier) = change.tier {
            license.tier = self.tier_name(tier.as_deref())?;
        }
        for (key, value) in change.metadata {
            match value {
                Some(value) => license.metadata.insert(key, value),
                None => license.metadata.remove(&key),
            };
        }
        Ok(License {
            expires_at: change.expires_at.unwrap_or(license.expires_at),
            expiry_strategy: change.expiry_strategy.unwrap_or(license.expiry_strategy),
            grace_seconds: change.grace_seconds.unwrap_or(license.grace_seconds),
            max_boxes: change.max_boxes.unwrap_or(license.max_boxes),
            lease_seconds: change.lease_seconds.unwrap_or(license.lease_seconds),
            add_ons: change.add_ons.unwrap_or(license.add_ons),
            ..license
        })
    }
}
