//! Assign a tier to a customer, or release the customer from it.

use serde_json::{Value, json};

use super::{Error, Operations};
use crate::domain::{
    AssignmentSource, CustomerTier, Event, FieldError, License, Refusal, Requester,
};
use crate::store::{Recorded, Tx, customers, licenses};

const CUSTOMER_ID_BYTES_MAX: usize = 200;

/// A customer and the tier it has, by an assignment or by default.
#[derive(Debug, Clone)]
pub struct CustomerStanding {
    /// Who.
    pub customer_id: String,
    /// The assignment, or none when the manifest's default holds.
    pub assigned: Option<CustomerTier>,
}

impl Operations {
    /// Assigns a tier by hand. Licenses that name no tier follow it from their next activation
    /// on; where it takes something away, their tokens from before are no longer good.
    pub async fn assign_customer_tier(
        &self,
        tx: &mut Tx,
        by: &Requester,
        customer_id: &str,
        tier: &str,
        reason: Option<String>,
    ) -> Result<Recorded<CustomerStanding>, Error> {
        check_customer(customer_id)?;
        let now = self.clock.now();
        let assigned = CustomerTier {
            customer_id: customer_id.to_owned(),
            tier: self.find_tier(tier)?.name().clone(),
            source: AssignmentSource::Manual,
            actor: by.actor.as_str().to_owned(),
            reason: reason.clone(),
            assigned_at: now,
        };
        let before = customers::get(tx.link(), customer_id).await?;
        let concerns_gates = self
            .narrow_followers(tx, customer_id, Some(&assigned))
            .await?;
        customers::put(tx, &assigned).await?;
        let event = Event {
            before: before.as_ref().map(state),
            after: Some(state(&assigned)),
            reason,
            concerns_gates,
            ..Event::new("customer.assign_tier", &customer_id)
        };
        let standing = CustomerStanding {
            customer_id: customer_id.to_owned(),
            assigned: Some(assigned),
        };
        Ok(tx.record(by, now, event, standing).await?)
    }

    /// Takes an assignment back, so that billing, or else the default, decides again.
    pub async fn release_customer_tier(
        &self,
        tx: &mut Tx,
        by: &Requester,
        customer_id: &str,
        reason: Option<String>,
    ) -> Result<Recorded<CustomerStanding>, Error> {
        check_customer(customer_id)?;
        let now = self.clock.now();
        let before = customers::get(tx.link(), customer_id).await?;
        let before = before.ok_or(Refusal::CustomerTierNotFound)?;
        let concerns_gates = self.narrow_followers(tx, customer_id, None).await?;
        customers::delete(tx, customer_id).await?;
        let event = Event {
            before: Some(state(&before)),
            reason,
            concerns_gates,
            ..Event::new("customer.release_tier", &customer_id)
        };
        let standing = CustomerStanding {
            customer_id: customer_id.to_owned(),
            assigned: None,
        };
        Ok(tx.record(by, now, event, standing).await?)
    }

    /// Ends the tokens of the customer's licenses that follow its tier and get less with the new
    /// one. Whether gates must know of any.
    async fn narrow_followers(
        &self,
        tx: &mut Tx,
        customer_id: &str,
        assigned: Option<&CustomerTier>,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut concerns_gates = false;
        for license in licenses::of_customer(tx.link(), customer_id, now).await? {
            let mut after = License {
                customer_tier: assigned.map(|assigned| assigned.tier.clone()),
                ..license.clone()
            };
            let step = self.step(&license, &after);
            if step.narrows {
                after.narrow(now);
                licenses::update(tx, &after).await?;
            }
            concerns_gates |= step.narrows || step.new_set;
        }
        Ok(concerns_gates)
    }
}

/// Whether this cannot be a customer's id.
pub(crate) fn check_customer(customer_id: &str) -> Result<(), Refusal> {
    Refusal::unless_all_hold([FieldError::in_text(
        "customerId",
        customer_id,
        CUSTOMER_ID_BYTES_MAX,
    )])
}

fn state(assigned: &CustomerTier) -> Value {
    json!({
        "tier": assigned.tier,
        "source": assigned.source,
        "actor": assigned.actor,
        "reason": assigned.reason,
        "assignedAt": assigned.assigned_at,
    })
}
