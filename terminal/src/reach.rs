//! The way to a server, as a doctor looks at it: why there is none, whether it is encrypted, and
//! whether both clocks agree.

use std::error::Error;

use jiff::{SignedDuration, Timestamp};
use url::{Host, Url};

use crate::checks::Check;

/// A clock may be off by so much: answers take time, and tell theirs to the second.
const CLOCK_GOOD: SignedDuration = SignedDuration::from_secs(30);
/// Beyond this, times that are written down here are wrong ones there.
const CLOCK_BAD: SignedDuration = SignedDuration::from_mins(5);

/// An error with its causes, in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        // Many errors repeat their cause.
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

/// A length of time for people, to its two largest units.
pub fn length(time: SignedDuration) -> String {
    let seconds = time.as_secs().unsigned_abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Reads a server's address. Says what is wrong with what cannot be one, or would put a password
/// where addresses are shown.
pub fn address(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("an address begins with https:// or http://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address has no user and no password in it".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an address has neither `?` nor `#`".to_owned());
    }
    Ok(url)
}

/// Whether what is sent there stays on this machine.
pub fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// How requests travel.
pub fn transport(name: &'static str, url: &str) -> Check {
    let Ok(url) = url.parse::<Url>() else {
        return Check::skipped(name, "the address is none");
    };
    if url.scheme() == "https" {
        Check::ok(name, "its certificate verifies")
    } else if is_here(&url) {
        Check::skipped(name, "plain HTTP, on this machine")
    } else {
        let fix = "give the server a certificate, or put a TLS proxy in front of it";
        Check::warning(name, "tokens travel unencrypted", fix)
    }
}

/// Whether this machine's clock agrees with a server's, as its answer told it.
pub fn clock(theirs: Option<Timestamp>, ours: Timestamp) -> Check {
    let Some(theirs) = theirs else {
        return Check::skipped("clock", "the server does not tell its time");
    };
    let ahead = ours.duration_since(theirs);
    let seen = match ahead.abs() {
        off if off <= CLOCK_GOOD => return Check::ok("clock", "agrees with the server's"),
        off if ahead.is_positive() => format!("{} ahead of the server's", length(off)),
        off => format!("{} behind the server's", length(off)),
    };
    let fix = "let both machines take their time from the network (NTP)";
    if ahead.abs() > CLOCK_BAD {
        Check::failed("clock", seen, fix)
    } else {
        Check::warning("clock", seen, fix)
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::State;

    use super::*;

    #[test]
    fn an_address_is_http_and_shows_nothing_secret() {
        for good in ["https://a.example", "http://[::1]:7400/tollgate/"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "a.example",
            "localhost:7400",
            "file:///etc",
            "https://me:secret@a.example",
            "https://me@a.example",
            "https://a.example/?a=b",
            "https://a.example/#a",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let seen = |seconds| {
            let theirs = now + SignedDuration::from_secs(seconds);
            let check = clock(Some(theirs), now);
            (check.state, check.seen)
        };
        assert_eq!(seen(30).0, State::Ok);
        assert_eq!(
            seen(-31),
            (State::Warning, "31 s ahead of the server's".to_owned())
        );
        assert_eq!(
            seen(3_700),
            (State::Failed, "1 h 1 min behind the server's".to_owned())
        );
        assert_eq!(clock(None, now).state, State::Skipped);
    }

    #[test]
    fn only_what_leaves_the_machine_must_be_encrypted() {
        for (url, state) in [
            ("https://tollgate.example", State::Ok),
            ("http://127.0.0.1:7400", State::Skipped),
            ("http://[::1]:7400", State::Skipped),
            ("http://localhost", State::Skipped),
            ("http://tollgate.example", State::Warning),
        ] {
            assert_eq!(transport("tls", url).state, state, "{url}");
        }
    }

    #[test]
    fn lengths_are_told_in_their_largest_units() {
        for (seconds, told) in [
            (-7, "7 s"),
            (61, "1 min"),
            (7_260, "2 h 1 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(length(SignedDuration::from_secs(seconds)), told);
        }
    }
}
