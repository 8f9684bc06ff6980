//! Entitlements in memory: for tests, and for services that assign at every start.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Driver, DriverError};
use crate::stored::{
    After, Assignment, Configured, Overrides, SetSwitch, Stored, Switch, Switched, Switches,
};

/// Keeps entitlements in memory. Clones share what they keep.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    subjects: BTreeMap<String, Subject>,
    switches: BTreeMap<String, Switch>,
}

#[derive(Debug)]
struct Subject {
    created_at: Timestamp,
    assignment: Option<Assignment>,
    overrides: Overrides,
    overridden_at: Timestamp,
    add_ons: Vec<Arc<str>>,
    bought_at: Timestamp,
}

impl Memory {
    /// Keeps nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that is done under the lock can end half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn subject(&mut self, name: &str, now: Timestamp) -> &mut Subject {
        let subject = self.subjects.entry(name.to_owned());
        subject.or_insert_with(|| Subject {
            created_at: now,
            assignment: None,
            overrides: Overrides::default(),
            overridden_at: now,
            add_ons: Vec::new(),
            bought_at: now,
        })
    }
}

impl Subject {
    fn configured(&self, name: &str) -> Option<Configured> {
        let assigned_at = self.assignment.as_ref().map(|given| given.assigned_at);
        let overridden_at = (!self.overrides.is_empty()).then_some(self.overridden_at);
        let bought_at = (!self.add_ons.is_empty()).then_some(self.bought_at);
        Some(Configured {
            subject: name.to_owned(),
            assigned: assigned_at.is_some(),
            overridden: overridden_at.is_some(),
            add_ons: bought_at.is_some(),
            configured_at: assigned_at.max(overridden_at).max(bought_at)?,
        })
    }
}

#[async_trait]
impl Driver for Memory {
    async fn setup(&self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn load(&self, subject: &str) -> Result<(Stored, Switches), DriverError> {
        let kept = self.kept();
        let mut stored = Stored::nothing_of(subject);
        if let Some(subject) = kept.subjects.get(subject) {
            let tier = subject.assignment.as_ref();
            stored.tier = tier.map(|given| Arc::clone(&given.tier));
            stored.add_ons.clone_from(&subject.add_ons);
            stored.overrides = subject.overrides.clone();
            stored.created_at = Some(subject.created_at);
        }
        let switches = kept.switches.values();
        let switches = switches.map(|switch| (switch.feature.as_str().into(), switch.on));
        Ok((stored, Switches(switches.collect())))
    }

    async fn create(&self, subject: &str, now: Timestamp) -> Result<bool, DriverError> {
        let mut kept = self.kept();
        let new = !kept.subjects.contains_key(subject);
        kept.subject(subject, now);
        Ok(new)
    }

    async fn assignment(&self, subject: &str) -> Result<Option<Assignment>, DriverError> {
        let kept = self.kept();
        let subject = kept.subjects.get(subject);
        Ok(subject.and_then(|subject| subject.assignment.clone()))
    }

    async fn assign(
        &self,
        subject: &str,
        assignment: &Assignment,
    ) -> Result<Option<Assignment>, DriverError> {
        let mut kept = self.kept();
        let subject = kept.subject(subject, assignment.assigned_at);
        Ok(subject.assignment.replace(assignment.clone()))
    }

    async fn unassign(&self, subject: &str, now: Timestamp) -> Result<bool, DriverError> {
        let before = self.kept().subject(subject, now).assignment.take();
        Ok(before.is_some())
    }

    async fn merge_overrides(
        &self,
        subject: &str,
        overrides: &Overrides,
        now: Timestamp,
    ) -> Result<(), DriverError> {
        let mut kept = self.kept();
        let subject = kept.subject(subject, now);
        let Overrides { features, limits } = overrides.clone();
        subject.overrides.features.extend(features);
        subject.overrides.limits.extend(limits);
        subject.overridden_at = now;
        Ok(())
    }

    async fn clear_overrides(
        &self,
        subject: &str,
        keys: Option<&[Arc<str>]>,
        now: Timestamp,
    ) -> Result<bool, DriverError> {
        let mut kept = self.kept();
        let subject = kept.subject(subject, now);
        let before = subject.overrides.clone();
        let Overrides { features, limits } = &mut subject.overrides;
        features.retain(|name, _| keys.is_some_and(|keys| !keys.contains(name)));
        limits.retain(|name, _| keys.is_some_and(|keys| !keys.contains(name)));
        let cleared = subject.overrides != before;
        if cleared {
            subject.overridden_at = now;
        }
        Ok(cleared)
    }

    async fn set_add_ons(
        &self,
        subject: &str,
        add_ons: &[Arc<str>],
        now: Timestamp,
    ) -> Result<(), DriverError> {
        let mut kept = self.kept();
        let subject = kept.subject(subject, now);
        subject.add_ons = add_ons.to_vec();
        subject.bought_at = now;
        Ok(())
    }

    async fn subjects(
        &self,
        after: Option<After<'_>>,
        limit: u32,
    ) -> Result<Vec<Configured>, DriverError> {
        let kept = self.kept();
        let subjects = kept.subjects.iter();
        let configured = subjects.filter_map(|(name, subject)| subject.configured(name));
        let mut listed: Vec<Configured> = configured
            .filter(|found| {
                let key = (Reverse(found.configured_at), found.subject.as_str());
                after.is_none_or(|after| key > (Reverse(after.configured_at), after.subject))
            })
            .collect();
        // By name they are in order already.
        listed.sort_by_key(|found| Reverse(found.configured_at));
        listed.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(listed)
    }

    async fn switches(&self) -> Result<Vec<Switch>, DriverError> {
        Ok(self.kept().switches.values().cloned().collect())
    }

    async fn set_switch(
        &self,
        switch: SetSwitch<'_>,
        now: Timestamp,
    ) -> Result<Option<Switched>, DriverError> {
        let mut kept = self.kept();
        let before = kept.switches.get(switch.feature);
        let version = before.map_or(0, |before| before.version);
        if switch.expected.is_some_and(|expected| expected != version) {
            return Ok(None);
        }
        let before = before.map(|before| before.on);
        let version = version.saturating_add(1);
        kept.switches.insert(
            switch.feature.to_owned(),
            Switch {
                feature: switch.feature.to_owned(),
                on: switch.on,
                version,
                actor: switch.actor.to_owned(),
                updated_at: now,
            },
        );
        Ok(Some(Switched { before, version }))
    }
}
