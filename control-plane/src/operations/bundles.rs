//! Bundles: all packages of a license, for a gate that has no network. An operator reads the
//! packages through a gate with a short token, and has what came out signed.

use std::sync::Arc;

use activation_token::offline::BundleHead;
use activation_token::snapshot::{
    LicenseRevocation, Publishers, Revocations, RevokedBecause, Snapshot,
};
use activation_token::{Claims, KeySet, OFFLINE_LIFE_SECONDS_MAX};
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use manifest::{PackageName, PackageSet, SetDigest};

use super::activate::dated;
use super::sign_request::openly;
use super::{Effective, Error, Operations, license};
use crate::domain::{Event, License, LicenseId, Refusal, Requester, license_file};
use crate::entropy::random;
use crate::store::{Recorded, Tx, boxes};

/// What a bundle is made from.
#[derive(Debug, Clone)]
pub struct BundleSource {
    /// A token that reads the license's packages, bound to no box.
    pub token: String,
    /// How long it is good, in seconds.
    pub expires_in: i64,
    /// Its claims.
    pub claims: Claims,
    /// The packages.
    pub packages: Arc<PackageSet>,
}

/// A bundle whose files are all known.
#[derive(Debug, Clone)]
pub struct NewBundle {
    /// SHA-256 of its list of contents, in lower-case hex.
    pub contents_sha256: String,
    /// The packages that were gathered.
    pub packages: SetDigest,
    /// When it ends, if not in a year or with the license.
    pub expires_at: Option<Timestamp>,
}

/// A bundle's head as it was signed.
#[derive(Debug, Clone)]
pub struct SignedBundle {
    /// The head.
    pub signed: String,
    /// Whose license it is for.
    pub customer_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a gate stops serving it.
    pub expires_at: Timestamp,
}

impl Operations {
    /// Gives an operator a token to read a license's packages with. It takes no seat.
    pub async fn prepare_bundle(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
    ) -> Result<Recorded<BundleSource>, Error> {
        let now = self.clock.now();
        let license = license(tx, id, now).await?;
        let effective = self.bundled(&license, now)?;
        let life = self.token_life(&license, now);
        let life = life.ok_or(Refusal::LicenseExpired)?;
        let expires_in = life.1.as_second() - life.0.as_second();
        let claims = self.claims(&license, &effective, None, life)?;
        let token = self.keyring.sign(&claims, now)?;
        let event = Event {
            after: Some(serde_json::json!({
                "tokenId": claims.token_id,
                "tier": claims.tier,
                "expiresAt": claims.expires_at,
                "packages": effective.packages.digest(),
            })),
            ..Event::new("license.bundle.prepare", &license.id)
        };
        let source = BundleSource {
            token,
            expires_in,
            claims,
            packages: effective.packages,
        };
        Ok(tx.record(by, now, event, source).await?)
    }

    /// Signs the head of a bundle.
    pub async fn sign_bundle(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &LicenseId,
        new: NewBundle,
    ) -> Result<Recorded<SignedBundle>, Error> {
        let NewBundle {
            contents_sha256,
            packages,
            expires_at,
        } = new;
        let now = self.clock.now();
        license_file::check_bundle(&contents_sha256, expires_at, now)?;
        let license = license(tx, id, now).await?;
        let effective = self.bundled(&license, now)?;
        if effective.packages.digest() != packages {
            return Err(Refusal::LicenseChanged.into());
        }
        let from = dated(&license, now);
        let end = license_file::end(expires_at, from, license.tokens_end())
            .map_err(|error| Refusal::InvalidFields(vec![error]))?;
        let until = end.ok_or(Refusal::LicenseExpired)?;
        let revocations = self.offline_revocations(tx, &license, now).await?;
        let head = BundleHead {
            license_id: license.id.to_string(),
            customer_id: license.customer_id.clone(),
            created_at: from,
            snapshot: self.bundle_snapshot(&effective, revocations, (from, until))?,
            contents_sha256,
        };
        let signed = self.root_key.sign_bundle_head(&head)?;
        let event = Event {
            after: Some(serde_json::json!({
                "contentsSha256": head.contents_sha256,
                "tier": effective.tier.name(),
                "createdAt": from,
                "expiresAt": until,
                "packages": effective.packages.digest(),
            })),
            ..Event::new("license.bundle", &license.id)
        };
        let bundle = SignedBundle {
            signed,
            customer_id: head.customer_id,
            created_at: from,
            expires_at: until,
        };
        // The head leaves only after it is on record.
        Ok(tx.record(by, now, event, bundle).await?)
    }

    /// What a license amounts to, if it can be used now.
    fn bundled(&self, license: &License, now: Timestamp) -> Result<Effective<'_>, Error> {
        license.check_usable(false, now).map_err(openly)?;
        Ok(self.effective(license)?)
    }

    /// What is known today of this license's tokens that no longer count. A license file that was
    /// signed before is refused by a bundle that was made after.
    async fn offline_revocations(
        &self,
        tx: &mut Tx,
        license: &License,
        now: Timestamp,
    ) -> Result<Revocations, Error> {
        let life = SignedDuration::from_secs(OFFLINE_LIFE_SECONDS_MAX);
        let alive_since = now.saturating_sub(life).unwrap_or(now);
        let narrowed = license.narrowed_at.map(|at| LicenseRevocation {
            id: license.id.to_string(),
            issued_until: Timestamp::from_second(at.as_second()).unwrap_or(at),
            // It can be used, so it is neither suspended nor revoked.
            why: RevokedBecause::Changed,
        });
        let licenses = narrowed.into_iter().collect();
        let boxes = boxes::released(tx.link(), alive_since, Some(&license.id)).await?;
        Ok(Revocations { licenses, boxes })
    }

    /// What a gate decides by that serves a bundle: the root key signs all tokens that it takes,
    /// and nobody publishes. All tiers are in it, so that a refusal names the tier as it does
    /// elsewhere.
    fn bundle_snapshot(
        &self,
        effective: &Effective<'_>,
        revocations: Revocations,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Snapshot, Error> {
        let names = |set: &PackageSet| -> Vec<PackageName> { set.iter().cloned().collect() };
        let mut sets: Vec<Vec<PackageName>> = self
            .tiers
            .tiers()
            .map(|tier| names(tier.packages()))
            .collect();
        let own = names(&effective.packages);
        if !sets.contains(&own) {
            sets.push(own);
        }
        let life = until.as_second() - from.as_second();
        // A key that no secret was ever hashed with.
        let hash_key: [u8; 32] = random(&*self.entropy)?;
        Ok(Snapshot {
            sequence: 1,
            issued_at: from,
            // Within 400 days, hence far below the limit of the type.
            max_stale_seconds: u32::try_from(life).unwrap_or(u32::MAX),
            issuer: self.policy.issuer.clone(),
            audience: self.policy.audience.clone(),
            scope: self.tiers.scope().to_owned(),
            keys: KeySet::new(vec![self.root_key.public().clone()]).to_jwks(),
            tiers: self.snapshot_tiers(),
            sets,
            revocations,
            publishers: Publishers {
                hash_key: BASE64URL_NOPAD.encode(&hash_key),
                credentials: Vec::new(),
            },
            expiring: Vec::new(),
        })
    }
}
