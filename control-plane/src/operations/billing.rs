//! Take what a billing provider tells, and give customers the tier they pay for.
//!
//! What is known of a subscription and the tier that follows from it change in one transaction,
//! so there is no event that was taken and had no effect (where KUM-20 logs one and goes on).

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use jiff::SignedDuration;
use manifest::TierName;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::customer_tier::{state, state_of};
use super::{Error, Operations};
use crate::billing::Stripe;
use crate::billing::event::Told;
use crate::domain::billing::{News, Provider, Subscription};
use crate::domain::{AssignmentSource, CustomerTier, Event, Requester};
use crate::store::{Link, StoreError, Tx, customers, facts, subscriptions};

/// For how long an event is known to have been taken: for longer than Stripe keeps one. Taken
/// again after that, it would change nothing either.
pub const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(35 * 24);

const PROVIDER: Provider = Provider::Stripe;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was news.
    Applied,
    /// It was taken before (KUM-22).
    Duplicate,
    /// Something later was taken before.
    Outdated,
    /// It is kept, but nobody knows whose it is yet (KUM-27).
    NoCustomer,
    /// It is kept, but none of its prices stands for a tier (KUM-27).
    UnknownPrice,
}

impl Taken {
    /// Why it changed nothing, as the provider is told, unless it did.
    pub fn ignored(self) -> Option<&'static str> {
        match self {
            Self::Applied => None,
            Self::Duplicate => Some("duplicate"),
            Self::Outdated => Some("outdated"),
            Self::NoCustomer => Some("no_customer"),
            Self::UnknownPrice => Some("unknown_price"),
        }
    }
}

impl Operations {
    /// Takes what an event tells of a subscription, and has its customer's tier follow.
    pub async fn take_billing_event(&self, by: &Requester, told: Told) -> Result<Taken, Error> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let known = subscriptions::get(tx.link(), PROVIDER, &told.subscription).await?;
        let mut subscription = known
            .clone()
            .unwrap_or_else(|| Subscription::unknown(&told.subscription));
        let event_id = told.news.source().event.clone();
        let unknown_price = self.is_unknown_price(&told.news);
        let is_news = subscription.take(told.news);
        let customer = subscription.customer();
        if !subscriptions::take_event(&mut tx, PROVIDER, customer, &event_id, now).await? {
            // The first one may stand in this very transaction, not yet committed.
            tx.settled().await?;
            return Ok(Taken::Duplicate);
        }
        if let Some(customer) = customer {
            customers::create_if_new(&mut tx, customer, now).await?;
        }
        if !is_news {
            tx.commit_notes().await?;
            return Ok(Taken::Outdated);
        }
        subscriptions::put(&mut tx, PROVIDER, &subscription).await?;
        let event = Event {
            before: known.as_ref().map(shown),
            after: Some(shown(&subscription)),
            reason: Some(event_id.clone()),
            ..Event::new("billing.update_subscription", &subscription.id)
        };
        let recorded = tx.record(by, now, event, ()).await?;
        // It may have been another one's until now.
        let before = known.as_ref().and_then(Subscription::customer);
        for customer in before.into_iter().chain(customer).collect::<BTreeSet<_>>() {
            self.follow_billing(&mut tx, by, customer, &event_id)
                .await?;
        }
        let taken = match customer {
            None => Taken::NoCustomer,
            Some(_) if unknown_price => Taken::UnknownPrice,
            Some(_) => Taken::Applied,
        };
        tx.commit(recorded).await?;
        Ok(taken)
    }

    /// Gives every customer the tier that its subscriptions stand for, where prices or tiers are
    /// others than at the last start.
    pub async fn follow_prices(&self) -> Result<(), Error> {
        let Some(stripe) = &self.policy.stripe else {
            return Ok(());
        };
        let tiers: Vec<&str> = self
            .tiers
            .tiers()
            .map(|tier| tier.name().as_str())
            .collect();
        let text = format!("{}{}", stripe.prices(), tiers.join(">"));
        let digest = HEXLOWER.encode(&Sha256::digest(text));
        let mut tx = self.store.begin().await?;
        let before = facts::get(tx.link(), facts::BILLED_WITH).await?;
        if before.as_ref() == Some(&digest) {
            return Ok(());
        }
        facts::put(&mut tx, facts::BILLED_WITH, &digest).await?;
        let mut changed = 0;
        let by = Requester::system();
        for customer in subscriptions::customers(tx.link(), PROVIDER).await? {
            let reason = "prices or tiers were set anew";
            let followed = self.follow_billing(&mut tx, &by, &customer, reason).await?;
            changed += usize::from(followed);
        }
        let event = Event {
            before: before.map(Into::into),
            after: Some(json!({ "prices": digest, "customers": changed })),
            ..Event::new("billing.load_prices", &PROVIDER.as_str())
        };
        let recorded = tx.record(&by, self.clock.now(), event, ()).await?;
        Ok(tx.commit(recorded).await?)
    }

    /// Has a customer's tier follow its subscriptions. Writes nothing where it does (KUM-18), and
    /// leaves alone what an operator has assigned (KUM-13). Whether anything was written.
    async fn follow_billing(
        &self,
        tx: &mut Tx,
        by: &Requester,
        customer_id: &str,
        cause: &str,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let before = customers::get(tx.link(), customer_id).await?;
        let wanted = self.billed(tx.link(), customer_id).await?;
        let default = self.tiers.default_tier().name();
        let manual = before
            .as_ref()
            .is_some_and(|before| before.source == AssignmentSource::Manual);
        let has = before.as_ref().map(|before| &before.tier);
        if manual {
            let pays_for = wanted.as_ref().unwrap_or(default);
            if has == Some(pays_for) {
                return Ok(false);
            }
            let event = Event {
                before: before.as_ref().map(state),
                after: Some(json!({ "billedTier": pays_for })),
                reason: Some(format!("{cause}: the tier was assigned by hand")),
                ..Event::new("billing.skip", &customer_id)
            };
            tx.record(by, now, event, ()).await?.into_value();
            return Ok(true);
        }
        if has == wanted.as_ref() {
            return Ok(false);
        }
        let assigned = wanted.map(|tier| CustomerTier {
            customer_id: customer_id.to_owned(),
            tier,
            source: AssignmentSource::Billing,
            actor: by.actor.as_str().to_owned(),
            reason: Some(cause.to_owned()),
            assigned_at: now,
        });
        let concerns_gates = self
            .set_customer_tier(tx, customer_id, assigned.as_ref())
            .await?;
        let action = match assigned {
            Some(_) => "billing.assign_tier",
            None => "billing.release_tier",
        };
        let event = Event {
            before: state_of(before.as_ref()),
            after: state_of(assigned.as_ref()),
            reason: Some(cause.to_owned()),
            concerns_gates,
            ..Event::new(action, &customer_id)
        };
        tx.record(by, now, event, ()).await?.into_value();
        Ok(true)
    }

    /// The tier that a customer's subscriptions give: the highest of all that are in force. None
    /// where none is, or where nothing is set up for billing.
    pub(super) async fn billed(
        &self,
        link: Link<'_>,
        customer_id: &str,
    ) -> Result<Option<TierName>, StoreError> {
        let Some(stripe) = &self.policy.stripe else {
            return Ok(None);
        };
        let all = subscriptions::of_customer(link, PROVIDER, customer_id).await?;
        let given: BTreeSet<&TierName> = all
            .iter()
            .flat_map(Subscription::given)
            .filter_map(|price| stripe.tier(price))
            .collect();
        let mut highest_first = self.tiers.tiers().rev().map(manifest::Tier::name);
        Ok(highest_first.find(|name| given.contains(name)).cloned())
    }

    fn is_unknown_price(&self, news: &News) -> bool {
        let stands_for_a_tier =
            |stripe: &Stripe, prices: &[String]| prices.iter().any(|p| stripe.tier(p).is_some());
        match (news, &self.policy.stripe) {
            (News::Standing(standing), Some(stripe)) => {
                !stands_for_a_tier(stripe, &standing.prices)
            }
            _ => false,
        }
    }
}

/// A subscription as the audit log shows it.
fn shown(subscription: &Subscription) -> Value {
    json!({
        "provider": PROVIDER.as_str(),
        "customerId": subscription.customer(),
        "status": subscription.status(),
        "prices": subscription.standing.as_ref().map(|standing| &standing.prices),
        "periodEnd": subscription.standing.as_ref().and_then(|standing| standing.period_end),
        "invoicePaid": subscription.invoice.as_ref().map(|invoice| invoice.paid),
    })
}
