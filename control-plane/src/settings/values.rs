//! What the values of settings are, and how each is shown: a secret never is.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use registry_gate::StoreUrl;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::api::client_address::Networks;

/// Stands for a secret.
const HIDDEN: &str = "***";

/// The address of a database, which may hold a password.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// The address, password and all.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for DatabaseUrl {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.to_owned().into())
    }
}

/// Which price stands for which tier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct StripePrices(BTreeMap<String, String>);

/// A text that does not say which price stands for which tier.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{0}` is not `price=tier`, or its price was there before")]
pub struct PricesError(String);

impl StripePrices {
    /// The tier's name by each price.
    pub fn by_price(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, PricesError> {
        let mut prices = BTreeMap::new();
        for (price, tier) in pairs {
            let text = format!("{price}={tier}");
            let is_name =
                |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
            let good = is_name(&price) && is_name(&tier) && !text.contains(',');
            if !good || prices.insert(price, tier).is_some() {
                return Err(PricesError(text));
            }
        }
        Ok(Self(prices))
    }
}

impl FromStr for StripePrices {
    type Err = PricesError;

    fn from_str(text: &str) -> Result<Self, PricesError> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let pair = |part: &str| match part.split_once('=') {
            Some((price, tier)) => Ok((price.trim().to_owned(), tier.trim().to_owned())),
            None => Err(PricesError(part.to_owned())),
        };
        Self::of(parts.map(pair).collect::<Result<Vec<_>, _>>()?)
    }
}

impl TryFrom<BTreeMap<String, String>> for StripePrices {
    type Error = PricesError;

    fn try_from(prices: BTreeMap<String, String>) -> Result<Self, PricesError> {
        Self::of(prices)
    }
}

impl fmt::Display for StripePrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |(price, tier): (&String, &String)| format!("{price}={tier}");
        let pairs: Vec<String> = self.0.iter().map(pair).collect();
        f.write_str(&pairs.join(","))
    }
}

/// How a value is printed; nothing for one that is not set.
pub(super) trait Shown {
    fn shown(&self) -> Option<String>;
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(Shown::shown)
    }
}

impl Shown for PathBuf {
    fn shown(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Shown for StoreUrl {
    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Shown for Url {
    fn shown(&self) -> Option<String> {
        Some(without_secrets(self.clone()))
    }
}

impl Shown for DatabaseUrl {
    fn shown(&self) -> Option<String> {
        // One that cannot be read may have its password anywhere.
        let url = Url::parse(self.expose());
        Some(url.map_or_else(|_| HIDDEN.to_owned(), without_secrets))
    }
}

macro_rules! shown_as_text {
    ($($type:ty),+) => { $(
        impl Shown for $type {
            fn shown(&self) -> Option<String> {
                let text = self.to_string();
                (!text.is_empty()).then_some(text)
            }
        }
    )+ };
}
shown_as_text!(String, SocketAddr, Networks, StripePrices, u32, bool);

/// An address without its password and without the values of its query, where drivers take a
/// password as well.
fn without_secrets(mut url: Url) -> String {
    if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
        return HIDDEN.to_owned();
    }
    if url.query().is_some() {
        let keys: Vec<String> = url.query_pairs().map(|(key, _)| key.into_owned()).collect();
        let hidden: Vec<String> = keys.iter().map(|key| format!("{key}={HIDDEN}")).collect();
        url.set_query(Some(&hidden.join("&")));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_from_a_text_and_shown_as_one() {
        let prices: StripePrices = " price_2 = growth, price_1=basic,".parse().unwrap();
        assert_eq!(prices.to_string(), "price_1=basic,price_2=growth");
        for bad in [
            "price_1",
            "=basic",
            "price_1=",
            "a=b,a=c",
            "a b=c",
            "a==\u{fc}",
        ] {
            assert!(bad.parse::<StripePrices>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_database_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("postgres://u:pw-1@h/db", "postgres://u:***@h/db"),
            (
                "postgres://u@h/db?password=pw-1&sslmode=require",
                "postgres://u@h/db?password=***&sslmode=***",
            ),
            ("postgres://u:pw-1@h:port/db", "***"),
            ("host=h password=pw-1", "***"),
        ] {
            let url: DatabaseUrl = url.parse().unwrap();
            assert_eq!(url.shown().unwrap(), shown);
            assert!(!format!("{url:?}").contains("pw-1"));
        }
    }
}
