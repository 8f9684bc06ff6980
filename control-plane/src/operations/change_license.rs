//! Change what a license says.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;

use super::issue_license::state;
use super::{Error, Operations, license};
use crate::domain::{
    Decision, Event, ExpiryStrategy, License, LicenseId, Patch, Refusal, Requester,
};
use crate::store::{Recorded, Tx, boxes, licenses};

/// What is to change.
#[derive(Debug, Clone, Default)]
pub struct LicenseChange {
    /// The tier; cleared, it follows the customer's.
    pub tier: Patch<String>,
    /// The end; cleared, there is none.
    pub expires_at: Patch<Timestamp>,
    /// What happens then.
    pub expiry_strategy: Patch<ExpiryStrategy>,
    /// For how many seconds it is good after the expiry.
    pub grace_seconds: Patch<u32>,
    /// How many boxes; cleared, the tier's limit counts.
    pub max_boxes: Patch<u32>,
    /// For how many seconds a silent box keeps its seat; cleared, for ever.
    pub lease_seconds: Patch<u32>,
    /// Packages beyond the tier, in place of all there were.
    pub add_ons: Patch<Vec<PackageName>>,
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
            boxes::forget_silent(tx, id, heard_until, now).await?;
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
            customer_boxes: None,
            customer_add_ons: Vec::new(),
            decision: Decision::Active,
            expires_at: Some(Timestamp::MAX),
            expiry_strategy: ExpiryStrategy::default(),
            grace_seconds: change.grace_seconds.apply_or_default(0),
            max_boxes: change.max_boxes.apply(None),
            lease_seconds: change.lease_seconds.apply(None),
            add_ons: change.add_ons.value().cloned().unwrap_or_default(),
            metadata: metadata.collect(),
            narrowed_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            boxes_used: 0,
        };
        self.check_fields(&stand_in, None)?;
        self.tier_name(change.tier.value().map(String::as_str))?;
        self.check_add_ons(&stand_in)
    }

    fn changed(&self, mut license: License, change: LicenseChange) -> Result<License, Refusal> {
        match change.tier {
            Patch::Keep => {}
            Patch::Clear => license.tier = None,
            Patch::Set(tier) => license.tier = Some(self.find_tier(&tier)?.name().clone()),
        }
        for (key, value) in change.metadata {
            match value {
                Some(value) => license.metadata.insert(key, value),
                None => license.metadata.remove(&key),
            };
        }
        Ok(License {
            expires_at: change.expires_at.apply(license.expires_at),
            expiry_strategy: change
                .expiry_strategy
                .apply_or_default(license.expiry_strategy),
            grace_seconds: change.grace_seconds.apply_or_default(license.grace_seconds),
            max_boxes: change.max_boxes.apply(license.max_boxes),
            lease_seconds: change.lease_seconds.apply(license.lease_seconds),
            add_ons: change.add_ons.apply_or_default(license.add_ons),
            ..license
        })
    }
}
