//! Stretches of time: buckets of the calendar in UTC, and the windows that usage is read for.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use manifest::Period;

use super::MeterError;

const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A half-open stretch of time: `from` belongs to it, `to` does not (MET-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// Where it begins.
    pub from: Timestamp,
    /// Where it has ended.
    pub to: Timestamp,
}

/// What usage is read for.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    /// The stretch of the calendar that now lies in (MET-10).
    Current(Period),
    /// So much time, ending now (MET-10, MET-11).
    Rolling(Span),
    /// Exactly this (MET-12).
    Range(Stretch),
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no window: give minute, hour, day, week, month or year for the one that runs, \
     or a time such as `30 days` or `P1M` that ends now"
)]
pub struct NoWindow(String);

impl Stretch {
    /// The stretch of the calendar that a time lies in (MET-9).
    pub fn of(period: Period, at: Timestamp) -> Result<Self, MeterError> {
        let at = at.as_microsecond();
        match period {
            Period::Minute => Self::regular(at, MINUTE, 0),
            Period::Hour => Self::regular(at, HOUR, 0),
            Period::Day => Self::regular(at, DAY, 0),
            // 1970 began on a Thursday, three days into its week.
            Period::Week => Self::regular(at, 7 * DAY, 3 * DAY),
            Period::Month => {
                let first = day_of(at)?.first_of_month();
                Self::between(first, first.checked_add(1.month()))
            }
            Period::Year => {
                let first = day_of(at)?.first_of_year();
                Self::between(first, first.checked_add(1.year()))
            }
        }
    }

    /// Stretches of one length, of which one began `shift` before 1970.
    fn regular(at: i64, length: i64, shift: i64) -> Result<Self, MeterError> {
        let into = at.saturating_add(shift).rem_euclid(length);
        let from = at.saturating_sub(into);
        Ok(Self {
            from: time(from)?,
            to: time(from.saturating_add(length))?,
        })
    }

    fn between(first: Date, next: Result<Date, jiff::Error>) -> Result<Self, MeterError> {
        Ok(Self {
            from: midnight(first)?,
            to: midnight(next.map_err(|_| MeterError::OutOfTime)?)?,
        })
    }
}

impl Window {
    /// From when to when this reaches, if it is `now`.
    pub fn stretch(&self, now: Timestamp) -> Result<Stretch, MeterError> {
        match self {
            Self::Current(period) => Stretch::of(*period, now),
            Self::Rolling(span) => {
                if !span.is_positive() {
                    return Err(MeterError::EmptyWindow);
                }
                // Calendar arithmetic: a month before 31 March is 28 February.
                let from = now.to_zoned(TimeZone::UTC).checked_sub(*span);
                let from = from.map_err(|_| MeterError::OutOfTime)?.timestamp();
                Ok(Stretch {
                    from: time(from.as_microsecond())?,
                    // Now belongs to it.
                    to: time(now.as_microsecond().saturating_add(1))?,
                })
            }
            Self::Range(stretch) if stretch.from < stretch.to => Ok(*stretch),
            Self::Range(_) => Err(MeterError::EmptyWindow),
        }
    }
}

impl FromStr for Window {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        if let Some(period) = Period::parse(text) {
            return Ok(Self::Current(period));
        }
        let span: Span = text.parse().map_err(|_| NoWindow(text.to_owned()))?;
        if span.is_positive() {
            Ok(Self::Rolling(span))
        } else {
            Err(NoWindow(text.to_owned()))
        }
    }
}

/// Microseconds since 1970, as times are stored.
pub(super) fn time(microseconds: i64) -> Result<Timestamp, MeterError> {
    Timestamp::from_microsecond(microseconds).map_err(|_| MeterError::OutOfTime)
}

fn day_of(at: i64) -> Result<Date, MeterError> {
    Ok(time(at)?.to_zoned(TimeZone::UTC).date())
}

fn midnight(date: Date) -> Result<Timestamp, MeterError> {
    let zoned = date.to_zoned(TimeZone::UTC);
    Ok(zoned.map_err(|_| MeterError::OutOfTime)?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn shown(stretch: Stretch) -> String {
        format!("{}/{}", stretch.from, stretch.to)
    }

    #[test]
    fn met_9_buckets_roll_at_boundaries_in_utc_and_weeks_start_on_monday() {
        for (period, time, expected) in [
            (
                Period::Minute,
                "2026-03-31T23:59:59.999999Z",
                "2026-03-31T23:59:00Z/2026-04-01T00:00:00Z",
            ),
            (
                Period::Hour,
                "2026-03-31T23:59:59Z",
                "2026-03-31T23:00:00Z/2026-04-01T00:00:00Z",
            ),
            (
                Period::Day,
                "2026-03-31T01:30:00+02:00",
                "2026-03-30T00:00:00Z/2026-03-31T00:00:00Z",
            ),
            // A Sunday, then the Monday after it.
            (
                Period::Week,
                "2026-03-29T23:59:59Z",
                "2026-03-23T00:00:00Z/2026-03-30T00:00:00Z",
            ),
            (
                Period::Week,
                "2026-03-30T00:00:00Z",
                "2026-03-30T00:00:00Z/2026-04-06T00:00:00Z",
            ),
            // The first ISO week of 2026 began in 2025.
            (
                Period::Week,
                "2026-01-01T00:00:00Z",
                "2025-12-29T00:00:00Z/2026-01-05T00:00:00Z",
            ),
            (
                Period::Week,
                "1969-12-31T00:00:00Z",
                "1969-12-29T00:00:00Z/1970-01-05T00:00:00Z",
            ),
            (
                Period::Month,
                "2028-02-29T12:00:00Z",
                "2028-02-01T00:00:00Z/2028-03-01T00:00:00Z",
            ),
            (
                Period::Month,
                "2026-12-31T23:59:59Z",
                "2026-12-01T00:00:00Z/2027-01-01T00:00:00Z",
            ),
            (
                Period::Year,
                "2026-12-31T23:59:59Z",
                "2026-01-01T00:00:00Z/2027-01-01T00:00:00Z",
            ),
        ] {
            let bucket = Stretch::of(period, at(time)).unwrap();
            assert_eq!(shown(bucket), expected, "{period:?} {time}");
            // What begins belongs to it, what ends does not.
            assert_eq!(Stretch::of(period, bucket.from).unwrap(), bucket);
            let last = bucket.to - 1.microsecond();
            assert_eq!(Stretch::of(period, last).unwrap(), bucket);
            assert_eq!(Stretch::of(period, bucket.to).unwrap().from, bucket.to);
        }
    }

    #[test]
    fn met_10_a_word_means_the_calendar_and_a_duration_means_a_window_that_ends_now() {
        let now = at("2026-11-21T12:00:00Z");
        let window = |text: &str| text.parse::<Window>().unwrap().stretch(now).unwrap();
        assert_eq!(
            shown(window("month")),
            "2026-11-01T00:00:00Z/2026-12-01T00:00:00Z"
        );
        for text in ["1 month", "P1M", "1mo"] {
            let rolling = "2026-10-21T12:00:00Z/2026-11-21T12:00:00.000001Z";
            assert_eq!(shown(window(text)), rolling, "{text}");
        }
        for text in ["", "quarter", "-3 days", "0 days", "months"] {
            assert_eq!(text.parse::<Window>().unwrap_err(), NoWindow(text.into()));
        }
    }

    #[test]
    fn met_11_calendar_arithmetic_stops_at_the_last_day_of_a_month() {
        for (now, from) in [
            ("2026-03-31T10:00:00Z", "2026-02-28T10:00:00Z"),
            ("2028-03-31T10:00:00Z", "2028-02-29T10:00:00Z"),
            ("2026-05-31T10:00:00Z", "2026-04-30T10:00:00Z"),
        ] {
            let stretch = Window::Rolling(1.month()).stretch(at(now)).unwrap();
            assert_eq!(stretch.from, at(from));
        }
    }

    #[test]
    fn met_12_a_range_is_half_open_and_may_not_be_empty() {
        let (from, to) = (at("2026-11-01T00:00:00Z"), at("2026-11-02T00:00:00Z"));
        let range = Stretch { from, to };
        assert_eq!(Window::Range(range).stretch(to).unwrap(), range);
        let empty = Window::Range(Stretch { from, to: from });
        assert!(matches!(empty.stretch(to), Err(MeterError::EmptyWindow)));
    }
}
