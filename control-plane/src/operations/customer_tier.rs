//! Assign a tier to a customer, or release the customer from it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Error, Operations};
use crate::domain::subject::SUBJECT_BYTES_MAX;
use crate::domain::{
    AssignmentSource, Customer, CustomerTier, Event, FieldError, License, Refusal, Requester,
};
use crate::store::{Recorded, StoreError, Tx, customers, licenses};

/// A customer and the tier it has, by an assignment or by default.
#[derive(Debug, Clone)]
pub struct CustomerStanding {
    /// Who.
    pub customer_id: String,
    /// Since when it is known, if it is.
    pub created_at: Option<Timestamp>,
    /// The assignment, or none when the manifest's default holds.
    pub assigned: Option<CustomerTier>,
}

impl From<Customer> for CustomerStanding {
    fn from(customer: Customer) -> Self {
        Self {
            customer_id: customer.id,
            created_at: Some(customer.created_at),
            assigned: customer.assigned,
        }
    }
}

/// An assignment by hand.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// How the customer stands now.
    pub standing: CustomerStanding,
    /// Whether nothing was assigned before (KUM-3).
    pub is_new: bool,
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
    ) -> Result<Recorded<Assigned>, Error> {
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
        customers::create_if_new(tx, customer_id, now).await?;
        let concerns_gates = self
            .set_customer_tier(tx, customer_id, Some(&assigned))
            .await?;
        let event = Event {
            before: state_of(before.as_ref()),
            after: Some(state(&assigned)),
            reason,
            concerns_gates,
            ..Event::new("customer.assign_tier", &customer_id)
        };
        let assigned = Assigned {
            is_new: before.is_none(),
            standing: customer(tx, customer_id).await?,
        };
        Ok(tx.record(by, now, event, assigned).await?)
    }

    /// Takes an assignment back, so that billing decides again where it knows of a subscription
    /// in force, and else the default.
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
        let billed = self.billed(tx.link(), customer_id).await?;
        if before.source == AssignmentSource::Billing && billed.as_ref() == Some(&before.tier) {
            return Err(Refusal::CustomerTierBilled.into());
        }
        let assigned = billed.map(|tier| CustomerTier {
            customer_id: customer_id.to_owned(),
            tier,
            source: AssignmentSource::Billing,
            actor: by.actor.as_str().to_owned(),
            reason: reason.clone(),
            assigned_at: now,
        });
        let concerns_gates = self
            .set_customer_tier(tx, customer_id, assigned.as_ref())
            .await?;
        let event = Event {
            before: Some(state(&before)),
            after: state_of(assigned.as_ref()),
            reason,
            concerns_gates,
            ..Event::new("customer.release_tier", &customer_id)
        };
        let standing = customer(tx, customer_id).await?;
        Ok(tx.record(by, now, event, standing).await?)
    }

    /// Assigns a tier or takes it back. Whether gates must know.
    pub(super) async fn set_customer_tier(
        &self,
        tx: &mut Tx,
        customer_id: &str,
        assigned: Option<&CustomerTier>,
    ) -> Result<bool, Error> {
        let tier = assigned.map(|assigned| &assigned.tier);
        let follow = |license: &mut License| license.customer_tier = tier.cloned();
        let concerns_gates = self.narrow_followers(tx, customer_id, follow).await?;
        match assigned {
            Some(assigned) => customers::put(tx, assigned).await?,
            None => customers::delete(tx, customer_id).await?,
        }
        Ok(concerns_gates)
    }

    /// Ends the tokens of the customer's licenses that get less by what changes for them. Whether
    /// gates must know of any.
    pub(super) async fn narrow_followers(
        &self,
        tx: &mut Tx,
        customer_id: &str,
        change: impl Fn(&mut License),
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut concerns_gates = false;
        for license in licenses::of_customer(tx.link(), customer_id, now).await? {
            let mut after = license.clone();
            change(&mut after);
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
        SUBJECT_BYTES_MAX,
    )])
}

/// How a customer stands, as this transaction sees it.
async fn customer(tx: &mut Tx, customer_id: &str) -> Result<CustomerStanding, StoreError> {
    Ok(CustomerStanding {
        customer_id: customer_id.to_owned(),
        created_at: customers::created_at(tx.link(), customer_id).await?,
        assigned: customers::get(tx.link(), customer_id).await?,
    })
}

/// An assignment as the audit log shows it, where there is one.
pub(super) fn state_of(assigned: Option<&CustomerTier>) -> Option<Value> {
    assigned.map(state)
}

/// An assignment as the audit log shows it.
pub(super) fn state(assigned: &CustomerTier) -> Value {
    json!({
        "tier": assigned.tier,
        "source": assigned.source,
        "actor": assigned.actor,
        "reason": assigned.reason,
        "assignedAt": assigned.assigned_at,
    })
}
