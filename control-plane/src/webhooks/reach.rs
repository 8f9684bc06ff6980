//! Where webhooks may go. Whoever may name an address must not get to ask the machines next to
//! this one, nor the cloud that it runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Networks that are not the public internet (IANA's special-purpose registry).
const NOT_PUBLIC_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // shared by carriers
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // a cloud's metadata, though the address looks public
    ([169, 254, 0, 0], 16),   // link-local, and most clouds' metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
];
/// What is handed out to the public: all else (loopback, unique-local, link-local, multicast,
/// IPv4 in IPv6 by mapping or translation) lies outside.
const PUBLIC_V6: (u128, u32) = (0x2000 << 112, 3);
const NOT_PUBLIC_V6: [(u128, u32); 4] = [
    (0x2001 << 112, 23),                   // protocol assignments, Teredo among them
    ((0x2001 << 112) | (0xdb8 << 96), 32), // documentation
    (0x2002 << 112, 16),                   // 6to4: IPv4 within
    (0x3fff << 112, 20),                   // documentation
];
/// Where clouds tell a machine its own secrets. Never a receiver, wherever that may be.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

const URL_BYTES_MAX: usize = 2_000;

/// How far webhooks may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To public addresses over HTTPS.
    Public,
    /// Into the operator's own network as well, and over plain HTTP.
    Internal,
}

impl Reach {
    /// What is wrong with an address as it is written, if anything.
    pub fn error(self, url: &Url) -> Option<&'static str> {
        let internal = self == Self::Internal;
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
        (!self.allows(address)).then_some("names an address that webhooks must not go to")
    }

    /// Whether a connection may be made.
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Internal => {
                let plain = address.to_canonical();
                !plain.is_unspecified() && !plain.is_multicast() && !METADATA.contains(&plain)
            }
        }
    }
}

/// Whether an address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            let within = |&(network, length): &([u8; 4], u32)| {
                (bits ^ u32::from_be_bytes(network)).leading_zeros() >= length
            };
            !NOT_PUBLIC_V4.iter().any(within)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let within =
                |&(network, length): &(u128, u32)| (bits ^ network).leading_zeros() >= length;
            within(&PUBLIC_V6) && !NOT_PUBLIC_V6.iter().any(within)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for (address, public) in [
            ("1.1.1.1", true),
            ("8.8.8.8", true),
            ("9.255.255.255", true),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("192.0.1.0", true),
            ("198.17.255.255", true),
            ("198.20.0.0", true),
            ("223.255.255.255", true),
            ("168.63.129.15", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("100.127.255.255", false),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("168.63.129.16", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.192", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.7", false),
            ("203.0.113.7", false),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700:4700::1111", true),
            ("2001:4860:4860::8888", true),
            ("2a00::1", true),
            ("::", false),
            ("::1", false),
            ("::ffff:8.8.8.8", false),
            ("::ffff:127.0.0.1", false),
            ("::7f00:1", false),
            ("64:ff9b::808:808", false),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:2::1", false),
            ("2001:20::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("3fff::1", false),
            ("3fff:fff::1", false),
            ("4000::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn an_address_is_judged_as_it_is_written() {
        let error = |reach: Reach, url: &str| reach.error(&url.parse().unwrap());
        for good in [
            "https://example.com/x?y=z",
            "https://example.com:8443",
            "https://8.8.8.8/",
        ] {
            assert_eq!(error(Reach::Public, good), None, "{good}");
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
            assert!(error(Reach::Public, bad).is_some(), "{bad}");
        }
        for good in [
            "http://10.0.0.1/",
            "https://127.0.0.1:9/",
            "http://[::1]/",
            "http://box/",
        ] {
            assert_eq!(error(Reach::Internal, good), None, "{good}");
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
            assert!(error(Reach::Internal, bad).is_some(), "{bad}");
        }
    }

    proptest! {
        /// What the standard library calls private, by whatever name, is never public.
        #[test]
        fn nothing_that_is_called_private_is_public(bits: u32, high: u128) {
            let v4 = Ipv4Addr::from_bits(bits);
            let private = v4.is_private() || v4.is_loopback() || v4.is_link_local()
                || v4.is_multicast() || v4.is_broadcast() || v4.is_documentation()
                || v4.is_unspecified();
            prop_assert!(!(private && is_public(v4.into())), "{}", v4);
            prop_assert!(!is_public(v4.to_ipv6_mapped().into()), "{}", v4);
            prop_assert!(!is_public(v4.to_ipv6_compatible().into()), "{}", v4);
            let v6 = Ipv6Addr::from_bits(high);
            let private = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
                || v6.is_multicast() || v6.is_unspecified();
            prop_assert!(!(private && is_public(v6.into())), "{}", v6);
        }

        /// One within each network, wherever in it.
        #[test]
        fn no_address_of_a_special_network_is_public(at in 0_usize..16, bits: u32) {
            let (network, length) = NOT_PUBLIC_V4[at];
            let host = bits.checked_shr(length).unwrap_or(0);
            let address = Ipv4Addr::from_bits(u32::from_be_bytes(network) | host);
            prop_assert!(!is_public(address.into()), "{}", address);
        }
    }
}
