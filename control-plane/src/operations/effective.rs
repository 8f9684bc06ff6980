//! What a license amounts to under the manifest in force.

use std::sync::Arc;

use ::entitlements::{Overrides, Stored, Switches, resolve};
use jiff::Timestamp;
use manifest::{Limit, PackageName, PackageSet, Tier};

use super::{Fault, Operations};
use crate::domain::license::Scope;
use crate::domain::{License, Refusal};

/// The manifest's limit that counts boxes, where it declares one.
pub(super) const BOXES_LIMIT: &str = "boxes";

/// A license's tier, packages, seats and end.
#[derive(Debug, Clone)]
pub struct Effective<'t> {
    /// Its tier.
    pub tier: &'t Tier,
    /// The tier's packages and the add-ons, closed.
    pub packages: Arc<PackageSet>,
    /// How many boxes it may have.
    pub boxes: Limit,
    tokens_end: Option<Timestamp>,
}

impl Effective<'_> {
    /// To compare with what it amounts to after a change.
    pub fn scope(&self) -> Scope<'_> {
        Scope {
            packages: &self.packages,
            boxes: self.boxes,
            tokens_end: self.tokens_end,
        }
    }
}

/// What lies between a license and the same one after a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Something is taken away, so that tokens from before must not go on.
    pub(super) narrows: bool,
    /// Its packages are a set of its own, which gates may not have yet.
    pub(super) new_set: bool,
}

impl Operations {
    /// What a change of a license means for its tokens and the gates.
    pub(super) fn step(&self, before: &License, after: &License) -> Step {
        match (self.effective(before), self.effective(after)) {
            (Ok(was), Ok(is)) => Step {
                narrows: was.scope().is_narrowed_by(&is.scope()),
                new_set: !after.add_ons.is_empty() && was.packages != is.packages,
            },
            // A tier that the manifest no longer has: nothing can be said, so all must go.
            _ => Step {
                narrows: true,
                new_set: true,
            },
        }
    }

    /// What a license amounts to. A fault when it names what the manifest no longer has.
    pub fn effective(&self, license: &License) -> Result<Effective<'_>, Fault> {
        let dangling = || Fault::Dangling(license.id.to_string());
        let tier = self.tier_of(license).ok_or_else(dangling)?;
        let packages = self
            .package_set(tier, &license.add_ons)
            .map_err(|_| dangling())?;
        Ok(Effective {
            tier,
            packages,
            boxes: self.boxes_limit(license).ok_or_else(dangling)?,
            tokens_end: license.tokens_end(),
        })
    }

    /// The tier a license has now, if the manifest has it.
    pub fn tier_of(&self, license: &License) -> Option<&Tier> {
        match license.tier() {
            None => Some(self.tiers.default_tier()),
            Some(name) => self.tiers.tier(name.as_str()),
        }
    }

    /// How many boxes a license may have: its own number, else what its tier says and the
    /// customer's add-ons and override make of it. None when the manifest no longer has one of
    /// these.
    pub fn boxes_limit(&self, license: &License) -> Option<Limit> {
        if let Some(count) = license.max_boxes {
            return Some(Limit::Count(count.into()));
        }
        if self.catalog.check_limit(BOXES_LIMIT).is_err() {
            // A manifest that does not declare the limit does not count boxes.
            return Some(Limit::Unlimited);
        }
        let stored = Stored {
            tier: license.tier().map(|tier| tier.as_str().into()),
            add_ons: license.customer_add_ons.clone(),
            overrides: match license.customer_boxes {
                Some(limit) => Overrides::default().limit(BOXES_LIMIT, limit),
                None => Overrides::default(),
            },
            ..Stored::nothing_of(&*license.customer_id)
        };
        let effective = resolve(&self.catalog, &stored, &Switches::default()).ok()?;
        effective.limit(BOXES_LIMIT).ok()
    }

    /// The packages of a tier and add-ons.
    pub(super) fn package_set(
        &self,
        tier: &Tier,
        add_ons: &[PackageName],
    ) -> Result<Arc<PackageSet>, Refusal> {
        self.tiers.with_add_ons(tier, add_ons).map_err(|unknown| {
            Refusal::UnknownPackages(unknown.0.iter().map(ToString::to_string).collect())
        })
    }
}
