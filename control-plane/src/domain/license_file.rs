//! License files and bundles: what may be signed, and until when it may be good.

use activation_token::OFFLINE_LIFE_SECONDS_MAX;
use activation_token::offline::LicenseRequest;
use jiff::{SignedDuration, Timestamp};

use super::license::{FINGERPRINT_BYTES_MAX, NAME_BYTES_MAX};
use super::{FieldError, LicenseId, Refusal};

/// How long a file is good where nobody says: a year.
const LIFE: SignedDuration = SignedDuration::from_hours(24 * 365);
/// No file is good for longer.
const LIFE_MAX: SignedDuration = SignedDuration::from_secs(OFFLINE_LIFE_SECONDS_MAX);
const REQUEST_ID_BYTES_MAX: usize = 100;

/// Whether a request breaks a rule, for the license that is to be signed for.
pub fn check_request(
    request: &LicenseRequest,
    license: &LicenseId,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let text = FieldError::in_text;
    let named = request.license_id.as_deref();
    let another = named.is_some_and(|named| named != license.as_str());
    Refusal::unless_all_hold([
        text(
            "request.requestId",
            &request.request_id,
            REQUEST_ID_BYTES_MAX,
        ),
        text(
            "request.fingerprint",
            &request.fingerprint,
            FINGERPRINT_BYTES_MAX,
        ),
        request
            .name
            .as_deref()
            .and_then(|name| text("request.name", name, NAME_BYTES_MAX)),
        another.then(|| FieldError::new("request.licenseId", "names another license")),
        FieldError::in_expiry("expiresAt", expires_at, now),
    ])
}

/// Whether a bundle breaks a rule.
pub fn check_bundle(
    contents_sha256: &str,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let is_hash = contents_sha256.len() == 64
        && contents_sha256
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Refusal::unless_all_hold([
        (!is_hash)
            .then(|| FieldError::new("contentsSha256", "is no SHA-256 hash in lower-case hex")),
        FieldError::in_expiry("expiresAt", expires_at, now),
    ])
}

/// When a file ends that is good from `from` on: as was asked for, else in a year or with the
/// license. None where the license has ended. Files tell time in whole seconds.
pub fn end(
    asked: Option<Timestamp>,
    from: Timestamp,
    tokens_end: Option<Timestamp>,
) -> Result<Option<Timestamp>, FieldError> {
    let wrong = |text: String| FieldError::new("expiresAt", text);
    let whole = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
    let latest = from.saturating_add(LIFE_MAX).unwrap_or(from);
    let until = match asked.map(whole) {
        Some(asked) if tokens_end.is_some_and(|end| asked > end) => {
            return Err(wrong("lies behind the end of the license".into()));
        }
        Some(asked) if asked > latest => {
            let days = LIFE_MAX.as_hours() / 24;
            let latest = format!("is more than {days} days away; {latest} is the latest");
            return Err(wrong(latest));
        }
        Some(asked) => asked,
        None => {
            let until = from.saturating_add(LIFE).unwrap_or(from);
            tokens_end.map_or(until, |end| end.min(until))
        }
    };
    let until = whole(until);
    match asked {
        Some(_) if until <= from => Err(wrong("must lie at least a second ahead".into())),
        _ => Ok(Some(until).filter(|until| *until > from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day)
    }

    #[test]
    fn a_file_ends_in_a_year_or_with_its_license() {
        let from = day(100);
        assert_eq!(end(None, from, None), Ok(Some(day(465))));
        assert_eq!(end(None, from, Some(day(200))), Ok(Some(day(200))));
        assert_eq!(end(None, from, Some(day(900))), Ok(Some(day(465))));
        assert_eq!(end(None, from, Some(day(100))), Ok(None));
        let half = SignedDuration::from_millis(500);
        assert_eq!(end(None, from, Some(day(200) + half)), Ok(Some(day(200))));
        assert_eq!(end(None, from, Some(from + half)), Ok(None));
    }

    #[test]
    fn nobody_asks_for_more_than_400_days_or_than_the_license_has() {
        let from = day(100);
        let second = SignedDuration::from_secs(1);
        assert_eq!(end(Some(day(500)), from, None), Ok(Some(day(500))));
        let half = SignedDuration::from_millis(500);
        assert_eq!(end(Some(day(500) + half), from, None), Ok(Some(day(500))));
        let error = end(Some(day(500) + second), from, None).unwrap_err();
        assert!(error.message.contains("400 days"), "{error:?}");
        assert_eq!(
            end(Some(day(300)), from, Some(day(300))),
            Ok(Some(day(300)))
        );
        let error = end(Some(day(300) + second), from, Some(day(300))).unwrap_err();
        assert!(error.message.contains("the license"), "{error:?}");
        let error = end(Some(from), from, None).unwrap_err();
        assert_eq!(error.field, "expiresAt");
    }
}
