//! Licenses, and when one may be used.

use std::collections::BTreeMap;

use jiff::Timestamp;
use manifest::{PackageName, TierName};

use super::{BoxId, LicenseId};

/// A customer's right, held as a key. The key itself is kept as a digest only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct License {
    /// Its id.
    pub id: LicenseId,
    /// Who bought: an opaque string of the vendor's.
    pub customer_id: String,
    /// The tier it names, or none when it follows the customer's.
    pub tier: Option<TierName>,
    /// What the operator decided.
    pub status: LicenseStatus,
    /// From when on it is no longer good, if ever.
    pub expires_at: Option<Timestamp>,
    /// How many boxes it may have, or none when its tier's `boxes` limit decides.
    pub max_boxes: Option<u32>,
    /// Packages beyond the tier, each with all that it requires.
    pub add_ons: Vec<PackageName>,
    /// The vendor's own notes.
    pub metadata: BTreeMap<String, String>,
    /// When it was issued.
    pub created_at: Timestamp,
}

/// An operator's decision about a license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LicenseStatus {
    /// May be used.
    Active,
    /// May not be used for now.
    Suspended,
    /// May never be used again.
    Revoked,
}

impl LicenseStatus {
    /// The status as it is stored and shown.
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
            .find(|s| s.as_str() == text)
    }
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
    /// Whether the license may be used now. Order of precedence: revoked, suspended, expired.
    pub fn check_usable(&self, now: Timestamp) -> Result<(), Unusable> {
        match self.status {
            LicenseStatus::Revoked => Err(Unusable::Revoked),
            LicenseStatus::Suspended => Err(Unusable::Suspended),
            LicenseStatus::Active if self.expires_at.is_some_and(|end| has_come(end, now)) => {
                Err(Unusable::Expired)
            }
            LicenseStatus::Active => Ok(()),
        }
    }
}

/// Whether a time has come, in whole seconds, which is how tokens tell time.
fn has_come(end: Timestamp, now: Timestamp) -> bool {
    end.as_second() <= now.as_second()
}

/// An installation that activated a license and holds one of its seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivatedBox {
    /// Its id.
    pub id: BoxId,
    /// What the box says of itself, the same at each activation.
    pub fingerprint: String,
    /// A name for people.
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn license(status: LicenseStatus, expires_at: Option<i64>) -> License {
        License {
            id: LicenseId::new(Timestamp::UNIX_EPOCH, &[0; 10]),
            customer_id: "c".into(),
            tier: None,
            status,
            expires_at: expires_at.map(|s| Timestamp::from_second(s).unwrap()),
            max_boxes: None,
            add_ons: Vec::new(),
            metadata: BTreeMap::new(),
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn refusals_have_a_fixed_order_and_expiry_is_half_open() {
        use LicenseStatus::{Active, Revoked, Suspended};
        let now = Timestamp::from_second(100).unwrap();
        for (status, expires_at, expected) in [
            (Active, None, Ok(())),
            (Active, Some(101), Ok(())),
            (Active, Some(100), Err(Unusable::Expired)),
            (Suspended, Some(1), Err(Unusable::Suspended)),
            (Revoked, Some(1), Err(Unusable::Revoked)),
        ] {
            assert_eq!(license(status, expires_at).check_usable(now), expected);
        }
    }
}
