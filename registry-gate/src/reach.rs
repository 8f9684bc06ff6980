//! How far connections may go that lead out of this process: webhooks, and the registries behind
//! the gate. Whoever may name an address, or answer for a name, must not get to ask the machines
//! next to this one, nor the cloud that it runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

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
/// Where clouds tell a machine its own secrets. Never reached, however far we may go.
/// All that is link-local belongs to it: there they tell containers theirs as well.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
];
/// IPv6 that a network translates to the IPv4 in its last bits.
const TRANSLATED: u128 = (0x64 << 112) | (0xff9b << 96);

/// How far connections may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To public addresses.
    Public,
    /// Into the operator's own network as well.
    Internal,
}

impl Reach {
    /// As the vendor says.
    pub fn allowing_internal(internal: bool) -> Self {
        if internal {
            Self::Internal
        } else {
            Self::Public
        }
    }

    /// Whether a connection may be made.
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Internal => {
                let plain = translated(address.to_canonical());
                let link_local = matches!(plain, IpAddr::V4(plain) if plain.is_link_local());
                let is_metadata = link_local || METADATA.contains(&plain);
                !plain.is_unspecified() && !plain.is_multicast() && !is_metadata
            }
        }
    }
}

/// Where a translating network leads.
fn translated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match u32::try_from(v6.to_bits() ^ TRANSLATED) {
            Ok(v4) => Ipv4Addr::from_bits(v4).into(),
            Err(_) => address,
        },
        IpAddr::V4(_) => address,
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

/// A name leads to an address out of reach.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that must not be reached from here")]
pub struct OutOfReach;

/// Finds addresses of names, and refuses a name that leads to a single one out of reach. What it
/// gives is what is connected to, so that a name cannot lead elsewhere after it was checked.
#[derive(Debug, Clone, Copy)]
pub struct Resolver(pub Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if found.iter().all(|address| reach.allows(address.ip())) {
                Ok(Box::new(found.into_iter()) as Addrs)
            } else {
                Err(OutOfReach.into())
            }
        })
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
    fn no_reach_is_so_far_that_clouds_tell_their_secrets() {
        for (address, internal) in [
            ("10.0.0.1", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::169.254.169.254", false),
            ("64:ff9b::10.0.0.1", true),
            ("169.254.170.2", false),
            ("169.254.170.23", false),
            ("100.100.100.200", false),
            ("fd00:ec2::254", false),
            ("fd00:ec2::23", false),
            ("fd20:ce::254", false),
            ("fd00:c1::a9fe:a9fe", false),
            ("0.0.0.0", false),
            ("::", false),
            ("224.0.0.1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(Reach::Internal.allows(address), internal, "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_followed() {
        let resolve = |reach| Resolver(reach).resolve("localhost".parse().unwrap());
        let error = resolve(Reach::Public).await.err().unwrap();
        assert!(error.is::<OutOfReach>(), "{error}");
        assert!(resolve(Reach::Internal).await.is_ok());
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
