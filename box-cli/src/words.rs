//! Times and numbers as people read them.

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};

/// A number of things.
pub fn count(number: usize, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
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

/// A point in time, to the second, in UTC.
pub fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// A point in time, and how long it is until then or since.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    let left = at.duration_since(now);
    let about = about(left.abs());
    let told = if left.is_negative() {
        format!("{about} ago")
    } else {
        format!("in {about}")
    };
    format!("{} ({told})", time(at))
}

/// A length of time in its largest unit.
pub fn about(length: SignedDuration) -> String {
    let (minutes, hours) = (length.as_mins(), length.as_hours());
    let of = |number: i64, unit| count(usize::try_from(number).unwrap_or(0), unit);
    match (minutes, hours) {
        (0, _) => of(length.as_secs(), "second"),
        (..120, _) => of(minutes, "minute"),
        (_, ..48) => of(hours, "hour"),
        _ => of(hours / 24, "day"),
    }
}

/// That the clock stands before what it showed earlier.
pub fn clock_behind(by: SignedDuration) -> String {
    format!(
        "this machine's clock stands {} before the time at which the token was made\n  \
         hint: set it right",
        about(by)
    )
}

/// That the clock shows another time than the control plane's.
pub fn clock_differs(ahead: SignedDuration) -> String {
    let way = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    format!(
        "this machine's clock is {} {way} the control plane's\n  \
         hint: set it right, or tokens seem to end at the wrong time",
        about(ahead.abs())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let after = |seconds| until(now + SignedDuration::from_secs(seconds), now);
        assert_eq!(after(59), "2026-11-27T12:00:59Z (in 59 seconds)");
        assert_eq!(after(60), "2026-11-27T12:01:00Z (in 1 minute)");
        assert_eq!(after(-7199), "2026-11-27T10:00:01Z (119 minutes ago)");
        assert_eq!(after(7200), "2026-11-27T14:00:00Z (in 2 hours)");
        assert_eq!(after(14 * 86400), "2026-12-11T12:00:00Z (in 14 days)");
    }
}
