//! Profiles: control planes that an operator works with, each with a token, in one private file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use terminal::{Exit, Failure, private_file};
use url::Url;

/// Where profiles are kept, unless `TOLLGATE_PROFILES` names another file.
const FILE: &str = "tollgate/profiles.toml";

/// A control plane and the token for it.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its address.
    pub url: Url,
    /// The operator's token there.
    pub token: SecretString,
}

/// All that are kept.
#[derive(Debug, Default)]
pub struct Profiles {
    /// The one that is meant when none is named.
    pub current: Option<String>,
    /// By name.
    pub all: BTreeMap<String, Profile>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    profile: BTreeMap<String, WireProfile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireProfile {
    server: Url,
    token: String,
}

impl Profiles {
    /// Reads them; none where there is no file.
    pub fn load() -> anyhow::Result<Self> {
        let Some(path) = path() else {
            return Ok(Self::default());
        };
        let Some(text) = private_file::read(&path)? else {
            return Ok(Self::default());
        };
        private_file::must_be_private(&path)?;
        // The text of an error would show the line, which may be a token's.
        let wire: Wire = toml::from_str(&text).ok().with_context(|| {
            format!(
                "`{}` is not a file of profiles\n  hint: remove it and log in again",
                path.display()
            )
        })?;
        let all = wire.profile.into_iter().map(|(name, profile)| {
            let token = SecretString::from(profile.token);
            let url = profile.server;
            (name, Profile { url, token })
        });
        Ok(Self {
            current: wire.current,
            all: all.collect(),
        })
    }

    /// Keeps them.
    pub fn save(&self) -> anyhow::Result<()> {
        let path = path().context("no home directory: set TOLLGATE_PROFILES to a file's name")?;
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make `{}`", dir.display()))?;
        }
        let profile = self.all.iter().map(|(name, profile)| {
            let token = profile.token.expose_secret().to_owned();
            let server = profile.url.clone();
            (name.clone(), WireProfile { server, token })
        });
        let wire = Wire {
            current: self.current.clone(),
            profile: profile.collect(),
        };
        private_file::write(&path, &toml::to_string(&wire)?)
    }

    /// The one of this name, or the current one. None where none is named and none is current.
    pub fn get(&self, name: Option<&str>) -> anyhow::Result<Option<Profile>> {
        let Some(name) = name.or(self.current.as_deref()) else {
            return Ok(None);
        };
        match self.all.get(name) {
            Some(profile) => Ok(Some(profile.clone())),
            None => Err(no_profile(name)),
        }
    }

    /// Forgets the one of this name.
    pub fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        self.all.remove(name).ok_or_else(|| no_profile(name))?;
        self.current.take_if(|current| current == name);
        Ok(())
    }
}

fn no_profile(name: &str) -> anyhow::Error {
    Failure::new(Exit::Usage, format!("there is no profile `{name}`"))
        .hint("`tollgate profile list` shows them, `tollgate login` makes one")
        .into()
}

/// Where something is kept that belongs to the profiles; none where there is no place for them.
pub fn beside(name: &str) -> Option<PathBuf> {
    Some(path()?.with_file_name(name))
}

/// The file, where there is a place for it (XDG base directories).
fn path() -> Option<PathBuf> {
    let given = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    given("TOLLGATE_PROFILES").or_else(|| {
        let config = given("XDG_CONFIG_HOME").or_else(|| Some(given("HOME")?.join(".config")));
        Some(config?.join(FILE))
    })
}
