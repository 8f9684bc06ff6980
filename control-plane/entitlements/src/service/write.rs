//! What an operator sets. Everything is checked before it is stored, and shows at once on the
//! instance that stored it (ENT-12, ENT-44).

use std::sync::Arc;

use super::{Entitlements, Error};
use crate::driver::Change;
use crate::names::check_subject;
use crate::stored::{Assignment, Overrides, SetSwitch, Source, Switched};

/// Who assigns a tier, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Whether by hand or by billing.
    pub source: Source,
    /// The one who does it, by name or id.
    pub actor: String,
    /// Why, in their words.
    pub reason: Option<String>,
}

impl By {
    /// Somebody does it by hand.
    pub fn hand(actor: impl Into<String>) -> Self {
        Self {
            source: Source::Manual,
            actor: actor.into(),
            reason: None,
        }
    }

    /// Billing does it.
    pub fn billing(actor: impl Into<String>) -> Self {
        Self {
            source: Source::Billing,
            ..Self::hand(actor)
        }
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// Drops what is kept when a change ends, however it ends: also when nobody waits for it.
struct Forget<'e>(&'e Entitlements, Change<'e>);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.forget(self.1);
    }
}

impl Entitlements {
    /// Notes that a subject came to be, where its trial begins; whether it is new. The first
    /// change of a subject does that too.
    pub async fn create(&self, subject: &str) -> Result<bool, Error> {
        let _forget = self.changing(subject)?;
        Ok(self.0.driver.create(subject, self.0.clock.now()).await?)
    }

    /// Assigns a tier, and returns the assignment that it replaces. A tier that is none changes
    /// nothing (ENT-11). The default tier that is assigned stays when the default becomes another
    /// (ENT-14).
    pub async fn assign(
        &self,
        subject: &str,
        tier: &str,
        by: By,
    ) -> Result<Option<Assignment>, Error> {
        let _forget = self.changing(subject)?;
        self.0.catalog.check_tier(tier)?;
        let assignment = Assignment {
            tier: tier.into(),
            source: by.source,
            actor: by.actor,
            reason: by.reason,
            assigned_at: self.0.clock.now(),
        };
        Ok(self.0.driver.assign(subject, &assignment).await?)
    }

    /// Takes the assignment back, so that the subject follows the default tier (ENT-13); whether
    /// there was one.
    pub async fn unassign(&self, subject: &str) -> Result<bool, Error> {
        let _forget = self.changing(subject)?;
        Ok(self.0.driver.unassign(subject, self.0.clock.now()).await?)
    }

    /// Sets keys of the subject's overrides and leaves the others (ENT-18). One key that cannot
    /// be stored, and nothing is (ENT-21).
    pub async fn override_(&self, subject: &str, overrides: Overrides) -> Result<(), Error> {
        let _forget = self.changing(subject)?;
        let overrides = overrides.checked(&self.0.catalog)?;
        if overrides.is_empty() {
            return Ok(());
        }
        let now = self.0.clock.now();
        Ok(self
            .0
            .driver
            .merge_overrides(subject, &overrides, now)
            .await?)
    }

    /// Clears all overrides of the subject (ENT-22); whether there were any (ENT-25).
    pub async fn clear_override(&self, subject: &str) -> Result<bool, Error> {
        self.clear(subject, None).await
    }

    /// Clears the named overrides of the subject, features and limits alike; whether there were
    /// any. Names that are not there do not matter (ENT-23).
    pub async fn clear_override_keys(&self, subject: &str, keys: &[&str]) -> Result<bool, Error> {
        // A name that no catalog could have is not there.
        let keys = keys.iter().filter(|key| crate::names::is_key(key));
        let keys: Vec<Arc<str>> = keys.map(|key| Arc::from(*key)).collect();
        self.clear(subject, Some(&keys)).await
    }

    async fn clear(&self, subject: &str, keys: Option<&[Arc<str>]>) -> Result<bool, Error> {
        let _forget = self.changing(subject)?;
        let now = self.0.clock.now();
        Ok(self.0.driver.clear_overrides(subject, keys, now).await?)
    }

    /// Sets the subject's add-ons, in place of those it had. Their order counts: a later one's
    /// limits win (KUM-45).
    pub async fn set_add_ons(&self, subject: &str, add_ons: &[&str]) -> Result<(), Error> {
        let _forget = self.changing(subject)?;
        for add_on in add_ons {
            self.0.catalog.check_add_on(add_on)?;
        }
        let add_ons: Vec<Arc<str>> = add_ons.iter().map(|name| Arc::from(*name)).collect();
        let now = self.0.clock.now();
        Ok(self.0.driver.set_add_ons(subject, &add_ons, now).await?)
    }

    /// Switches a feature off for all subjects, or back to what they have (KUM-50). `None` when
    /// `expected` is given and is not the switch's version any more (KUM-54).
    pub async fn set_switch(
        &self,
        feature: &str,
        on: bool,
        actor: &str,
        expected: Option<i64>,
    ) -> Result<Option<Switched>, Error> {
        self.0.catalog.check_feature(feature)?;
        let _forget = Forget(self, Change::Everything);
        let switch = SetSwitch {
            feature,
            on,
            actor,
            expected,
        };
        Ok(self.0.driver.set_switch(switch, self.0.clock.now()).await?)
    }

    fn changing<'e>(&'e self, subject: &'e str) -> Result<Forget<'e>, Error> {
        check_subject(subject)?;
        Ok(Forget(self, Change::Subject(subject)))
    }
}
