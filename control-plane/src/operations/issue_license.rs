//! Issue a license, or many.

use std::collections::BTreeMap;

use activation_token::LEEWAY_SECONDS_MAX;
use activation_token::credential::new_secret;
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Error, Operations};
use crate::domain::subject::SUBJECT_BYTES_MAX;
use crate::domain::{
    Decision, Event, ExpiryStrategy, FieldError, License, LicenseId, Refusal, Requester,
};
use crate::entropy::random;
use crate::store::{Recorded, Tx, customers, licenses};

/// The most licenses that one import issues.
pub const IMPORT_ROWS_MAX: usize = 1_000;

const ADD_ONS_MAX: usize = 100;
const METADATA_MAX: usize = 50;
const METADATA_BYTES_MAX: usize = 500;
/// Ten years, which is as good as for ever and fits every calculation.
const SECONDS_MAX: u32 = 10 * 366 * 24 * 60 * 60;

/// What the operator asks for.
#[derive(Debug, Clone, Default)]
pub struct NewLicense {
    /// Who bought.
    pub customer_id: String,
    /// The tier, or none to follow the customer's.
    pub tier: Option<String>,
    /// From when on it is no longer good, if ever.
    pub expires_at: Option<Timestamp>,
    /// What happens then.
    pub expiry_strategy: ExpiryStrategy,
    /// For how many seconds it is good after the expiry.
    pub grace_seconds: u32,
    /// How many boxes, or none to follow the tier's `boxes` limit.
    pub max_boxes: Option<u32>,
    /// For how many seconds a silent box keeps its seat, or none for ever.
    pub lease_seconds: Option<u32>,
    /// Packages beyond the tier.
    pub add_ons: Vec<PackageName>,
    /// The vendor's own notes.
    pub metadata: BTreeMap<String, String>,
}

/// A license and its key, which is shown this once (POT-20).
#[derive(Debug)]
pub struct Issued {
    /// The license.
    pub license: License,
    /// Its key.
    pub key: SecretString,
}

/// What became of each row of an import, in order.
pub type Imported = Vec<Result<Issued, Refusal>>;

impl Operations {
    /// Issues a license.
    pub async fn issue_license(
        &self,
        tx: &mut Tx,
        by: &Requester,
        new: NewLicense,
    ) -> Result<Recorded<Issued>, Error> {
        let now = self.clock.now();
        let past = FieldError::in_expiry("expiresAt", new.expires_at, now);
        let tier = self.tier_name(new.tier.as_deref());
        let mut license = License {
            id: self.fresh(LicenseId::new)?,
            tier: tier.clone().unwrap_or_default(),
            customer_tier: None,
            customer_boxes: None,
            customer_add_ons: Vec::new(),
            customer_id: new.customer_id,
            decision: Decision::Active,
            expires_at: new.expires_at,
            expiry_strategy: new.expiry_strategy,
            grace_seconds: new.grace_seconds,
            max_boxes: new.max_boxes,
            lease_seconds: new.lease_seconds,
            add_ons: new.add_ons,
            metadata: new.metadata,
            narrowed_at: None,
            created_at: now,
            boxes_used: 0,
        };
        self.check_fields(&license, past)?;
        tier?;
        self.check_add_ons(&license)?;
        let key = new_secret(&self.policy.license_key_prefix, &random(&*self.entropy)?);
        customers::create_if_new(tx, &license.customer_id, now).await?;
        licenses::insert(tx, &license, self.license_key_digest(&key)).await?;
        // The customer may have a tier that the license follows.
        if let Some(stored) = licenses::get(tx.link(), &license.id, now).await? {
            license = stored;
        }
        let event = Event {
            after: Some(state(&license)),
            // Only add-ons make a package set that gates do not have yet.
            concerns_gates: !license.add_ons.is_empty(),
            ..Event::new("license.issue", &license.id)
        };
        Ok(tx.record(by, now, event, Issued { license, key }).await?)
    }

    /// Issues a license for each row that is good, and says what is wrong with each other.
    pub async fn import_licenses(
        &self,
        tx: &mut Tx,
        by: &Requester,
        rows: Vec<Result<NewLicense, Refusal>>,
    ) -> Result<Recorded<Imported>, Error> {
        let mut imported = Imported::with_capacity(rows.len());
        for row in rows {
            let issued = match row {
                Ok(new) => self.issue_license(tx, by, new).await,
                Err(refusal) => Err(refusal.into()),
            };
            imported.push(match issued {
                Ok(recorded) => Ok(recorded.into_value()),
                Err(Error::Refused(refusal)) => Err(refusal),
                Err(fault) => return Err(fault),
            });
        }
        let issued = imported.iter().filter(|row| row.is_ok()).count();
        let event = Event {
            after: Some(json!({ "issued": issued, "refused": imported.len() - issued })),
            ..Event::new("license.import", &"licenses")
        };
        Ok(tx.record(by, self.clock.now(), event, imported).await?)
    }

    /// What every license must fulfil, new or changed. `further` is what is wrong besides.
    pub(super) fn check_fields(
        &self,
        license: &License,
        further: Option<FieldError>,
    ) -> Result<(), Refusal> {
        let too_long = |text: &String| text.len() > METADATA_BYTES_MAX;
        let metadata_fits = license.metadata.len() <= METADATA_MAX
            && !license
                .metadata
                .iter()
                .any(|(key, value)| key.is_empty() || too_long(key) || too_long(value));
        let too_many = |seconds: u32| seconds > SECONDS_MAX;
        // Else a box whose seat has gone to another could still hold a token that gates let pass.
        let leeway = SignedDuration::from_secs(LEEWAY_SECONDS_MAX.into());
        let lease_min = self.policy.token_life + leeway;
        let short_lease = license
            .lease_seconds
            .is_some_and(|lease| SignedDuration::from_secs(lease.into()) < lease_min);
        Refusal::unless_all_hold([
            further,
            FieldError::in_text("customerId", &license.customer_id, SUBJECT_BYTES_MAX),
            too_many(license.grace_seconds)
                .then(|| FieldError::new("graceSeconds", format!("is at most {SECONDS_MAX}"))),
            (license.grace_seconds > 0 && license.expires_at.is_none())
                .then(|| FieldError::new("graceSeconds", "is for licenses that expire")),
            short_lease.then(|| {
                let text = format!(
                    "must be at least {} seconds, the life of a token and a minute",
                    lease_min.as_secs()
                );
                FieldError::new("leaseSeconds", text)
            }),
            license
                .lease_seconds
                .is_some_and(too_many)
                .then(|| FieldError::new("leaseSeconds", format!("is at most {SECONDS_MAX}"))),
            (license.max_boxes == Some(0)).then(|| {
                FieldError::new(
                    "maxBoxes",
                    "must be at least 1; leave it out for the tier's limit",
                )
            }),
            (license.add_ons.len() > ADD_ONS_MAX)
                .then(|| FieldError::new("addOns", format!("has at most {ADD_ONS_MAX} packages"))),
            (!metadata_fits).then(|| {
                let text = format!(
                    "has at most {METADATA_MAX} entries of {METADATA_BYTES_MAX} bytes each"
                );
                FieldError::new("metadata", text)
            }),
        ])
    }

    /// Whether the manifest declares every add-on.
    pub(super) fn check_add_ons(&self, license: &License) -> Result<(), Refusal> {
        let tier = self.tier_of(license).unwrap_or(self.tiers.default_tier());
        self.package_set(tier, &license.add_ons).map(drop)
    }
}

/// A license as audit rows and webhooks show it.
pub(super) fn state(license: &License) -> Value {
    json!({
        "customerId": license.customer_id,
        "tier": license.tier,
        "decision": license.decision.as_str(),
        "expiresAt": license.expires_at,
        "expiryStrategy": license.expiry_strategy,
        "graceSeconds": license.grace_seconds,
        "maxBoxes": license.max_boxes,
        "leaseSeconds": license.lease_seconds,
        "addOns": license.add_ons,
        "metadata": license.metadata,
    })
}
