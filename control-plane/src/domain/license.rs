//! Licenses: what they say, how they stand at a moment, and when one may be used.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use manifest::{Limit, PackageName, PackageSet, TierName};
use serde::{Deserialize, Serialize};

use super::{BoxId, LicenseId};

/// The longest fingerprint of a box, in bytes.
pub const FINGERPRINT_BYTES_MAX: usize = 256;
/// The longest name of a box, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

/// A customer's right, held as a key. The key itself is kept as a digest only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct License {
    /// Its id.
    pub id: LicenseId,
    /// Who bought: an opaque string of the vendor's.
    pub customer_id: String,
    /// The tier it names, or none when it follows the customer's.
    pub tier: Option<TierName>,
    /// The customer's tier, or none when that is the manifest's default.
    pub customer_tier: Option<TierName>,
    /// What the customer's override says of the limit of boxes, if it has one.
    pub customer_boxes: Option<Limit>,
    /// The customer's add-ons, which may set that limit as well.
    pub customer_add_ons: Vec<Arc<str>>,
    /// What the operator decided.
    pub decision: Decision,
    /// From when on it is no longer good, if ever.
    pub expires_at: Option<Timestamp>,
    /// What happens then.
    pub expiry_strategy: ExpiryStrategy,
    /// For how many seconds after the expiry it is good nevertheless, and shown as in grace.
    pub grace_seconds: u32,
    /// How many boxes it may have, or none when the limit `boxes` decides: its tier's, with what
    /// the customer's add-ons and override say of it.
    pub max_boxes: Option<u32>,
    /// For how many seconds a box that is not heard of keeps its seat, or none for ever.
    pub lease_seconds: Option<u32>,
    /// Packages beyond the tier, each with all that it requires.
    pub add_ons: Vec<PackageName>,
    /// The vendor's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Tokens that were issued until then are no longer good.
    pub narrowed_at: Option<Timestamp>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// How many seats were taken when this was read.
    pub boxes_used: u64,
}

/// An operator's decision about a license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// May be used.
    Active,
    /// May not be used for now.
    Suspended,
    /// May never be used again.
    Revoked,
}

impl Decision {
    /// The decision as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Revoked]
            .into_iter()
            .find(|decision| decision.as_str() == text)
    }
}

/// What an expired license, its grace over, is still good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExpiryStrategy {
    /// Nothing: no new activations, no tokens.
    #[default]
    Restrict,
    /// What it had: boxes with a seat go on renewing their tokens, and no new one comes.
    Maintain,
}

impl ExpiryStrategy {
    /// The strategy as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restrict => "restrict",
            Self::Maintain => "maintain",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Restrict, Self::Maintain]
            .into_iter()
            .find(|strategy| strategy.as_str() == text)
    }
}

/// How a license stands at a moment: the operator's decision, and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Good.
    Active,
    /// Past its expiry, and still good for a while.
    Grace,
    /// Past its expiry and any grace.
    Expired,
    /// Suspended by an operator.
    Suspended,
    /// Revoked by an operator, for good.
    Revoked,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Active,
        Self::Grace,
        Self::Expired,
        Self::Suspended,
        Self::Revoked,
    ];

    /// The status as it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Grace => "grace",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }
}

/// Where a license's tier comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TierSource {
    /// The license names it.
    License,
    /// It is the customer's.
    Customer,
    /// It is the manifest's default.
    Default,
}

/// Why a license cannot be used. The caller of an open route is never told (DESIGN section 7);
/// the audit log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Revoked for good.
    Revoked,
    /// Suspended for now.
    Suspended,
    /// Past its expiry.
    Expired,
}

impl Unusable {
    /// The reason as the audit log spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "license_revoked",
            Self::Suspended => "license_suspended",
            Self::Expired => "license_expired",
        }
    }
}

impl License {
    /// How it stands now. Order of precedence: revoked, suspended, expired.
    pub fn status(&self, now: Timestamp) -> Status {
        match self.decision {
            Decision::Revoked => Status::Revoked,
            Decision::Suspended => Status::Suspended,
            Decision::Active if self.good_until().is_some_and(|end| has_come(end, now)) => {
                Status::Expired
            }
            Decision::Active if self.expires_at.is_some_and(|end| has_come(end, now)) => {
                Status::Grace
            }
            Decision::Active => Status::Active,
        }
    }

    /// Whether it may be used now: by a box that holds one of its seats, or to take a new one.
    pub fn check_usable(&self, holds_seat: bool, now: Timestamp) -> Result<(), Unusable> {
        match self.status(now) {
            Status::Revoked => Err(Unusable::Revoked),
            Status::Suspended => Err(Unusable::Suspended),
            Status::Expired if holds_seat && self.expiry_strategy == ExpiryStrategy::Maintain => {
                Ok(())
            }
            Status::Expired => Err(Unusable::Expired),
            Status::Active | Status::Grace => Ok(()),
        }
    }

    /// Whether whoever has its key may give seats back. An expired license lets its boxes go.
    pub fn check_releasable(&self) -> Result<(), Unusable> {
        match self.decision {
            Decision::Active => Ok(()),
            Decision::Suspended => Err(Unusable::Suspended),
            Decision::Revoked => Err(Unusable::Revoked),
        }
    }

    /// The end of its grace, if it ever ends.
    pub fn good_until(&self) -> Option<Timestamp> {
        let grace = SignedDuration::from_secs(self.grace_seconds.into());
        self.expires_at
            .map(|end| end.saturating_add(grace).unwrap_or(Timestamp::MAX))
    }

    /// No token may be good for longer than this, if there is an end.
    pub fn tokens_end(&self) -> Option<Timestamp> {
        match self.expiry_strategy {
            ExpiryStrategy::Restrict => self.good_until(),
            ExpiryStrategy::Maintain => None,
        }
    }

    /// Ends every token there is. Tokens are dated by the second, and those that were issued
    /// since an earlier narrowing in this second are dated into the next: these end as well.
    pub fn narrow(&mut self, now: Timestamp) {
        self.narrowed_at = Some(self.tokens_from().map_or(now, |dated| dated.max(now)));
    }

    /// The second from which on its tokens are dated, whatever the time is, if it was narrowed.
    pub fn tokens_from(&self) -> Option<Timestamp> {
        let second = self.narrowed_at?.as_second().saturating_add(1);
        Some(Timestamp::from_second(second).unwrap_or(Timestamp::MAX))
    }

    /// Its tier: its own, else the customer's. `None` is the manifest's default.
    pub fn tier(&self) -> Option<&TierName> {
        self.tier.as_ref().or(self.customer_tier.as_ref())
    }

    /// Where [`Self::tier`] comes from.
    pub fn tier_source(&self) -> TierSource {
        match (&self.tier, &self.customer_tier) {
            (Some(_), _) => TierSource::License,
            (None, Some(_)) => TierSource::Customer,
            (None, None) => TierSource::Default,
        }
    }
}

/// What a license amounts to: its packages, its seats, and its end.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'s> {
    /// What may be installed.
    pub packages: &'s PackageSet,
    /// On how many boxes.
    pub boxes: Limit,
    /// Until when tokens may be good.
    pub tokens_end: Option<Timestamp>,
}

impl Scope<'_> {
    /// Whether `after` takes anything away, so that tokens from before must not go on.
    pub fn is_narrowed_by(&self, after: &Self) -> bool {
        let fewer_boxes = match (self.boxes, after.boxes) {
            (Limit::Unlimited, Limit::Count(_)) => true,
            (Limit::Count(before), Limit::Count(after)) => after < before,
            (_, Limit::Unlimited) => false,
        };
        let sooner = match (self.tokens_end, after.tokens_end) {
            (None, Some(_)) => true,
            (Some(before), Some(after)) => after < before,
            (_, None) => false,
        };
        fewer_boxes || sooner || !after.packages.is_superset(self.packages)
    }
}

/// Whether a time has come, in whole seconds, which is how tokens tell time.
fn has_come(end: Timestamp, now: Timestamp) -> bool {
    end.as_second() <= now.as_second()
}

/// An installation that activated a license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivatedBox {
    /// Its id.
    pub id: BoxId,
    /// What the box says of itself, the same at each activation.
    pub fingerprint: String,
    /// A name for people.
    pub name: Option<String>,
    /// When it took its seat. Where there are fewer seats than boxes, the oldest keep theirs.
    pub activated_at: Timestamp,
    /// When it was heard of last.
    pub last_seen_at: Timestamp,
    /// Until when a license file is good that was signed for it, if one was. Without a network it
    /// is not heard of, so that long no lease takes its seat.
    pub offline_until: Option<Timestamp>,
}

impl ActivatedBox {
    /// Until when it keeps its seat without being heard of, if there is a lease.
    pub fn leased_until(&self, lease_seconds: Option<u32>) -> Option<Timestamp> {
        let lease = SignedDuration::from_secs(lease_seconds?.into());
        let leased = self.last_seen_at.saturating_add(lease);
        let leased = leased.unwrap_or(Timestamp::MAX);
        Some(self.offline_until.map_or(leased, |end| end.max(leased)))
    }

    /// Whether it holds its seat now.
    pub fn holds_seat(&self, lease_seconds: Option<u32>, now: Timestamp) -> bool {
        self.leased_until(lease_seconds).is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn license(decision: Decision, expires_at: Option<i64>) -> License {
        License {
            id: LicenseId::new(Timestamp::UNIX_EPOCH, &[0; 10]),
            customer_id: "c".into(),
            tier: None,
            customer_tier: None,
            customer_boxes: None,
            customer_add_ons: Vec::new(),
            decision,
            expires_at: expires_at.map(at),
            expiry_strategy: ExpiryStrategy::Restrict,
            grace_seconds: 0,
            max_boxes: None,
            lease_seconds: None,
            add_ons: Vec::new(),
            metadata: BTreeMap::new(),
            narrowed_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            boxes_used: 0,
        }
    }

    #[test]
    fn refusals_have_a_fixed_order_and_expiry_is_half_open() {
        use Decision::{Active, Revoked, Suspended};
        let now = at(100);
        for (decision, expires_at, expected) in [
            (Active, None, Ok(())),
            (Active, Some(101), Ok(())),
            (Active, Some(100), Err(Unusable::Expired)),
            (Suspended, Some(1), Err(Unusable::Suspended)),
            (Revoked, Some(1), Err(Unusable::Revoked)),
        ] {
            for holds_seat in [false, true] {
                let license = license(decision, expires_at);
                assert_eq!(license.check_usable(holds_seat, now), expected);
            }
        }
    }

    #[test]
    fn grace_is_a_state_of_its_own_and_ends() {
        let graced = License {
            grace_seconds: 50,
            ..license(Decision::Active, Some(100))
        };
        for (now, status) in [
            (99, Status::Active),
            (100, Status::Grace),
            (149, Status::Grace),
            (150, Status::Expired),
        ] {
            assert_eq!(graced.status(at(now)), status, "{now}");
        }
        assert_eq!(graced.tokens_end(), Some(at(150)));
        let suspended = License {
            decision: Decision::Suspended,
            ..graced
        };
        assert_eq!(suspended.status(at(120)), Status::Suspended);
    }

    #[test]
    fn an_expired_license_that_maintains_is_good_for_seats_that_are_taken() {
        let license = License {
            expiry_strategy: ExpiryStrategy::Maintain,
            ..license(Decision::Active, Some(100))
        };
        assert_eq!(license.check_usable(true, at(200)), Ok(()));
        assert_eq!(license.check_usable(false, at(200)), Err(Unusable::Expired));
        assert_eq!(license.tokens_end(), None);
    }

    #[test]
    fn a_lease_is_half_open_and_may_be_endless() {
        let box_ = ActivatedBox {
            id: BoxId::new(Timestamp::UNIX_EPOCH, &[0; 10]),
            fingerprint: "f".into(),
            name: None,
            activated_at: at(0),
            last_seen_at: at(100),
            offline_until: None,
        };
        assert!(box_.holds_seat(None, at(1_000_000)));
        assert!(box_.holds_seat(Some(60), at(159)));
        assert!(!box_.holds_seat(Some(60), at(160)));
        // A license file that is good for longer, and one that is not.
        for (offline_until, end) in [(500, 500), (120, 160)] {
            let box_ = ActivatedBox {
                offline_until: Some(at(offline_until)),
                ..box_.clone()
            };
            assert!(box_.holds_seat(Some(60), at(end - 1)));
            assert!(!box_.holds_seat(Some(60), at(end)));
        }
    }

    #[test]
    fn whatever_takes_something_away_narrows() {
        let set = |names: &[&str]| {
            let names = names.iter().map(|name| PackageName::parse(name).unwrap());
            PackageSet::from_sorted(names.collect()).unwrap()
        };
        let (one, two) = (set(&["@acme/a"]), set(&["@acme/a", "@acme/b"]));
        let scope = |packages, boxes, end: Option<i64>| Scope {
            packages,
            boxes,
            tokens_end: end.map(at),
        };
        let count = Limit::Count;
        for (before, after, narrows) in [
            (
                scope(&one, count(1), Some(5)),
                scope(&two, count(2), Some(6)),
                false,
            ),
            (
                scope(&one, count(1), Some(5)),
                scope(&one, Limit::Unlimited, None),
                false,
            ),
            (
                scope(&two, count(1), None),
                scope(&one, count(1), None),
                true,
            ),
            (
                scope(&one, count(2), None),
                scope(&two, count(1), None),
                true,
            ),
            (
                scope(&one, Limit::Unlimited, None),
                scope(&two, count(9), None),
                true,
            ),
            (
                scope(&one, count(1), None),
                scope(&two, count(1), Some(5)),
                true,
            ),
            (
                scope(&one, count(1), Some(6)),
                scope(&two, count(1), Some(5)),
                true,
            ),
        ] {
            assert_eq!(
                before.is_narrowed_by(&after),
                narrows,
                "{before:?} {after:?}"
            );
        }
    }
}
