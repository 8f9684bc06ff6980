//! What the values of settings are, and how each is shown: a secret never is.

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
shown_as_text!(String, SocketAddr, Networks, u32, bool);

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
