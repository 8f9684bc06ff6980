//! What a verified token grants, in as little memory as a million of them need: the three ids in
//! one text, the rest shared with whoever has the same.

use std::sync::Arc;

use activation_token::{Claims, Packages, Standing, Verified};
use jiff::Timestamp;
use manifest::{PackageSet, SetDigest, TierName};

use crate::package_sets::PackageSets;

/// What a token said, once it was verified. It can be made of a [`Verified`] token alone.
#[derive(Debug)]
pub(crate) struct Grant {
    standing: Standing,
    /// Customer, license and box, one after the other. Each has at most 200 bytes.
    ids: Box<str>,
    customer_len: u16,
    license_len: u16,
    has_box: bool,
    tier: TierName,
    packages: Granted,
    /// Memory that only this grant takes, in bytes, roughly: whoever brings a new set pays for
    /// it, even if others share it later.
    weight: u32,
}

/// The packages of a grant.
#[derive(Debug)]
pub(crate) enum Granted {
    /// These.
    Set(Arc<PackageSet>),
    /// Those of the set with this digest in the snapshot in force.
    Reference(SetDigest),
}

impl Grant {
    /// Keeps what the gate needs of a token. `tiers` are names to share.
    pub(crate) fn new<'t>(
        token: Verified,
        sets: &PackageSets,
        mut tiers: impl Iterator<Item = &'t TierName>,
    ) -> Self {
        /// A grant with its reference counts and the allocator's own part.
        const BASE: usize = size_of::<Grant>() + 48;
        /// A name of a set: its text, two pointers, a hash, an index.
        const PER_PACKAGE: usize = 96;

        let (standing, claims) = token.into_parts();
        let Claims {
            customer_id,
            license_id,
            box_id,
            tier,
            packages,
            ..
        } = claims;
        let tier = tiers.find(|known| **known == tier).cloned().unwrap_or(tier);
        let ids = [&*customer_id, &license_id, box_id.as_deref().unwrap_or("")].concat();
        let mut weight = BASE + ids.len();
        let packages = match packages {
            Packages::Listed(set) => {
                let held = sets.hold(set);
                if held.is_new {
                    weight += held.set.len() * PER_PACKAGE;
                }
                Granted::Set(held.set)
            }
            Packages::Reference(digest) => Granted::Reference(digest),
        };
        Self {
            standing,
            ids: ids.into_boxed_str(),
            // Claims with longer ids do not verify.
            customer_len: u16::try_from(customer_id.len()).unwrap_or(u16::MAX),
            license_len: u16::try_from(license_id.len()).unwrap_or(u16::MAX),
            has_box: box_id.is_some(),
            tier,
            packages,
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
        }
    }

    /// What has to be checked again at every request.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// When the token was made.
    pub(crate) fn issued_at(&self) -> Timestamp {
        self.standing.issued_at()
    }

    pub(crate) fn customer_id(&self) -> &str {
        self.id(0, self.customer_len.into())
    }

    pub(crate) fn license_id(&self) -> &str {
        self.id(self.customer_len.into(), self.license_len.into())
    }

    /// The box, when the activation bound one.
    pub(crate) fn box_id(&self) -> Option<&str> {
        let start = usize::from(self.customer_len) + usize::from(self.license_len);
        let id = || self.id(start, self.ids.len() - start);
        self.has_box.then(id)
    }

    /// The tier at the time of activation, to explain refusals by.
    pub(crate) fn tier(&self) -> &TierName {
        &self.tier
    }

    pub(crate) fn packages(&self) -> &Granted {
        &self.packages
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight
    }

    fn id(&self, start: usize, len: usize) -> &str {
        // INVARIANT: the parts that the text was put together from.
        self.ids.get(start..start + len).unwrap_or_default()
    }
}
