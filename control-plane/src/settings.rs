//! Every setting, named once: a flag, a key of the configuration file, and a `TOLLGATE_…`
//! variable, in this order of precedence.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// What may be set. Everything is optional here; [`Settings::resolve`] knows the defaults.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Where everything is kept [default: ./tollgate-data]
    #[arg(long, value_name = "DIR", env = "TOLLGATE_DATA")]
    pub data: Option<PathBuf>,
    /// The tiers: a tiers.toml file
    #[arg(long, value_name = "FILE", env = "TOLLGATE_MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// Where the control plane listens; port 0 takes any [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDR", env = "TOLLGATE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where the gate listens; port 0 takes any [default: 127.0.0.1:7401]
    #[arg(long, value_name = "ADDR", env = "TOLLGATE_GATE_LISTEN")]
    pub gate_listen: Option<SocketAddr>,
    /// The address under which boxes reach the gate [default: where it listens]
    #[arg(long, value_name = "URL", env = "TOLLGATE_GATE_URL")]
    pub gate_url: Option<Url>,
    /// A registry behind the gate, asked for entitled packages that the gate's own store lacks
    #[arg(long, value_name = "URL", env = "TOLLGATE_UPSTREAM")]
    pub upstream: Option<Url>,
    /// A file with the token that the gate sends to that registry
    #[arg(long, value_name = "FILE", env = "TOLLGATE_UPSTREAM_TOKEN_FILE")]
    pub upstream_token_file: Option<PathBuf>,
    /// A PostgreSQL URL; without it, an SQLite file in the data directory
    #[arg(
        long,
        value_name = "URL",
        env = "TOLLGATE_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// The `iss` of activation tokens [default: tollgate]
    #[arg(long, value_name = "NAME", env = "TOLLGATE_ISSUER")]
    pub issuer: Option<String>,
    /// The `aud` of activation tokens [default: tollgate-gate]
    #[arg(long, value_name = "NAME", env = "TOLLGATE_AUDIENCE")]
    pub audience: Option<String>,
    /// How long an activation token is good, in seconds, 60 to 86400 [default: 3600]
    #[arg(long, value_name = "SECONDS", env = "TOLLGATE_TOKEN_LIFE")]
    pub token_life: Option<u32>,
    /// How long a gate goes on without news of the control plane, in seconds, 60 to 86400
    /// [default: 900]
    #[arg(long, value_name = "SECONDS", env = "TOLLGATE_MAX_STALE")]
    pub max_stale: Option<u32>,
    /// What license keys begin with [default: `tgl_live`]
    #[arg(long, value_name = "PREFIX", env = "TOLLGATE_LICENSE_KEY_PREFIX")]
    pub license_key_prefix: Option<String>,
}

/// The settings that hold, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// The manifest file.
    pub manifest: PathBuf,
    /// The control plane's address.
    pub listen: SocketAddr,
    /// The gate's address.
    pub gate_listen: SocketAddr,
    /// What boxes are told, when it is not simply the gate's address.
    pub gate_url: Option<Url>,
    /// The registry behind the gate.
    pub upstream: Option<Url>,
    /// What it is asked with.
    pub upstream_token: Option<SecretString>,
    /// PostgreSQL, when not SQLite.
    pub database_url: Option<SecretString>,
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// Seconds.
    pub token_life: u32,
    /// Seconds.
    pub max_stale: u32,
    /// Without the underscore that follows it.
    pub license_key_prefix: String,
}

const LIFE_SECONDS: std::ops::RangeInclusive<u32> = 60..=86_400;

impl Settings {
    /// Reads a configuration file; an unknown key is an error that points at it.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration `{}`", path.display()))?;
        toml::from_str(&text)
            .with_context(|| format!("the configuration `{}` is not right", path.display()))
    }

    /// These settings, and where one is missing, that of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            data: self.data.or(other.data),
            manifest: self.manifest.or(other.manifest),
            listen: self.listen.or(other.listen),
            gate_listen: self.gate_listen.or(other.gate_listen),
            gate_url: self.gate_url.or(other.gate_url),
            upstream: self.upstream.or(other.upstream),
            upstream_token_file: self.upstream_token_file.or(other.upstream_token_file),
            database_url: self.database_url.or(other.database_url),
            issuer: self.issuer.or(other.issuer),
            audience: self.audience.or(other.audience),
            token_life: self.token_life.or(other.token_life),
            max_stale: self.max_stale.or(other.max_stale),
            license_key_prefix: self.license_key_prefix.or(other.license_key_prefix),
        }
    }

    /// Fills in the defaults and checks what is left to check.
    pub fn resolve(self) -> anyhow::Result<Config> {
        let Some(manifest) = self.manifest else {
            bail!(
                "no manifest is given\n  \
                 hint: name your tiers with `--manifest tiers.toml`, or try `tollgate demo` first"
            );
        };
        let gate_listen = self
            .gate_listen
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7401)));
        if gate_listen.ip().is_unspecified() && self.gate_url.is_none() {
            bail!(
                "the gate listens on every address, so boxes cannot be told which one to use\n  \
                 hint: add `--gate-url` with the address under which they reach it"
            );
        }
        for (name, url) in [("gate-url", &self.gate_url), ("upstream", &self.upstream)] {
            if url.as_ref().is_some_and(|url| !is_base(url)) {
                bail!("`{name}` must be an http or https address without user, query and fragment");
            }
        }
        let license_key_prefix = self
            .license_key_prefix
            .unwrap_or_else(|| "tgl_live".to_owned());
        let prefix = license_key_prefix.trim_end_matches('_');
        if !(1..=30).contains(&prefix.len())
            || !prefix
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            bail!("`license-key-prefix` has 1 to 30 lower-case letters, digits and `_`");
        }
        Ok(Config {
            data: self.data.unwrap_or_else(|| PathBuf::from("tollgate-data")),
            manifest,
            listen: self
                .listen
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7400))),
            gate_listen,
            gate_url: self.gate_url,
            upstream: self.upstream,
            upstream_token: self
                .upstream_token_file
                .as_deref()
                .map(read_secret)
                .transpose()?,
            database_url: self.database_url.map(SecretString::from),
            issuer: name("issuer", self.issuer, "tollgate")?,
            audience: name("audience", self.audience, "tollgate-gate")?,
            token_life: seconds("token-life", self.token_life, 3600)?,
            max_stale: seconds("max-stale", self.max_stale, 900)?,
            license_key_prefix: prefix.to_owned(),
        })
    }
}

fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

fn name(key: &str, value: Option<String>, default: &str) -> anyhow::Result<String> {
    let value = value.unwrap_or_else(|| default.to_owned());
    if value.is_empty() || value.len() > 200 || value.chars().any(char::is_control) {
        bail!("`{key}` has 1 to 200 bytes and no control characters");
    }
    Ok(value)
}

fn seconds(key: &str, value: Option<u32>, default: u32) -> anyhow::Result<u32> {
    let value = value.unwrap_or(default);
    if !LIFE_SECONDS.contains(&value) {
        bail!(
            "`{key}` is {} to {} seconds",
            LIFE_SECONDS.start(),
            LIFE_SECONDS.end()
        );
    }
    Ok(value)
}

/// A secret from a file, without the line end that editors add.
fn read_secret(path: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the secret in `{}`", path.display()))?;
    Ok(SecretString::from(text.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_manifest() -> Settings {
        Settings {
            manifest: Some("tiers.toml".into()),
            ..Settings::default()
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let flags = Settings {
            issuer: Some("flag".into()),
            ..with_manifest()
        };
        let file: Settings = toml::from_str("issuer = 'file'\naudience = 'file'").unwrap();
        let config = flags.or(file).resolve().unwrap();
        assert_eq!((&*config.issuer, &*config.audience), ("flag", "file"));
        assert_eq!(config.token_life, 3600);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_points_at_it() {
        let error = toml::from_str::<Settings>("isuer = 'x'")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("isuer") && error.contains("line 1"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let error = |settings: Settings| settings.resolve().unwrap_err().to_string();
        assert!(error(Settings::default()).contains("--manifest"));
        let open = Some("0.0.0.0:0".parse().unwrap());
        assert!(
            error(Settings {
                gate_listen: open,
                ..with_manifest()
            })
            .contains("--gate-url")
        );
        let url = Some("ftp://x".parse().unwrap());
        assert!(
            error(Settings {
                upstream: url,
                ..with_manifest()
            })
            .contains("`upstream`")
        );
        assert!(
            error(Settings {
                token_life: Some(59),
                ..with_manifest()
            })
            .contains("60")
        );
        let prefix = Some("Über".to_owned());
        assert!(
            error(Settings {
                license_key_prefix: prefix,
                ..with_manifest()
            })
            .contains("prefix")
        );
    }
}
