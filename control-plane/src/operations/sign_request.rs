//! Sign the request of a box that has no network: an activation on paper.

use activation_token::offline::{LicenseFile, LicenseRequest};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::activate::{Seat, Standing, dated};
use super::{BoxRequest, Error, Operations, license};
use crate::domain::{Event, LicenseId, Refusal, Requester, Unusable, license_file};
use crate::store::{Recorded, Tx};

/// A license file as it was signed.
#[derive(Debug, Clone)]
pub struct SignedFile {
    /// The file.
    pub signed: String,
    /// What it says.
    pub file: LicenseFile,
    /// The box that it is bound to.
    pub box_id: Option<String>,
}

impl Operations {
    /// Signs a license file for the box that asks, which takes its seat as by an activation. It
    /// keeps the seat until the file ends, whatever the lease. The same request again gives the
    /// same box a new file.
    pub async fn sign_license_request(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        request: LicenseRequest,
        expires_at: Option<Timestamp>,
    ) -> Result<Recorded<SignedFile>, Error> {
        let now = self.clock.now();
        license_file::check_request(&request, id, expires_at, now)?;
        let license = license(tx, id, now).await?;
        let wanted = BoxRequest {
            fingerprint: request.fingerprint,
            name: request.name,
        };
        let standing = self.standing(tx, &license, Some(&wanted), now).await?;
        let Standing { effective, known } = standing.map_err(openly)?;
        let from = dated(&license, now);
        let end = license_file::end(expires_at, from, license.tokens_end())
            .map_err(|error| Refusal::InvalidFields(vec![error]))?;
        let until = end.ok_or(Refusal::LicenseExpired)?;
        let fingerprint = wanted.fingerprint.clone();
        let seat = Seat {
            wanted: Some(wanted),
            known,
            offline_until: Some(until),
        };
        let box_id = self.seat(tx, &license, effective.boxes, seat, now).await?;
        let claims = self.claims(&license, &effective, box_id, (from, until))?;
        let file = LicenseFile {
            request_id: request.request_id,
            issued_at: from,
            expires_at: until,
            fingerprint,
            license_id: license.id.to_string(),
            customer_id: license.customer_id.clone(),
            tier: claims.tier.to_string(),
            license_expires_at: license.expires_at,
            token: self.root_key.sign_offline(&claims)?,
            packages: effective.packages.iter().cloned().collect(),
        };
        let signed = self.root_key.sign_license_file(&file)?;
        let event = Event {
            after: Some(serde_json::json!({
                "requestId": file.request_id,
                "fingerprintSha256": HEXLOWER.encode(&Sha256::digest(&file.fingerprint)),
                "tokenId": claims.token_id,
                "tier": claims.tier,
                "boxId": claims.box_id,
                "issuedAt": file.issued_at,
                "expiresAt": file.expires_at,
                "packages": effective.packages.digest(),
            })),
            ..Event::new("license.sign_request", &license.id)
        };
        let signed = SignedFile {
            signed,
            file,
            box_id: claims.box_id,
        };
        // The file leaves only after it is on record.
        Ok(tx.record(by, now, event, signed).await?)
    }
}

/// An operator is told why a license cannot be used, as a box is not.
pub(super) fn openly(unusable: Unusable) -> Refusal {
    match unusable {
        Unusable::Revoked => Refusal::LicenseRevoked,
        Unusable::Suspended => Refusal::LicenseSuspended,
        Unusable::Expired => Refusal::LicenseExpired,
    }
}
