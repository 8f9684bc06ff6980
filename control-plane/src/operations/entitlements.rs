//! What subjects may do: read it, and change what they have beside their tier.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::entitlements::{OverrideError, Overrides, SetSwitch, Switch, resolve};
use manifest::Limit;
use serde_json::{Value, json};

use super::effective::BOXES_LIMIT;
use super::{Error, Fault, Operations};
use crate::domain::subject::{SUBJECT_BYTES_MAX, SubjectStanding};
use crate::domain::{Event, FieldError, License, Refusal, Requester};
use crate::store::{Link, Recorded, Tx, customers, entitlements as rows, premium};

const NOTHING_NAMED: &str = "or `limits` must name what to override";

/// Which overrides are cleared.
#[derive(Debug, Clone, Default)]
pub struct Cleared {
    /// Of these features.
    pub features: Vec<String>,
    /// Of these limits.
    pub limits: Vec<String>,
}

/// A switch after it was set.
#[derive(Debug, Clone)]
pub struct SwitchChange {
    /// The feature.
    pub feature: String,
    /// Whether it may be on at all.
    pub on: bool,
    /// The version that the switch must still have; 0 for one that was never set.
    pub expected: Option<i64>,
    /// Why.
    pub reason: Option<String>,
}

impl Operations {
    /// How a subject stands. Whoever asks what a subject may do, asks here: nothing of it is kept,
    /// so a change holds from the very next question on (KUM-32).
    pub async fn entitlements_of(
        &self,
        mut link: Link<'_>,
        subject: &str,
    ) -> Result<SubjectStanding, Error> {
        check_subject(subject)?;
        let mut stored = rows::load(link.again(), subject).await?;
        let assigned = customers::get(link.again(), subject).await?;
        stored.tier = assigned
            .as_ref()
            .map(|assigned| assigned.tier.as_str().into());
        let switches = rows::switches(link.again()).await?;
        let effective = resolve(&self.catalog, &stored, &switches).map_err(Fault::from)?;
        // Nobody is looked up of whom nothing hangs on it.
        let premium = effective.has_premium() && premium::status(link, subject).await?.is_premium();
        Ok(SubjectStanding {
            stored,
            assigned,
            switches,
            premium,
            effective,
        })
    }

    /// Sets overrides of a subject and leaves its others (ENT-18).
    pub async fn override_subject(
        &self,
        tx: &mut Tx,
        by: &Requester,
        subject: &str,
        change: Overrides,
        reason: Option<String>,
    ) -> Result<Recorded<SubjectStanding>, Error> {
        let nothing = change.is_empty();
        let nothing = nothing.then(|| FieldError::new("features", NOTHING_NAMED));
        Refusal::unless_all_hold([subject_error(subject), nothing])?;
        let change = change.checked(&self.catalog).map_err(Refusal::from)?;
        let now = self.clock.now();
        let before = rows::load(tx.link(), subject).await?.overrides;
        let boxes = change.limits.get(BOXES_LIMIT);
        let boxes = boxes.or(before.limits.get(BOXES_LIMIT)).copied();
        let concerns_gates = self.override_boxes(tx, subject, &before, boxes).await?;
        customers::create_if_new(tx, subject, now).await?;
        rows::merge(tx, subject, &change, now).await?;
        let event = Event {
            before: Some(state(&before)),
            reason,
            concerns_gates,
            ..Event::new("subject.override", &subject)
        };
        self.overridden(tx, by, subject, event).await
    }

    /// Clears overrides of a subject: some, or all. Those that are not there are passed over
    /// (ENT-23), and a subject without any is no error (ENT-25).
    pub async fn clear_overrides(
        &self,
        tx: &mut Tx,
        by: &Requester,
        subject: &str,
        which: Option<Cleared>,
        reason: Option<String>,
    ) -> Result<Recorded<SubjectStanding>, Error> {
        check_subject(subject)?;
        let before = rows::load(tx.link(), subject).await?.overrides;
        let all = which.is_none();
        let Cleared { features, limits } = which.unwrap_or_default();
        let boxes = before.limits.get(BOXES_LIMIT).copied();
        let boxes = boxes.filter(|_| !all && !limits.iter().any(|name| name == BOXES_LIMIT));
        let concerns_gates = self.override_boxes(tx, subject, &before, boxes).await?;
        if all {
            rows::clear(tx, subject).await?;
        } else {
            let features = features.into_iter().map(Arc::from);
            let features = features.filter(|name| before.features.contains_key(name));
            let limits = limits.into_iter().map(Arc::from);
            let limits = limits.filter(|name| before.limits.contains_key(name));
            let keys: Vec<Arc<str>> = features.chain(limits).collect();
            rows::clear_keys(tx, subject, &keys, self.clock.now()).await?;
        }
        let event = Event {
            before: Some(state(&before)),
            reason,
            concerns_gates,
            ..Event::new("subject.clear_override", &subject)
        };
        self.overridden(tx, by, subject, event).await
    }

    /// Has licenses follow what the override will say of the limit of boxes. Whether gates must
    /// know.
    async fn override_boxes(
        &self,
        tx: &mut Tx,
        subject: &str,
        before: &Overrides,
        boxes: Option<Limit>,
    ) -> Result<bool, Error> {
        if before.limits.get(BOXES_LIMIT).copied() == boxes {
            return Ok(false);
        }
        let follow = |license: &mut License| license.customer_boxes = boxes;
        self.narrow_followers(tx, subject, follow).await
    }

    /// Writes down what became of a subject's overrides.
    async fn overridden(
        &self,
        tx: &mut Tx,
        by: &Requester,
        subject: &str,
        event: Event,
    ) -> Result<Recorded<SubjectStanding>, Error> {
        let standing = self.entitlements_of(tx.link(), subject).await?;
        let event = Event {
            after: Some(state(&standing.stored.overrides)),
            ..event
        };
        Ok(tx.record(by, self.clock.now(), event, standing).await?)
    }

    /// Sets the add-ons of a subject, in place of those it had. Of one that is named twice, the
    /// first counts (KUM-44).
    pub async fn set_add_ons(
        &self,
        tx: &mut Tx,
        by: &Requester,
        subject: &str,
        add_ons: Vec<String>,
        reason: Option<String>,
    ) -> Result<Recorded<SubjectStanding>, Error> {
        check_subject(subject)?;
        let mut seen = BTreeSet::new();
        let mut after: Vec<Arc<str>> = Vec::new();
        for name in add_ons {
            let known = self.catalog.check_add_on(&name);
            known.map_err(Refusal::UnknownName)?;
            if seen.insert(name.clone()) {
                after.push(name.into());
            }
        }
        let now = self.clock.now();
        let before = rows::load(tx.link(), subject).await?.add_ons;
        customers::create_if_new(tx, subject, now).await?;
        let follow = |license: &mut License| license.customer_add_ons.clone_from(&after);
        let concerns_gates = self.narrow_followers(tx, subject, follow).await?;
        rows::set_add_ons(tx, subject, &after, now).await?;
        let standing = self.entitlements_of(tx.link(), subject).await?;
        let event = Event {
            before: Some(json!({ "addOns": before })),
            after: Some(json!({ "addOns": after })),
            reason,
            concerns_gates,
            ..Event::new("subject.set_add_ons", &subject)
        };
        Ok(tx.record(by, now, event, standing).await?)
    }

    /// The switches: one for each feature, in the declared order. One that was never set is on,
    /// and of version 0.
    pub async fn switches(&self, link: Link<'_>) -> Result<Vec<SwitchStanding>, Error> {
        let mut set = rows::set_switches(link).await?;
        let features = self.catalog.features();
        let standing = features.map(|feature| {
            let at = set.iter().position(|switch| *switch.feature == **feature);
            SwitchStanding {
                feature: Arc::clone(feature),
                set: at.map(|at| set.swap_remove(at)),
            }
        });
        Ok(standing.collect())
    }

    /// Switches a feature for all subjects at once: off takes it from everybody, on gives it to
    /// nobody (KUM-50). Each time is written down, also when nothing changes (KUM-48).
    pub async fn set_switch(
        &self,
        tx: &mut Tx,
        by: &Requester,
        change: SwitchChange,
    ) -> Result<Recorded<SwitchStanding>, Error> {
        let SwitchChange {
            feature,
            on,
            expected,
            reason,
        } = change;
        let known = self.catalog.check_feature(&feature);
        known.map_err(Refusal::UnknownName)?;
        let now = self.clock.now();
        let actor = by.actor.as_str();
        let switch = SetSwitch {
            feature: &feature,
            on,
            actor,
            expected,
        };
        let set = rows::set_switch(tx, switch, now).await?;
        let set = set.ok_or(Refusal::SwitchChanged)?;
        let event = Event {
            before: set.before.map(|on| json!({ "on": on })),
            after: Some(json!({ "on": on, "version": set.version })),
            reason,
            ..Event::new("switch.set", &feature)
        };
        let standing = SwitchStanding {
            feature: feature.as_str().into(),
            set: Some(Switch {
                on,
                version: set.version,
                actor: actor.to_owned(),
                updated_at: now,
                feature,
            }),
        };
        Ok(tx.record(by, now, event, standing).await?)
    }

    /// Fails when a subject has an add-on that the manifest no longer has.
    pub(super) async fn check_add_ons_in_use(&self, link: Link<'_>) -> Result<(), Error> {
        for name in rows::add_ons_in_use(link).await? {
            let known = self.catalog.check_add_on(&name);
            known.map_err(|unknown| Fault::Dangling(format!("of a subject: {unknown}")))?;
        }
        Ok(())
    }
}

/// A feature's switch.
#[derive(Debug, Clone)]
pub struct SwitchStanding {
    /// The feature.
    pub feature: Arc<str>,
    /// How it was set, if it ever was.
    pub set: Option<Switch>,
}

/// Whether this can be a subject: a customer's id, a user's, whatever the vendor goes by.
pub(crate) fn check_subject(subject: &str) -> Result<(), Refusal> {
    Refusal::unless_all_hold([subject_error(subject)])
}

fn subject_error(subject: &str) -> Option<FieldError> {
    FieldError::in_text("subject", subject, SUBJECT_BYTES_MAX)
}

impl From<OverrideError> for Refusal {
    fn from(error: OverrideError) -> Self {
        match error {
            OverrideError::Unknown(unknown) => Self::UnknownName(unknown),
            large @ OverrideError::TooLarge { .. } => {
                Self::InvalidFields(vec![FieldError::new("limits", large.to_string())])
            }
        }
    }
}

/// Overrides as the audit log shows them: `null` is unlimited.
fn state(overrides: &Overrides) -> Value {
    json!({ "features": overrides.features, "limits": overrides.limits })
}
