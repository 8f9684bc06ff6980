//! Which part of a file a request asks for (RFC 9110, section 14). Arithmetic alone.

use std::ops::Range;

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};

/// What a request wants of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// One part, never empty.
    Part(Range<u64>),
    /// A part that the file does not have.
    Nothing,
}

impl Wanted {
    /// Reads the headers of a GET for a file of this length, at this state. Several ranges at a
    /// time, other units and what is no range are answered with the whole file, as are parts of
    /// another state.
    pub(crate) fn of(headers: &HeaderMap, etag: &HeaderValue, length: u64) -> Self {
        let mut ranges = headers.get_all(RANGE).iter();
        let (Some(range), None) = (ranges.next(), ranges.next()) else {
            return Self::Whole;
        };
        let mut conditions = headers.get_all(IF_RANGE).iter();
        match (conditions.next(), conditions.next()) {
            (None, _) => {}
            // A weak tag, a date and two conditions never hold.
            (Some(condition), None) if condition == etag => {}
            _ => return Self::Whole,
        }
        let range = range.to_str().ok();
        range.map_or(Self::Whole, |range| Self::read(range, length))
    }

    fn read(text: &str, length: u64) -> Self {
        let Some((unit, set)) = text.split_once('=') else {
            return Self::Whole;
        };
        let Some((first, last)) = set.trim_matches([' ', '\t']).split_once('-') else {
            return Self::Whole;
        };
        if !unit.eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let (first, last) = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last),
            (Some(first), None) if last.is_empty() => (first, u64::MAX),
            // The last so many.
            (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), u64::MAX),
            _ => return Self::Whole,
        };
        let end = last.saturating_add(1).min(length);
        if first < end {
            Self::Part(first..end)
        } else {
            Self::Nothing
        }
    }
}

/// Digits and nothing else. What is larger than any file is as good as the largest number.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ETAG: HeaderValue = HeaderValue::from_static("\"abc\"");

    fn wanted(range: &str, length: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().unwrap());
        Wanted::of(&headers, &ETAG, length)
    }

    #[test]
    fn a_range_is_read_as_the_standard_says() {
        use Wanted::{Nothing, Part, Whole};
        let cases = [
            ("bytes=0-0", Part(0..1)),
            ("bytes=0-499", Part(0..500)),
            ("bytes=500-999", Part(500..1000)),
            ("bytes=500-99999", Part(500..1000)),
            ("bytes=999-", Part(999..1000)),
            ("bytes=0-", Part(0..1000)),
            ("bytes=-1", Part(999..1000)),
            ("bytes=-1000", Part(0..1000)),
            ("bytes=-5000", Part(0..1000)),
            ("bytes=5-99999999999999999999999", Part(5..1000)),
            ("BYTES= 1-2 ", Part(1..3)),
            ("bytes=1000-", Nothing),
            ("bytes=1000-2000", Nothing),
            ("bytes=99999999999999999999999-", Nothing),
            ("bytes=-0", Nothing),
            ("bytes=2-1", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=0-1,", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("bytes 0-1", Whole),
            ("lines=0-1", Whole),
            ("bytes=0x1-2", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=--1", Whole),
            ("bytes=1- 2", Whole),
            ("", Whole),
        ];
        for (range, expected) in cases {
            assert_eq!(wanted(range, 1000), expected, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Nothing);
        assert_eq!(wanted("bytes=-5", 0), Nothing);
    }

    #[test]
    fn a_part_of_another_state_is_not_sent() {
        let cases = [
            ("\"abc\"", true),
            ("W/\"abc\"", false),
            ("\"abd\"", false),
            ("Sat, 21 Nov 2026 12:00:00 GMT", false),
            ("*", false),
        ];
        for (condition, holds) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static("bytes=1-2"));
            headers.insert(IF_RANGE, condition.parse().unwrap());
            let part = Wanted::of(&headers, &ETAG, 10) == Wanted::Part(1..3);
            assert_eq!(part, holds, "{condition}");
        }
        let mut headers = HeaderMap::new();
        headers.append(RANGE, HeaderValue::from_static("bytes=1-2"));
        headers.append(RANGE, HeaderValue::from_static("bytes=3-4"));
        assert_eq!(Wanted::of(&headers, &ETAG, 10), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file_and_is_what_was_named(
            first in 0_u64..60,
            count in 0_u64..60,
            length in 0_u64..50,
        ) {
            let bytes: Vec<u64> = (0..length).collect();
            let taken = |wanted| match wanted {
                Wanted::Part(part) => {
                    assert!(part.start < part.end && part.end <= length);
                    bytes.iter().copied().filter(|at| part.contains(at)).collect()
                }
                Wanted::Nothing => Vec::new(),
                Wanted::Whole => panic!("a range was passed over"),
            };
            // The slow way: each byte is asked whether it was named.
            let named = |name: &dyn Fn(u64) -> bool| -> Vec<u64> {
                bytes.iter().copied().filter(|at| name(*at)).collect()
            };
            let last = first + count;
            prop_assert_eq!(
                taken(wanted(&format!("bytes={first}-{last}"), length)),
                named(&|at| (first..=last).contains(&at))
            );
            prop_assert_eq!(
                taken(wanted(&format!("bytes={first}-"), length)),
                named(&|at| at >= first)
            );
            prop_assert_eq!(
                taken(wanted(&format!("bytes=-{count}"), length)),
                named(&|at| at + count >= length)
            );
        }

        #[test]
        fn no_header_breaks_it(text in "(bytes)?=?[0-9, -]{0,30}", length in any::<u64>()) {
            if let Wanted::Part(part) = wanted(&text, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
