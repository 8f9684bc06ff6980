//! What boxes are warned of: that their license expires soon, or goes on for a grace alone.
//!
//! npm prints the header `npm-notice` of each answer, but of none that it keeps in its cache or
//! takes from there. So a document that shall be read may not be kept, and as an install reads
//! many at once, only one of them every few seconds is such a one. An answer without a body, which
//! npm prints nothing of, always says it: others may.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use activation_token::snapshot::ExpiringLicense;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The header that npm prints.
pub(crate) const NPM_NOTICE: HeaderName = HeaderName::from_static("npm-notice");
/// What lets npm print it; for all else that is one caller's own, too.
pub(crate) const NOT_KEPT: HeaderValue = HeaderValue::from_static("private, no-store");
/// After a whole document has told it, the next one tells it so many seconds later.
const AGAIN_AFTER: i64 = 5;

/// The licenses of a snapshot that are warned.
pub(crate) struct Notices(HashMap<String, Notice>);

struct Notice {
    expires_at: Timestamp,
    grace_until: Option<Timestamp>,
    /// When a whole document told it last, in seconds.
    told_at: AtomicI64,
}

impl Notices {
    /// Takes a snapshot's list.
    pub(crate) fn compile(expiring: Vec<ExpiringLicense>) -> Self {
        let notice = |license: ExpiringLicense| {
            let notice = Notice {
                expires_at: license.expires_at,
                grace_until: license.grace_until,
                told_at: AtomicI64::new(i64::MIN),
            };
            (license.id, notice)
        };
        Self(expiring.into_iter().map(notice).collect())
    }

    /// What a license is told now, if anything. `shown` says whether npm will print it.
    pub(crate) fn find(
        &self,
        license_id: &str,
        shown: bool,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let notice = self.0.get(license_id)?;
        if shown {
            let (told_at, second) = (notice.told_at.load(Ordering::Relaxed), now.as_second());
            let soon = (told_at..told_at.saturating_add(AGAIN_AFTER)).contains(&second);
            let swap = |told_at, second| {
                let (one, other) = (Ordering::Relaxed, Ordering::Relaxed);
                notice.told_at.compare_exchange(told_at, second, one, other)
            };
            if soon || swap(told_at, second).is_err() {
                return None;
            }
        }
        HeaderValue::try_from(notice.text(now)).ok()
    }
}

impl Notice {
    fn text(&self, now: Timestamp) -> String {
        let expiry = day(self.expires_at);
        if now < self.expires_at {
            return format!("your license expires on {expiry}; ask your vendor to renew it");
        }
        match self.grace_until.filter(|end| now < *end) {
            Some(end) => {
                let end = day(end);
                format!(
                    "your license expired on {expiry} and goes on until {end}; ask your vendor to renew it"
                )
            }
            None => format!("your license expired on {expiry}; ask your vendor to renew it"),
        }
    }
}

/// The day of an instant, in UTC.
fn day(instant: Timestamp) -> Date {
    instant.to_zoned(TimeZone::UTC).date()
}
