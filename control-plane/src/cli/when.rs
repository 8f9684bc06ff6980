//! A point in time as an operator writes it.

use std::str::FromStr;

use activation_token::clock::{Clock, SystemClock};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A time in UTC (`2027-01-31T12:00:00Z`), a day that begins (`2027-01-31`), or a span from now
/// (`30d`, `+30d`, `in 1 year`; `-30d` and `30d ago` for the past).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When(pub Timestamp);

/// The text is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no time such as `2027-01-31T12:00:00Z`, `2027-01-31` or `30d`")]
pub struct NoTime;

impl FromStr for When {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        Self::parse(text, SystemClock.now())
    }
}

impl When {
    fn parse(text: &str, now: Timestamp) -> Result<Self, NoTime> {
        let day = || {
            let date: Date = text.parse().ok()?;
            let start = date.to_zoned(TimeZone::UTC).ok()?;
            Some(start.timestamp())
        };
        let span = || {
            let text = text.strip_prefix("in ").unwrap_or(text);
            let span: Span = text.parse().ok()?;
            // Months and years have no length of their own; the calendar gives them one.
            let end = now.to_zoned(TimeZone::UTC).checked_add(span).ok()?;
            Some(end.timestamp())
        };
        let time = text.parse::<Timestamp>().ok();
        time.or_else(day).or_else(span).map(Self).ok_or(NoTime)
    }
}

/// A length of time as an operator writes it (`45m`, `7d`, `1 week`), in seconds.
pub fn seconds(text: &str) -> Result<u32, String> {
    let span: Result<Span, _> = text.parse();
    let span = span.map_err(|_| "this is no length of time such as `45m` or `7d`")?;
    // Days of 24 hours; months and years are not taken, since they have no length.
    let seconds = span
        .total((
            jiff::Unit::Second,
            jiff::SpanRelativeTo::days_are_24_hours(),
        ))
        .map_err(|_| "months and years have no fixed length; say it in days")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked in the same line"
    )]
    (0.0..=f64::from(u32::MAX))
        .contains(&seconds)
        .then_some(seconds as u32)
        .ok_or_else(|| "this is too long, or lies in the past".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_one_of_three_ways() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let read = |text| When::parse(text, now).map(|When(at)| at.to_string());
        for (text, expected) in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("30d", "2026-12-27T12:00:00Z"),
            ("1y", "2027-11-27T12:00:00Z"),
            ("2 weeks", "2026-12-11T12:00:00Z"),
            ("P1M", "2026-12-27T12:00:00Z"),
            ("+30d", "2026-12-27T12:00:00Z"),
            ("in 1 year", "2027-11-27T12:00:00Z"),
            ("-1d", "2026-11-26T12:00:00Z"),
            ("1 day ago", "2026-11-26T12:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "soon", "2027-13-01", "30"] {
            assert_eq!(read(text), Err(NoTime), "{text}");
        }
    }

    #[test]
    fn a_length_is_fixed() {
        assert_eq!(seconds("45m"), Ok(2700));
        assert_eq!(seconds("7d"), Ok(604_800));
        assert_eq!(seconds("0s"), Ok(0));
        for text in ["1mo", "-5m", "200y", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
