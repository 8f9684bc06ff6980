//! Which addresses webhooks may be sent to, as they are written. Where their names lead is looked
//! at when the connection is made.

use std::net::IpAddr;

use registry_gate::reach::Reach;
use url::{Host, Url};

const URL_BYTES_MAX: usize = 2_000;

/// What is wrong with an address as it is written, if anything: `https` to the public, and plain
/// HTTP as well within the operator's own network.
pub fn error(reach: Reach, url: &Url) -> Option<&'static str> {
    let internal = reach == Reach::Internal;
    match url.scheme() {
        "https" => {}
        "http" if internal => {}
        _ => return Some("must be an `https` address"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must not name a user or a password; messages are signed");
    }
    if url.fragment().is_some() {
        return Some("must not have a fragment");
    }
    if url.as_str().len() > URL_BYTES_MAX {
        return Some("has at most 2000 bytes");
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) => return None,
        None => return Some("must name a host"),
    };
    (!reach.allows(address)).then_some("names an address that webhooks must not go to")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_judged_as_it_is_written() {
        let judged = |reach: Reach, url: &str| error(reach, &url.parse().unwrap());
        for good in [
            "https://example.com/x?y=z",
            "https://example.com:8443",
            "https://8.8.8.8/",
        ] {
            assert_eq!(judged(Reach::Public, good), None, "{good}");
        }
        for bad in [
            "http://example.com/",
            "ftp://example.com/",
            "https://u@example.com/",
            "https://u:p@example.com/",
            "https://example.com/#f",
            "https://127.0.0.1/",
            // Other spellings of the same.
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest",
            "data:text/plain,x",
        ] {
            assert!(judged(Reach::Public, bad).is_some(), "{bad}");
        }
        for good in [
            "http://10.0.0.1/",
            "https://127.0.0.1:9/",
            "http://[::1]/",
            "http://box/",
        ] {
            assert_eq!(judged(Reach::Internal, good), None, "{good}");
        }
        for bad in [
            "http://169.254.169.254/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://0.0.0.0/",
            "http://224.0.0.1/",
            "http://u:p@box/",
            "ftp://box/",
        ] {
            assert!(judged(Reach::Internal, bad).is_some(), "{bad}");
        }
    }
}
