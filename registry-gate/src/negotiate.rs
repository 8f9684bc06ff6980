//! The request headers that choose between answers: `Accept`, `Accept-Encoding` and
//! `If-None-Match` (RFC 9110).

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
        for (range, quality) in text.split(',').filter_map(weighted) {
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

/// Whether the compressed form is to be sent: taken, and no less than the plain one. Where
/// neither is taken, or where there is no compressed form, the plain one is sent all the same:
/// the client may still make something of it.
pub(crate) fn takes_gzip(accept_encoding: GetAll<'_, HeaderValue>) -> bool {
    let (mut gzip, mut identity, mut others) = (None, None, None);
    for value in accept_encoding {
        let Ok(text) = value.to_str() else { continue };
        for (coding, quality) in text.split(',').filter_map(weighted) {
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                gzip = Some(quality);
            } else if coding.eq_ignore_ascii_case("identity") {
                identity = Some(quality);
            } else if coding == "*" {
                others = Some(quality);
            }
        }
    }
    // Plain bytes that nobody named are taken, but are nobody's wish.
    let identity = identity.or(others).unwrap_or(0);
    let gzip = gzip.or(others).unwrap_or(0);
    gzip > 0 && gzip >= identity
}

/// A member of a list such as `gzip;q=0.8` and its quality in thousandths.
fn weighted(text: &str) -> Option<(&str, u16)> {
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
    let whole = match whole {
        "0" => 0,
        "1" => 1000,
        _ => return None,
    };
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = part.bytes().map(|b| u16::from(b - b'0'));
    let places = [100, 10, 1].into_iter();
    let part: u16 = digits.zip(places).map(|(digit, place)| digit * place).sum();
    Some(whole + part).filter(|quality| *quality <= 1000)
}

/// Whether a client has these bytes already. The comparison is weak, as RFC 9110 section 13.1.2
/// asks.
pub(crate) fn matches_etag(if_none_match: &GetAll<'_, HeaderValue>, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else {
        return false;
    };
    if_none_match
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|told| told == "*" || told.strip_prefix("W/").unwrap_or(told) == etag)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{ACCEPT, ACCEPT_ENCODING, IF_NONE_MATCH};

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
    fn the_compressed_form_is_sent_to_those_who_take_it() {
        let cases: [(&[&str], bool); 18] = [
            (&["gzip,deflate,br"], true),
            (&["gzip"], true),
            (&["GZip"], true),
            (&["x-gzip"], true),
            (&["br", "gzip;q=0.2"], true),
            (&["gzip;q=0.001"], true),
            (&["*"], true),
            (&["identity;q=0, *;q=0.5"], true),
            (&["identity;q=0.5, gzip; q=1.0"], true),
            (&[], false),
            (&[""], false),
            (&["br, deflate"], false),
            (&["identity"], false),
            (&["gzip;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["*;q=0"], false),
            (&["identity, gzip;q=0.5"], false),
            (&["gzip;q=2"], false),
        ];
        for (told, expected) in cases {
            let headers = headers(&ACCEPT_ENCODING, told);
            let taken = takes_gzip(headers.get_all(ACCEPT_ENCODING));
            assert_eq!(taken, expected, "{told:?}");
        }
    }

    #[test]
    fn a_quality_has_at_most_three_digits() {
        let good = [
            ("1", 1000),
            ("0", 0),
            ("0.", 0),
            ("1.000", 1000),
            ("0.5", 500),
            ("0.029", 29),
        ];
        for (text, expected) in good {
            assert_eq!(thousandths(text), Some(expected), "{text}");
        }
        for text in ["", "2", "1.001", "0.1234", "0.x", ".5", "-1", "00.1"] {
            assert_eq!(thousandths(text), None, "{text}");
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
                matches_etag(&headers.get_all(IF_NONE_MATCH), &etag),
                expected,
                "{told}"
            );
        }
    }
}
