//! Issue a license.

use std::collections::BTreeMap;

use activation_token::credential::new_secret;
use jiff::Timestamp;
use manifest::PackageName;
use secrecy::SecretString;

use super::{Error, Operations};
use crate::domain::{Event, FieldError, License, LicenseId, LicenseStatus, Refusal, Requester};
use crate::entropy::random;
use crate::store::licenses;

const CUSTOMER_ID_BYTES_MAX: usize = 200;
const ADD_ONS_MAX: usize = 100;
const METADATA_MAX: usize = 50;
const METADATA_BYTES_MAX: usize = 500;

/// What the operator asks for.
#[derive(Debug, Clone, Default)]
pub struct NewLicense {
    /// Who bought.
    pub customer_id: String,
    /// The tier, or none to follow the customer's.
    pub tier: Option<String>,
    /// From when on it is no longer good, if ever.
    pub expires_at: Option<Timestamp>,
    /// How many boxes, or none to follow the tier's `boxes` limit.
    pub max_boxes: Option<u32>,
    /// Packages beyond the tier.
    pub add_ons: Vec<PackageName>,
    /// The vendor's own notes.
    pub metadata: BTreeMap<String, String>,
}

impl Operations {
    /// Issues a license and returns it with its key, which is shown this once (POT-20).
    pub async fn issue_license(
        &self,
        requester: &Requester,
        new: NewLicense,
    ) -> Result<(License, SecretString), Error> {
        let now = self.clock.now();
        check_fields(&new, now)?;
        let tier = new
            .tier
            .as_deref()
            .map(|name| self.find_tier(name))
            .transpose()?;
        self.package_set(tier.unwrap_or(self.tiers.default_tier()), &new.add_ons)?;

        let key = new_secret(&self.policy.license_key_prefix, &random(&*self.entropy)?);
        let license = License {
            id: self.fresh(LicenseId::new)?,
            customer_id: new.customer_id,
            tier: tier.map(|tier| tier.name().clone()),
            status: LicenseStatus::Active,
            expires_at: new.expires_at,
            max_boxes: new.max_boxes,
            add_ons: new.add_ons,
            metadata: new.metadata,
            created_at: now,
        };
        let mut tx = self.store.begin().await?;
        licenses::insert(tx.link(), &license, self.license_key_digest(&key)).await?;
        let event = Event {
            after: Some(serde_json::json!({
                "customerId": license.customer_id,
                "tier": license.tier,
                "expiresAt": license.expires_at,
                "maxBoxes": license.max_boxes,
                "addOns": license.add_ons,
                "metadata": license.metadata,
            })),
            // Only add-ons make a package set that gates do not have yet.
            concerns_gates: !license.add_ons.is_empty(),
            ..Event::new("license.issue", &license.id)
        };
        tx.commit(requester, now, event).await?;
        Ok((license, key))
    }
}

fn check_fields(new: &NewLicense, now: Timestamp) -> Result<(), Refusal> {
    let too_long = |text: &String| text.len() > METADATA_BYTES_MAX;
    let metadata_fits = new.metadata.len() <= METADATA_MAX
        && !new
            .metadata
            .iter()
            .any(|(key, value)| too_long(key) || too_long(value));
    Refusal::unless_all_hold([
        FieldError::in_text("customerId", &new.customer_id, CUSTOMER_ID_BYTES_MAX),
        FieldError::in_expiry("expiresAt", new.expires_at, now),
        (new.max_boxes == Some(0)).then(|| {
            FieldError::new(
                "maxBoxes",
                "must be at least 1; leave it out for the tier's limit",
            )
        }),
        (new.add_ons.len() > ADD_ONS_MAX)
            .then(|| FieldError::new("addOns", format!("has at most {ADD_ONS_MAX} packages"))),
        (!metadata_fits).then(|| {
            let text =
                format!("has at most {METADATA_MAX} entries of {METADATA_BYTES_MAX} bytes each");
            FieldError::new("metadata", text)
        }),
    ])
}
