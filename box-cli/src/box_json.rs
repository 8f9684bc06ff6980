//! `box.json`: what the project says of its box, without secrets (POT-57, POT-60). It is the
//! project's own file: members that are not ours stay, in order and byte for byte.

use anyhow::Context;
use indexmap::IndexMap;
use jiff::Timestamp;
use manifest::PackageName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use terminal::reach::address;
use terminal::{Exit, Failure};
use url::Url;

use crate::credentials::Credentials;

/// The file's name.
pub const FILE: &str = "box.json";

/// The members of a `box.json`, in order.
pub struct BoxJson(IndexMap<String, Box<RawValue>>);

/// The `license` block (POT-57).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct License {
    /// Whose license it is.
    pub customer_id: String,
    /// The tier.
    pub tier: String,
    /// Where packages are installed from.
    pub registry_url: Url,
    /// What may be installed, sorted.
    pub packages: Vec<PackageName>,
    /// When it was activated first with all of this.
    pub activated_at: Timestamp,
}

impl BoxJson {
    /// Reads the file's text; an empty one has no members.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self(IndexMap::new()));
        }
        let members = serde_json::from_str(text)
            .with_context(|| format!("`{FILE}` is not a JSON object\n  hint: mend or remove it"))?;
        Ok(Self(members))
    }

    /// The `license` block, where there is one that can be read.
    pub fn license(&self) -> Option<License> {
        self.read("license")
    }

    /// The control plane that it names. Fails where that is no address.
    pub fn control_plane_url(&self) -> anyhow::Result<Option<Url>> {
        let text: Option<String> = self.read("controlPlaneUrl");
        let url = text.map(|text| address(&text)).transpose();
        url.map_err(|why| {
            Failure::new(Exit::Failed, format!("`{FILE}`: controlPlaneUrl: {why}"))
                .hint("mend it, or name the control plane with `--control-plane`")
                .into()
        })
    }

    /// Says what was activated, and whether that is news: what it says already stays as it is, so
    /// that a renewal changes no committed file.
    pub fn activated(&mut self, credentials: &Credentials) -> anyhow::Result<bool> {
        let mut changed = false;
        if let Some(url) = &credentials.control_plane_url {
            changed |= self.put("controlPlaneUrl", url)?;
        }
        if let Some(org) = &credentials.org {
            changed |= self.put("org", org)?;
        }
        let mut license = License {
            customer_id: credentials.customer_id.clone(),
            tier: credentials.tier.clone(),
            registry_url: credentials.registry_url.clone(),
            packages: credentials.packages.clone(),
            activated_at: credentials.activated_at,
        };
        if let Some(before) = self.license() {
            let activated_at = license.activated_at;
            license.activated_at = before.activated_at;
            if license == before {
                return Ok(changed);
            }
            license.activated_at = activated_at;
        }
        let text = serde_json::to_string_pretty(&license)?.replace('\n', "\n  ");
        let block = RawValue::from_string(text)?;
        self.0.insert("license".to_owned(), block);
        Ok(true)
    }

    /// Says that nothing is activated, and whether that is news.
    pub fn deactivated(&mut self) -> bool {
        self.0.shift_remove("license").is_some()
    }

    /// The file's text.
    pub fn to_text(&self) -> anyhow::Result<String> {
        if self.0.is_empty() {
            return Ok("{}\n".to_owned());
        }
        let members = self.0.iter().map(|(name, value)| {
            let name = serde_json::to_string(name)?;
            Ok(format!("  {name}: {}", value.get()))
        });
        let members: Vec<String> = members.collect::<anyhow::Result<_>>()?;
        Ok(format!("{{\n{}\n}}\n", members.join(",\n")))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// Sets a member, unless it says the same already in other words.
    fn put<T>(&mut self, name: &str, value: &T) -> anyhow::Result<bool>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        if self.read::<T>(name).as_ref() == Some(value) {
            return Ok(false);
        }
        self.0.insert(name.to_owned(), to_raw_value(value)?);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_others_stay_in_order_and_as_they_were_written() {
        let text = r#"{ "b": [1,  2.50], "license": {"old": 1}, "a": "\u00e9" }"#;
        let mut file = BoxJson::parse(text).unwrap();
        assert!(file.deactivated() && !file.deactivated());
        let expected = "{\n  \"b\": [1,  2.50],\n  \"a\": \"\\u00e9\"\n}\n";
        assert_eq!(file.to_text().unwrap(), expected);
        let again = BoxJson::parse(expected).unwrap();
        assert_eq!(again.to_text().unwrap(), expected);
    }

    #[test]
    fn what_is_no_object_is_refused_and_nothing_is_one() {
        for text in ["[]", "no", "{"] {
            assert!(BoxJson::parse(text).is_err(), "{text}");
        }
        assert_eq!(BoxJson::parse(" ").unwrap().to_text().unwrap(), "{}\n");
    }
}
