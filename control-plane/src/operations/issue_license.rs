//! Issue a license.

use std::collections::BTreeMap;

use activation_token::credential::new_secret;
use jiff::Timestamp;
use manifest::PackageName;
use secrecy::SecretString;

use super::{Error, Operations, Requester};
use crate::domain::{Event, FieldError, License, LicenseId, LicenseStatus, Refusal};
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
            action: "license.issue",
            subject: license.id.to_string(),
            before: None,
            after: Some(serde_json::json!({
                "customerId": license.customer_id,
                "tier": license.tier,
                "expiresAt": license.expires_at,
                "maxBoxes": license.max_boxes,
                "addOns": license.add_ons,
                "metadata": license.metadata,
            })),
            reason: None,
            // Only add-ons make a package set that gates do not have yet.
            concerns_gates: !license.add_ons.is_empty(),
        };
        tx.commit(
            &requester.actor,
            requester.request_id.as_deref(),
            now,
            event,
        )
        .await?;
        Ok((license, key))
    }
}

fn check_fields(new: &NewLicense, now: Timestamp) -> Result<(), Refusal> {
    let mut errors = Vec::new();
    let id = &new.customer_id;
    if id.is_empty() || id.len() > CUSTOMER_ID_BYTES_MAX || id.chars().any(char::is_control) {
        let text = format!("has 1 to {CUSTOMER_ID_BYTES_MAX} bytes and no control characters");
        errors.push(FieldError::new("customerId", text));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        errors.push(FieldError::new("expiresAt", "must lie in the future"));
    }
    if new.max_boxes == Some(0) {
        errors.push(FieldError::new(
            "maxBoxes",
            "must be at least 1; leave it out for the tier's limit",
        ));
    }
    if new.add_ons.len() > ADD_ONS_MAX {
        errors.push(FieldError::new(
            "addOns",
            format!("has at most {ADD_ONS_MAX} packages"),
        ));
    }
    let too_long = |text: &String| text.len() > METADATA_BYTES_MAX;
    if new.metadata.len() > METADATA_MAX
        || new.metadata.iter().any(|(k, v)| too_long(k) || too_long(v))
    {
        let text = format!("has at most {METADATA_MAX} entries of {METADATA_BYTES_MAX} bytes each");
        errors.push(FieldError::new("metadata", text));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Refusal::InvalidFields(errors))
    }
}
