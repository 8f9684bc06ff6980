//! Activate: exchange a license key for an activation token.

use std::sync::Arc;

use activation_token::credential::is_well_formed;
use activation_token::{Claims, Packages};
use entitlements::UnknownKey;
use jiff::Timestamp;
use manifest::{Limit, PackageName, PackageSet, Tier};
use secrecy::{ExposeSecret, SecretString};

use super::{Error, Fault, Operations};
use crate::domain::{ActivatedBox, BoxId, Event, FieldError, License, Refusal, Requester, TokenId};
use crate::store::{Tx, boxes, licenses};

const FINGERPRINT_BYTES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 100;
/// The manifest's limit that counts boxes, where it declares one.
const BOXES_LIMIT: &str = "boxes";

/// What a box sends.
#[derive(Debug, Clone)]
pub struct ActivationRequest {
    /// The license key.
    pub key: SecretString,
    /// The box, where one is named.
    pub box_: Option<BoxRequest>,
}

/// Which box activates.
#[derive(Debug, Clone)]
pub struct BoxRequest {
    /// What the box says of itself, the same at each activation.
    pub fingerprint: String,
    /// A name for people.
    pub name: Option<String>,
}

/// What a box gets.
#[derive(Debug, Clone)]
pub struct Activation {
    /// The activation token.
    pub token: String,
    /// How long it is good, in seconds.
    pub expires_in: i64,
    /// Its claims, from which the rest of the answer is read.
    pub claims: Claims,
    /// The packages it covers.
    pub packages: Arc<PackageSet>,
}

impl Operations {
    /// Activates a license, for a box where one is named.
    ///
    /// Every key that cannot be used gets the same refusal; what was wrong with it goes to the
    /// audit log where the key is a real one (POT-23).
    pub async fn activate(
        &self,
        requester: &Requester,
        request: ActivationRequest,
    ) -> Result<Activation, Error> {
        check_box(request.box_.as_ref())?;
        // Keys that were sold under another prefix are as good as those of today.
        let key = request.key.expose_secret();
        let prefix = key.rsplit_once('_').map_or("", |(prefix, _)| prefix);
        if !is_well_formed(prefix, key) {
            return Err(Refusal::LicenseUnusable.into());
        }
        let now = self.clock.now();
        let digest = self.license_key_digest(&request.key);
        let mut tx = self.store.begin().await?;
        let Some(license) = licenses::lock_by_key(tx.link(), digest).await? else {
            return Err(Refusal::LicenseUnusable.into());
        };
        let refuse = |refusal: Refusal, reason: &str| Refused {
            refusal,
            reason: reason.to_owned(),
        };
        if let Err(unusable) = license.check_usable(now) {
            let refused = refuse(Refusal::LicenseUnusable, unusable.as_str());
            return self.refuse(tx, requester, &license, refused, now).await;
        }
        let tier = self.tier_of(&license)?;
        let seat = self
            .take_seat(&mut tx, &license, tier, request.box_, now)
            .await?;
        let seat = match seat {
            Ok(seat) => seat,
            Err(refused) => return self.refuse(tx, requester, &license, refused, now).await,
        };
        let packages = self.package_set(tier, &license.add_ons)?;
        let claims = self.claims(&license, tier, seat, &packages, now)?;
        let token = self.signing_key.sign(&claims)?;
        let event = Event {
            after: Some(serde_json::json!({
                "tokenId": claims.token_id,
                "tier": claims.tier,
                "boxId": claims.box_id,
                "expiresAt": claims.expires_at,
                "packages": packages.digest(),
            })),
            ..Event::new("license.activate", &license.id)
        };
        // The token leaves only after it is on record.
        tx.commit(requester, now, event).await?;
        let expires_in = claims.expires_at.as_second() - claims.issued_at.as_second();
        Ok(Activation {
            token,
            expires_in,
            claims,
            packages,
        })
    }

    /// The tier a license has now: its own, or the default one.
    pub fn tier_of(&self, license: &License) -> Result<&Tier, Fault> {
        match &license.tier {
            None => Ok(self.tiers.default_tier()),
            Some(name) => self
                .tiers
                .tier(name.as_str())
                .ok_or_else(|| Fault::Dangling(license.id.to_string())),
        }
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

    /// Finds or takes the box's seat. The license is locked, so no two boxes take the last one.
    async fn take_seat(
        &self,
        tx: &mut Tx,
        license: &License,
        tier: &Tier,
        wanted: Option<BoxRequest>,
        now: Timestamp,
    ) -> Result<Result<Option<BoxId>, Refused>, Error> {
        let Some(wanted) = wanted else {
            // A license sold by the box cannot be had without naming one.
            return Ok(match license.max_boxes {
                Some(_) => Err(Refused::plain(Refusal::BoxRequired)),
                None => Ok(None),
            });
        };
        let BoxRequest { fingerprint, name } = wanted;
        let known = boxes::seen(tx.link(), &license.id, &fingerprint, name.as_deref(), now).await?;
        if let Some(known) = known {
            return Ok(Ok(Some(known.id)));
        }
        match self.boxes_limit(license, tier) {
            Limit::Count(limit) if boxes::count(tx.link(), &license.id).await? >= limit => {
                return Ok(Err(Refused::plain(Refusal::BoxLimitReached { limit })));
            }
            Limit::Count(_) | Limit::Unlimited => {}
        }
        let new = ActivatedBox {
            id: self.fresh(BoxId::new)?,
            fingerprint,
            name,
        };
        boxes::insert(tx.link(), &license.id, &new, now).await?;
        Ok(Ok(Some(new.id)))
    }

    /// How many boxes a license may have: its own number, else its tier's.
    fn boxes_limit(&self, license: &License, tier: &Tier) -> Limit {
        if let Some(count) = license.max_boxes {
            return Limit::Count(count.into());
        }
        match self.catalog().limit(tier.name().as_str(), BOXES_LIMIT) {
            Ok(limit) => limit,
            // A manifest that does not declare the limit does not count boxes.
            Err(UnknownKey::Limit(..)) => Limit::Unlimited,
            Err(_) => Limit::Count(0),
        }
    }

    fn claims(
        &self,
        license: &License,
        tier: &Tier,
        seat: Option<BoxId>,
        packages: &PackageSet,
        now: Timestamp,
    ) -> Result<Claims, Error> {
        // Tokens speak in whole seconds.
        let issued_at = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let expires_at = issued_at
            .saturating_add(self.policy.token_life)
            .unwrap_or(issued_at);
        Ok(Claims {
            issuer: self.policy.issuer.clone(),
            audience: self.policy.audience.clone(),
            customer_id: license.customer_id.clone(),
            token_id: self.fresh(TokenId::new)?.to_string(),
            issued_at,
            not_before: issued_at,
            // No token outlives its license.
            expires_at: license
                .expires_at
                .map_or(expires_at, |end| end.min(expires_at)),
            tier: tier.name().clone(),
            license_id: license.id.to_string(),
            box_id: seat.map(|id| id.to_string()),
            packages: Packages::Listed(packages.clone()),
        })
    }

    /// Writes down why a real key was refused, and refuses.
    async fn refuse<T>(
        &self,
        tx: Tx,
        requester: &Requester,
        license: &License,
        refused: Refused,
        now: Timestamp,
    ) -> Result<T, Error> {
        let event = Event {
            reason: Some(refused.reason),
            ..Event::new("license.activate.refused", &license.id)
        };
        tx.commit(requester, now, event).await?;
        Err(refused.refusal.into())
    }
}

/// A refusal and the reason that the audit log gets.
struct Refused {
    refusal: Refusal,
    reason: String,
}

impl Refused {
    /// A refusal that hides nothing.
    fn plain(refusal: Refusal) -> Self {
        let reason = refusal.code().to_owned();
        Self { refusal, reason }
    }
}

fn check_box(request: Option<&BoxRequest>) -> Result<(), Refusal> {
    let Some(request) = request else {
        return Ok(());
    };
    let name = request.name.as_deref().filter(|name| !name.is_empty());
    Refusal::unless_all_hold([
        FieldError::in_text(
            "box.fingerprint",
            &request.fingerprint,
            FINGERPRINT_BYTES_MAX,
        ),
        name.and_then(|name| FieldError::in_text("box.name", name, NAME_BYTES_MAX)),
    ])
}
