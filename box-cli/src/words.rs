//! Times as people say them.

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};

/// A length of time, to the unit that matters.
pub fn time(time: SignedDuration) -> String {
    let seconds = time.as_secs().max(0);
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7_199 => (seconds / 60, "minute"),
        7_200..=172_799 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    self::count(usize::try_from(count).unwrap_or(usize::MAX), unit)
}

/// So many of something.
pub fn count(count: usize, unit: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// A line for each.
pub fn lines(of: impl IntoIterator<Item: Display>) -> String {
    let mut text = String::new();
    for line in of {
        text += &line.to_string();
        text.push('\n');
    }
    text
}

/// Until when something is good, or since when it is not, with the time itself.
pub fn until(end: Timestamp, now: Timestamp) -> String {
    let left = end.duration_since(now);
    let end = to_the_second(end);
    if left.is_positive() {
        format!("good for {}, until {end}", time(left))
    } else {
        format!("over since {}, {end}", time(left.abs()))
    }
}

/// A time without fractions.
pub fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// That the clock stands before what it showed earlier.
pub fn clock_behind(by: SignedDuration) -> String {
    format!(
        "this machine's clock stands {} before a time it showed already\n  hint: set it right",
        time(by)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_matters() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(time(SignedDuration::from_secs(seconds)), words);
        }
    }
}
