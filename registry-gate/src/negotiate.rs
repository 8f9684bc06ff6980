//! Two request headers that choose between answers: `Accept` and `If-None-Match` (RFC 9110).

use http::HeaderValue;
use http::header::GetAll;

use crate::packument::ABBREVIATED;

/// Whether the abbreviated form is wanted: named outright, and no less than plain JSON.
pub(crate) fn prefers_abbreviated(accept: GetAll<'_, HeaderValue>) -> bool {
    let mut abbreviated = None;
    // The most specific range that takes plain JSON counts.
    let (mut json, mut json_specificity) = (0, 0);
    for value in accept {
        let Ok(text) = value.to_str() else { continue };
        for (range, quality) in text.split(',').filter_map(media_range) {
            if range.eq_ignore_ascii_case(ABBREVIATED) {
                abbreviated = Some(quality);
            }
            let specificity = match range {
                "*/*" => 1,
                "application/*" => 2,
                _ if range.eq_ignore_ascii_case("application/json") => 3,
                _ => continue,
            };
            if specificity > json_specificity {
                (json, json_specificity) = (quality, specificity);
            }
        }
    }
    abbreviated.is_some_and(|quality| quality > 0 && quality >= json)
}

/// A media range and its quality in thousandths.
fn media_range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next()?;
    let mut weights = parts.filter_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = match weights.next() {
        Some(weight) => thousandths(weight)?,
        None => 1000,
    };
    Some((range, quality))
}

/// `0`, `0.8`, `1.000`: at most three digits after the point, at most one.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole = match whole {
        "0" => 0,
        "1" => 1000,
        _ => return None,
    };
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    Some(whole + part).filter(|quality| *quality <= 1000)
}

/// Whether a client has these bytes already. The comparison is weak, as RFC 9110 section 13.1.2
/// asks.
pub(crate) fn matches_etag(if_none_match: GetAll<'_, HeaderValue>, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else {
        return false;
    };
    if_none_match
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|told| told == "*" || told.strip_prefix("W/").unwrap_or(told) == etag)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{ACCEPT, IF_NONE_MATCH};

    use super::*;

    fn headers(name: &http::HeaderName, values: &[&'static str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_static(value));
        values.map(|value| (name.clone(), value)).collect()
    }

    #[test]
    fn the_abbreviated_form_is_sent_to_those_who_name_it() {
        let npm = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";
        let cases: [(&[&str], bool); 11] = [
            (&[npm], true),
            (&["application/vnd.npm.install-v1+json"], true),
            (&["application/vnd.npm.install-v1+json, */*"], true),
            (
                &["application/vnd.npm.install-v1+json;q=0.5", "text/html"],
                true,
            ),
            (
                &["application/json", "application/vnd.npm.install-v1+json"],
                true,
            ),
            (&["application/json"], false),
            (&["*/*"], false),
            (&[], false),
            (
                &["application/vnd.npm.install-v1+json;q=0.5,application/json"],
                false,
            ),
            (&["application/vnd.npm.install-v1+json;q=0"], false),
            (&["application/vnd.npm.install-v1+json;q=7"], false),
        ];
        for (accept, abbreviated) in cases {
            let accept: Vec<&'static str> = accept.to_vec();
            let headers = headers(&ACCEPT, &accept);
            assert_eq!(
                prefers_abbreviated(headers.get_all(ACCEPT)),
                abbreviated,
                "{accept:?}"
            );
        }
    }

    #[test]
    fn an_etag_matches_in_a_list_weak_or_strong() {
        let etag = HeaderValue::from_static("\"abc\"");
        let cases = [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("*", true),
            ("\"x\"", false),
            ("abc", false),
            ("", false),
        ];
        for (told, expected) in cases {
            let headers = headers(&IF_NONE_MATCH, &[told]);
            assert_eq!(
                matches_etag(headers.get_all(IF_NONE_MATCH), &etag),
                expected,
                "{told}"
            );
        }
    }
}
