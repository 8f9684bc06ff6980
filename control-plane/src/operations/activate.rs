//! Activate: exchange a license key for an activation token.

use std::sync::Arc;

use activation_token::credential::is_well_formed;
use activation_token::{Claims, Packages};
use jiff::{SignedDuration, Timestamp};
use manifest::{Limit, PackageSet};
use secrecy::{ExposeSecret, SecretString};

use super::{Effective, Error, Operations};
use crate::domain::license::{FINGERPRINT_BYTES_MAX, NAME_BYTES_MAX};
use crate::domain::{
    ActivatedBox, BoxId, Event, FieldError, License, Refusal, Requester, TokenId, Unusable,
};
use crate::store::{Link, Recorded, Tx, boxes, licenses};

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

/// What a license key is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To activate a box.
    Activate,
    /// To give a seat back.
    Deactivate,
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
    /// When the license expires, if ever.
    pub license_expires_at: Option<Timestamp>,
    /// How many boxes hold a seat, the one that activates with them.
    pub boxes_used: u64,
    /// How many may.
    pub boxes_limit: Limit,
}

/// A license that may be used, and the box that wants to.
pub(super) struct Standing<'t> {
    /// What the license amounts to.
    pub(super) effective: Effective<'t>,
    /// The box, where it had a seat before.
    pub(super) known: Option<ActivatedBox>,
}

/// What is asked for a seat.
pub(super) struct Seat {
    /// By which box, where one is named.
    pub(super) wanted: Option<BoxRequest>,
    /// The same, where it had a seat before.
    pub(super) known: Option<ActivatedBox>,
    /// Until when it keeps the seat without being heard of, whatever the lease.
    pub(super) offline_until: Option<Timestamp>,
}

impl Operations {
    /// Activates a license, for a box where one is named; the same box again takes no further
    /// seat (POT-29).
    ///
    /// Every key that cannot be used gets the same refusal; what was wrong with it goes to the
    /// audit log where the key is a real one (POT-23).
    pub async fn activate(
        &self,
        tx: &mut Tx,
        by: &Requester,
        request: ActivationRequest,
    ) -> Result<Recorded<Activation>, Error> {
        request.check()?;
        let ActivationRequest { key, box_: wanted } = request;
        let now = self.clock.now();
        let license = self.license_by_key(tx, &key, now).await?;
        let standing = self.standing(tx, &license, wanted.as_ref(), now).await?;
        let standing = standing.map_err(|unusable| self.deny(by, &license, unusable))?;
        let Standing { effective, known } = standing;
        let had_a_seat = known
            .as_ref()
            .is_some_and(|known| known.holds_seat(license.lease_seconds, now));
        let seat = Seat {
            wanted,
            known,
            offline_until: None,
        };
        let seat = match self.seat(tx, &license, effective.boxes, seat, now).await {
            Err(Error::Refused(refusal)) => {
                self.denials
                    .note(by, activation_refused(&license, refusal.code()));
                return Err(refusal.into());
            }
            seat => seat?,
        };
        let takes_a_seat = seat.is_some() && !had_a_seat;
        let life = self.token_life(&license, now);
        let life = life.ok_or_else(|| self.deny(by, &license, Unusable::Expired))?;
        let expires_in = life.1.as_second() - life.0.as_second();
        let claims = self.claims(&license, &effective, seat, life)?;
        let token = self.keyring.sign(&claims, now)?;
        let event = Event {
            after: Some(serde_json::json!({
                "tokenId": claims.token_id,
                "tier": claims.tier,
                "boxId": claims.box_id,
                "expiresAt": claims.expires_at,
                "packages": effective.packages.digest(),
            })),
            ..Event::new("license.activate", &license.id)
        };
        let activation = Activation {
            token,
            expires_in,
            claims,
            packages: effective.packages,
            license_expires_at: license.expires_at,
            boxes_used: license.boxes_used + u64::from(takes_a_seat),
            boxes_limit: effective.boxes,
        };
        // The token leaves only after it is on record.
        Ok(tx.record(by, now, event, activation).await?)
    }

    /// Lets a key pass that may be good for `purpose`, without a write. Strangers never get as far
    /// as the writer, keys that do not exist and keys that cannot be used are refused alike and in
    /// the same time, and a text that cannot be a key costs no read at all.
    pub async fn admit(
        &self,
        by: &Requester,
        key: &SecretString,
        purpose: Purpose,
    ) -> Result<(), Error> {
        if !is_license_key(key) {
            return Err(Refusal::LicenseUnusable.into());
        }
        let now = self.clock.now();
        let mut conn = self.store.read().await?;
        let digest = self.license_key_digest(key);
        let license = licenses::get_by_key(conn.link(), digest, now).await?;
        let license = license.ok_or(Refusal::LicenseUnusable)?;
        let usable = match purpose {
            // Whether the box has a seat is found out later.
            Purpose::Activate => license.check_usable(true, now),
            Purpose::Deactivate => license.check_releasable(),
        };
        usable.map_err(|unusable| self.deny(by, &license, unusable))?;
        Ok(())
    }

    /// The license that a key belongs to.
    pub(super) async fn license_by_key(
        &self,
        tx: &mut Tx,
        key: &SecretString,
        now: Timestamp,
    ) -> Result<License, Error> {
        let digest = self.license_key_digest(key);
        let license = licenses::get_by_key(tx.link(), digest, now).await?;
        Ok(license.ok_or(Refusal::LicenseUnusable)?)
    }

    /// The uniform refusal. The reason is kept where the caller does not see it.
    pub(super) fn deny(&self, by: &Requester, license: &License, unusable: Unusable) -> Refusal {
        self.denials
            .note(by, activation_refused(license, unusable.as_str()));
        Refusal::LicenseUnusable
    }

    /// What the license amounts to, and what is known of the box that wants to use it; or why it
    /// cannot be used by that one now.
    pub(super) async fn standing(
        &self,
        tx: &mut Tx,
        license: &License,
        wanted: Option<&BoxRequest>,
        now: Timestamp,
    ) -> Result<Result<Standing<'_>, Unusable>, Error> {
        let known = match wanted {
            Some(wanted) => boxes::find(tx.link(), &license.id, &wanted.fingerprint).await?,
            None => None,
        };
        let seated = known
            .as_ref()
            .is_some_and(|known| known.holds_seat(license.lease_seconds, now));
        if let Err(unusable) = license.check_usable(seated, now) {
            return Ok(Err(unusable));
        }
        let effective = self.effective(license)?;
        Ok(Ok(Standing { effective, known }))
    }

    /// Whether a box with this seat may keep it, or one without may take one. Where there are
    /// fewer seats than boxes, since the license was narrowed, those that came first keep theirs.
    pub(super) async fn check_seat(
        &self,
        link: Link<'_>,
        license: &License,
        limit: Limit,
        seated: Option<&ActivatedBox>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Limit::Count(limit) = limit else {
            return Ok(());
        };
        let taken_before = match seated {
            None => license.boxes_used,
            Some(_) if license.boxes_used <= limit => 0,
            Some(seated) => {
                let lease = license
                    .lease_seconds
                    .map(|s| SignedDuration::from_secs(s.into()));
                let heard_after = lease.and_then(|lease| now.checked_sub(lease).ok());
                boxes::older(link, &license.id, seated, heard_after, now).await?
            }
        };
        if taken_before >= limit {
            return Err(Refusal::BoxLimitReached { limit }.into());
        }
        Ok(())
    }

    /// Finds or takes the box's seat.
    pub(super) async fn seat(
        &self,
        tx: &mut Tx,
        license: &License,
        limit: Limit,
        seat: Seat,
        now: Timestamp,
    ) -> Result<Option<BoxId>, Error> {
        let Seat {
            wanted,
            known,
            offline_until,
        } = seat;
        let Some(wanted) = wanted else {
            // What is sold by the box cannot be had without naming one.
            return match limit {
                Limit::Count(_) => Err(Refusal::BoxRequired.into()),
                Limit::Unlimited => Ok(None),
            };
        };
        let seated = known
            .as_ref()
            .filter(|known| known.holds_seat(license.lease_seconds, now));
        self.check_seat(tx.link(), license, limit, seated, now)
            .await?;
        let seated_since = seated.map_or(now, |seated| seated.activated_at);
        let Some(known) = known else {
            let new = ActivatedBox {
                id: self.fresh(BoxId::new)?,
                fingerprint: wanted.fingerprint,
                name: wanted.name,
                activated_at: now,
                last_seen_at: now,
                offline_until,
            };
            boxes::insert(tx, &license.id, &new).await?;
            return Ok(Some(new.id));
        };
        let seen = ActivatedBox {
            name: wanted.name.or(known.name),
            activated_at: seated_since,
            last_seen_at: now,
            // An earlier file is as good as it was.
            offline_until: known.offline_until.max(offline_until),
            ..known
        };
        boxes::update(tx, &seen).await?;
        Ok(Some(seen.id))
    }

    /// From when until when a token of the license is good that is made now, if it is for any
    /// time at all.
    pub(super) fn token_life(
        &self,
        license: &License,
        now: Timestamp,
    ) -> Option<(Timestamp, Timestamp)> {
        let from = dated(license, now);
        let until = from.saturating_add(self.policy.token_life).unwrap_or(from);
        // No token outlives its license.
        let until = license.tokens_end().map_or(until, |end| end.min(until));
        (from.as_second() < until.as_second()).then_some((from, until))
    }

    pub(super) fn claims(
        &self,
        license: &License,
        effective: &Effective<'_>,
        seat: Option<BoxId>,
        (issued_at, expires_at): (Timestamp, Timestamp),
    ) -> Result<Claims, Error> {
        Ok(Claims {
            issuer: self.policy.issuer.clone(),
            audience: self.policy.audience.clone(),
            customer_id: license.customer_id.clone(),
            token_id: self.fresh(TokenId::new)?.to_string(),
            issued_at,
            not_before: issued_at,
            expires_at,
            tier: effective.tier.name().clone(),
            license_id: license.id.to_string(),
            box_id: seat.map(|id| id.to_string()),
            packages: Packages::Listed((*effective.packages).clone()),
        })
    }
}

/// From when on a token of the license is good that is made now. Tokens speak in whole seconds. A
/// gate refuses those of the second in which the license was narrowed, so what is issued after
/// that is dated a second later.
pub(super) fn dated(license: &License, now: Timestamp) -> Timestamp {
    let dated = license.tokens_from().map_or(now, |from| from.max(now));
    Timestamp::from_second(dated.as_second()).unwrap_or(now)
}

/// Whether a text can be a license key. Keys that were sold under another prefix are as good as
/// those of today.
fn is_license_key(key: &SecretString) -> bool {
    let key = key.expose_secret();
    let prefix = key.rsplit_once('_').map_or("", |(prefix, _)| prefix);
    is_well_formed(prefix, key)
}

fn activation_refused(license: &License, reason: &str) -> Event {
    Event {
        reason: Some(reason.to_owned()),
        ..Event::new("license.activate.refused", &license.id)
    }
}

impl ActivationRequest {
    /// Whether it breaks a rule, which whoever sent it is told before anybody looks at the key.
    pub fn check(&self) -> Result<(), Refusal> {
        let Some(box_) = &self.box_ else {
            return Ok(());
        };
        let name = box_.name.as_deref().filter(|name| !name.is_empty());
        Refusal::unless_all_hold([
            check_fingerprint(&box_.fingerprint),
            name.and_then(|name| FieldError::in_text("box.name", name, NAME_BYTES_MAX)),
        ])
    }
}

/// What is wrong with a fingerprint, if anything.
pub(crate) fn check_fingerprint(fingerprint: &str) -> Option<FieldError> {
    FieldError::in_text("box.fingerprint", fingerprint, FINGERPRINT_BYTES_MAX)
}
