//! `Stripe-Signature`: who vouches for an event, and when it was sent.
//!
//! The header is `t=SECONDS,v1=HEX`, with further `v1` while a secret is being replaced and with
//! other schemes that are left alone. Signed is `SECONDS.BODY`, the bytes as they came.

use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// An event is good for so long after it was sent, and before, where clocks differ; in seconds.
pub const WINDOW_SECONDS: u64 = 300;
/// Stripe sends one for each secret that is in force, which are two at most.
const SIGNATURES_MAX: usize = 16;

/// What the header says, not checked yet.
#[derive(Debug)]
pub struct Signature {
    seconds: String,
    signatures: Vec<Vec<u8>>,
}

/// Why nobody vouches for an event. The sender is told none of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// The header is not what Stripe sends.
    Malformed,
    /// It was sent too long ago, or will be.
    OutsideWindow,
    /// No secret of ours signed it.
    Mismatch,
}

impl Unsigned {
    /// The reason as the audit log has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "signature_malformed",
            Self::OutsideWindow => "signature_outside_window",
            Self::Mismatch => "signature_mismatch",
        }
    }
}

impl Signature {
    /// Reads the header, and refuses one from another time before any work is done.
    pub fn read(header: &str, now: Timestamp) -> Result<Self, Unsigned> {
        let mut time = None;
        let mut signatures = Vec::new();
        for part in header.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(Unsigned::Malformed)?;
            match name {
                "t" if time.is_some() => return Err(Unsigned::Malformed),
                "t" => time = Some(value),
                "v1" => {
                    let read = HEXLOWER_PERMISSIVE.decode(value.as_bytes());
                    signatures.push(read.map_err(|_| Unsigned::Malformed)?);
                }
                _ => {}
            }
        }
        let seconds = time.filter(|_| (1..=SIGNATURES_MAX).contains(&signatures.len()));
        let seconds = seconds.ok_or(Unsigned::Malformed)?;
        // Only the form that Stripe writes: what is signed is the text.
        let digits = seconds.bytes().all(|b| b.is_ascii_digit());
        let at: i64 = match seconds.parse() {
            Ok(at) if digits => at,
            _ => return Err(Unsigned::Malformed),
        };
        if now.as_second().abs_diff(at) > WINDOW_SECONDS {
            return Err(Unsigned::OutsideWindow);
        }
        Ok(Self {
            seconds: seconds.to_owned(),
            signatures,
        })
    }

    /// Whether one of the secrets signed this body. All are tried, each in constant time.
    pub fn covers(&self, body: &[u8], secrets: &[SecretString]) -> Result<(), Unsigned> {
        let mut good = false;
        for secret in secrets {
            // HMAC takes a key of any length.
            let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
                continue;
            };
            let mac = mac
                .chain_update(&self.seconds)
                .chain_update(".")
                .chain_update(body);
            for signature in &self.signatures {
                good |= mac.clone().verify_slice(signature).is_ok();
            }
        }
        if good {
            Ok(())
        } else {
            Err(Unsigned::Mismatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The signatures are what Stripe's own library makes of these (npm `stripe` 23.1.0).
    const BODY: &str = r#"{"id":"evt_1","object":"event","note":"könnte \u00e4ndern"}"#;
    const AT: i64 = 1_795_262_400;
    const SECRET: &str = "whsec_a_secret_of_a_test";
    const SIGNED: &str = "9cad98b9aaf67259dab330239da40a1e403a659524fa7c59200d99ab3c1532ab";
    const ANOTHER: &str = "whsec_another";
    const BY_ANOTHER: &str = "5ff14d0c8589460d4a4708cf6f376eeb3843520fb792818c8d40baa6fd2ca344";

    fn check(header: &str, body: &str, secrets: &[&str], now: i64) -> Result<(), Unsigned> {
        let secrets: Vec<SecretString> = secrets.iter().map(|&s| s.into()).collect();
        let now = Timestamp::from_second(now).unwrap();
        Signature::read(header, now)?.covers(body.as_bytes(), &secrets)
    }

    #[test]
    fn what_stripes_library_signs_is_good_and_no_other_body_or_secret() {
        let header = format!("t={AT},v1={SIGNED}");
        assert_eq!(check(&header, BODY, &[SECRET], AT), Ok(()));
        for (body, secret) in [
            (BODY, ANOTHER),
            (BODY, ""),
            (&*format!("{BODY} "), SECRET),
            (&*BODY.replace("evt_1", "evt_2"), SECRET),
            ("", SECRET),
        ] {
            assert_eq!(
                check(&header, body, &[secret], AT),
                Err(Unsigned::Mismatch),
                "{body}"
            );
        }
        let moved = format!("t={},v1={SIGNED}", AT + 1);
        assert_eq!(check(&moved, BODY, &[SECRET], AT), Err(Unsigned::Mismatch));
        assert_eq!(check(&header, BODY, &[], AT), Err(Unsigned::Mismatch));
    }

    #[test]
    fn while_a_secret_is_replaced_either_will_do() {
        let both = format!("t={AT},v1={BY_ANOTHER},v0=00,v1={SIGNED}");
        for (header, secrets) in [
            (&both, &[SECRET][..]),
            (&both, &[ANOTHER]),
            (&format!("t={AT},v1={SIGNED}"), &[ANOTHER, SECRET]),
            (&format!("v1={BY_ANOTHER}, t={AT}"), &[ANOTHER, SECRET]),
        ] {
            assert_eq!(check(header, BODY, secrets, AT), Ok(()), "{header}");
        }
        // A scheme that anybody could be talked into is none.
        let old = format!("t={AT},v0={SIGNED}");
        assert_eq!(check(&old, BODY, &[SECRET], AT), Err(Unsigned::Malformed));
    }

    #[test]
    fn an_event_is_good_for_300_seconds_either_way() {
        let header = format!("t={AT},v1={SIGNED}");
        for (now, expected) in [
            (AT - 301, Err(Unsigned::OutsideWindow)),
            (AT - 300, Ok(())),
            (AT + 300, Ok(())),
            (AT + 301, Err(Unsigned::OutsideWindow)),
        ] {
            assert_eq!(check(&header, BODY, &[SECRET], now), expected, "{now}");
        }
    }

    #[test]
    fn what_is_no_signature_is_malformed() {
        let many = format!("t={AT}{}", format!(",v1={SIGNED}").repeat(17));
        for header in [
            "",
            "x",
            "t=",
            &*format!("t={AT}"),
            &*format!("v1={SIGNED}"),
            &*format!("t={AT},v1=xyz"),
            &*format!("t=+{AT},v1={SIGNED}"),
            &*format!("t={AT}.0,v1={SIGNED}"),
            &*format!("t=99999999999999999999,v1={SIGNED}"),
            &*format!("t={AT},t={AT},v1={SIGNED}"),
            &*many,
        ] {
            let refused = check(header, BODY, &[SECRET], AT);
            assert_eq!(refused, Err(Unsigned::Malformed), "{header}");
        }
        let short = format!("t={AT},v1={}", &SIGNED[..62]);
        assert_eq!(check(&short, BODY, &[SECRET], AT), Err(Unsigned::Mismatch));
    }
}
