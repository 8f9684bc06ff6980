//! Whose request it is, by address: the peer's, or the one that trusted proxies tell.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use serde::Deserialize;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Networks, each written as `10.0.0.0/8`, or as `10.0.0.1` for one address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Networks(Vec<IpNet>);

/// Neither an address nor a network.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{0}` is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct NetworkError(String);

impl Networks {
    /// Whether the address belongs to one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = NetworkError;

    /// Reads networks with commas between them; nothing is no network.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parts = text.split(',').map(str::trim);
        let networks = parts.filter(|part| !part.is_empty()).map(network);
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<Vec<String>> for Networks {
    type Error = NetworkError;

    fn try_from(texts: Vec<String>) -> Result<Self, NetworkError> {
        let networks = texts.iter().map(|text| network(text));
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

fn network(text: &str) -> Result<IpNet, NetworkError> {
    let error = || NetworkError(text.to_owned());
    let Ok(address) = text.parse::<IpAddr>() else {
        return text.parse().map_err(|_| error());
    };
    Ok(IpNet::from(address.to_canonical()))
}

/// The client's address. Each proxy appends to `X-Forwarded-For` whom it heard from, so the header
/// is read from its end, and only as far as trusted proxies vouch for it: the first address
/// that is none of theirs is the client's. Where an entry cannot be read, nobody knows more than
/// the proxy that passed it on.
pub fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut client = peer.ip().to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    // A line that is no text is one entry that cannot be read.
    let mut entries = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    while trusted.contain(client) {
        match entries.next().and_then(address) {
            Some(before) => client = before,
            None => break,
        }
    }
    client
}

/// An entry: an address, which some proxies give a port.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches([' ', '\t']);
    let bracketed = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(inner) => IpAddr::V6(inner.parse().ok()?),
        None => match entry.parse() {
            Ok(address) => address,
            Err(_) => entry.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, lines: &[&str], trusted: &str) -> String {
        let lines = lines
            .iter()
            .map(|line| HeaderValue::from_str(line).unwrap());
        let headers = lines.map(|line| (FORWARDED_FOR, line)).collect();
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        client_address(peer, &headers, &trusted.parse().unwrap()).to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        let trusted = "10.0.0.0/8, 2001:db8::/32,192.0.2.7";
        for (peer, lines, expected) in [
            // Nobody vouches for the header.
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // What the client wrote itself stands further left.
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            (
                "10.0.0.1",
                &["1.1.1.1", "198.51.100.1, 10.2.3.4"],
                "198.51.100.1",
            ),
            ("10.0.0.1", &["192.0.2.7,10.0.0.2"], "192.0.2.7"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("2001:db8::1", &["[2001:db9::1]:80"], "2001:db9::1"),
            ("10.0.0.1", &["[2001:db9::1]"], "2001:db9::1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            // An entry that cannot be read ends the walk.
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, , 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.1,[10.0.0.3]"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, lines, trusted), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in ["10.0.0.0/33", "example.com", "10.0.0.1, x", "10.0.0"] {
            let error = text.parse::<Networks>().unwrap_err().to_string();
            assert!(error.contains("neither an IP address"), "{error}");
        }
        let networks: Networks = "10.0.0.0/8,::1".parse().unwrap();
        assert_eq!(networks.to_string(), "10.0.0.0/8,::1/128");
    }

    proptest! {
        #[test]
        fn nothing_left_of_the_client_changes_the_answer(
            forged in "[ -~]{0,40}",
            client_ip in any::<[u8; 4]>(),
            proxies in prop::collection::vec(0_u8.., 0..4),
        ) {
            prop_assume!(client_ip[0] != 10);
            let ip = IpAddr::from(client_ip).to_string();
            let proxies = proxies.iter().map(|proxy| format!(", 10.0.0.{proxy}"));
            let line = format!("{forged},{ip}{}", proxies.collect::<String>());
            prop_assert_eq!(client("10.0.0.1", &[&line], "10.0.0.0/8"), ip);
        }

        #[test]
        fn the_header_of_a_stranger_means_nothing(line in "[ -~]{0,60}", peer in any::<u32>()) {
            let peer = IpAddr::from(peer.to_be_bytes()).to_string();
            prop_assert_eq!(client(&peer, &[&line], ""), peer);
        }

        #[test]
        fn the_answer_is_the_peer_or_stands_in_the_header(
            parts in prop::collection::vec(prop_oneof![
                any::<[u8; 4]>().prop_map(|ip| IpAddr::from(ip).to_string()),
                any::<[u8; 16]>().prop_map(|ip| IpAddr::from(ip).to_string()),
                "[ -~&&[^,]]{0,12}",
            ], 0..6),
        ) {
            let answer = client("10.0.0.1", &[&parts.join(",")], "0.0.0.0/0");
            let known = parts.iter().filter_map(|part| address(part)).any(|ip| ip.to_string() == answer);
            prop_assert!(known || answer == "10.0.0.1", "{}", answer);
        }
    }
}
