//! Give a license another key.

use activation_token::credential::new_secret;
use jiff::SignedDuration;

use super::{Error, Issued, Operations, license};
use crate::domain::{Decision, Event, FieldError, LicenseId, Refusal, Requester};
use crate::entropy::random;
use crate::store::{Recorded, Tx, licenses};

/// The longest time for which two keys are good: 90 days.
const OVERLAP_SECONDS_MAX: u32 = 90 * 24 * 60 * 60;

impl Operations {
    /// Replaces a license's key. The one before it is good for `overlap_seconds` more; without
    /// any, every older key ends now. Tokens go on, since the license is the same.
    pub async fn rotate_license_key(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        overlap_seconds: u32,
        reason: String,
    ) -> Result<Recorded<Issued>, Error> {
        Refusal::unless_all_hold([(overlap_seconds > OVERLAP_SECONDS_MAX).then(|| {
            FieldError::new(
                "overlapSeconds",
                format!("is at most {OVERLAP_SECONDS_MAX}"),
            )
        })])?;
        let now = self.clock.now();
        let license = license(tx, id, now).await?;
        if license.decision == Decision::Revoked {
            return Err(Refusal::LicenseRevoked.into());
        }
        let key = new_secret(&self.policy.license_key_prefix, &random(&*self.entropy)?);
        let overlap = SignedDuration::from_secs(overlap_seconds.into());
        let old_until = now.saturating_add(overlap).unwrap_or(now);
        licenses::rotate_key(tx, id, self.license_key_digest(&key), old_until, now).await?;
        let event = Event {
            after: Some(serde_json::json!({ "oldKeyUntil": old_until })),
            reason: Some(reason),
            ..Event::new("license.rotate_key", id)
        };
        Ok(tx.record(by, now, event, Issued { license, key }).await?)
    }
}
