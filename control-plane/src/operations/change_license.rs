//! Change what a license says.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;

use super::issue_license::state;
use super::{Error, Operations, license};
use crate::domain::{Decision, Event, ExpiryStrategy, License, LicenseId, Refusal, Requester};
use crate::store::{Recorded, Tx, boxes, licenses};

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
        self.check_change(&change)?;
        let before = license(tx, id, now).await?;
        if before.decision == Decision::Revoked {
            return Err(Refusal::LicenseRevoked.into());
        }
        let reason = change.reason.clone();
        let mut after = self.changed(before.clone(), change)?;
        self.check_fields(&after, None)?;
        self.check_add_ons(&after)?;
        let step = self.step(&before, &after);
        if step.narrows {
            after.narrow(now);
        }
        if let Some(lease) = before.lease_seconds
            && before.lease_seconds != after.lease_seconds
        {
            // A seat that was lost may have gone to another box: a longer lease brings none back.
            let lease = SignedDuration::from_secs(lease.into());
            let heard_until = now.saturating_sub(lease).unwrap_or(Timestamp::MIN);
            boxes::forget_silent(tx, id, heard_until).await?;
        }
        licenses::update(tx, &after).await?;
        // The seats that are taken depend on the lease.
        let after = license(tx, id, now).await?;
        let event = Event {
            before: Some(state(&before)),
            after: Some(state(&after)),
            reason,
            concerns_gates: step.narrows || step.new_set,
            ..Event::new("license.change", id)
        };
        Ok(tx.record(by, now, event, after).await?)
    }

    /// What is wrong with a change, whichever license it is for.
    fn check_change(&self, change: &LicenseChange) -> Result<(), Refusal> {
        let metadata = change.metadata.iter();
        let metadata =
            metadata.map(|(key, value)| (key.clone(), value.clone().unwrap_or_default()));
        let stand_in = License {
            id: LicenseId::new(Timestamp::UNIX_EPOCH, &[0; 10]),
            customer_id: "any".to_owned(),
            tier: None,
            customer_tier: None,
            decision: Decision::Active,
            expires_at: Some(Timestamp::MAX),
            expiry_strategy: ExpiryStrategy::default(),
            grace_seconds: change.grace_seconds.unwrap_or(0),
            max_boxes: change.max_boxes.flatten(),
            lease_seconds: change.lease_seconds.flatten(),
            add_ons: change.add_ons.clone().unwrap_or_default(),
            metadata: metadata.collect(),
            narrowed_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            boxes_used: 0,
        };
        self.check_fields(&stand_in, None)?;
        self.tier_name(change.tier.as_ref().and_then(Option::as_deref))?;
        self.check_add_ons(&stand_in)
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
