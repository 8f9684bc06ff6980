//! Every setting, named once: a flag, a key of the configuration file, and a `TOLLGATE_…`
//! variable. A flag wins over a variable, and a variable over the file.

#[macro_use]
mod table;
mod given;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::SignedDuration;
use manifest::TierSets;
use registry_gate::{StoreOptions, StoreUrl};
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use url::Url;

pub use given::{Given, Origin, Row, json, table};
pub use values::{DatabaseUrl, StripePrices};

use crate::api::client_address::Networks;
use crate::billing::Stripe;
use given::FileSettings;
use values::Shown;

settings! {
    /// Where everything is kept
    data: PathBuf = "./tollgate-data", "DIR", "TOLLGATE_DATA";
    /// The tiers: a tiers.toml file
    manifest: PathBuf, "FILE", "TOLLGATE_MANIFEST";
    /// Where the control plane listens; port 0 takes any
    listen: SocketAddr = "127.0.0.1:7400", "ADDR", "TOLLGATE_LISTEN";
    /// The address under which operators and applications reach the control plane [default: where
    /// it listens]
    control_plane_url: Url, "URL", "TOLLGATE_CONTROL_PLANE_URL";
    /// Where the gate listens; port 0 takes any
    gate_listen: SocketAddr = "127.0.0.1:7401", "ADDR", "TOLLGATE_GATE_LISTEN";
    /// The address under which boxes reach the gate [default: where it listens]
    gate_url: Url, "URL", "TOLLGATE_GATE_URL";
    /// A certificate chain (PEM) for both listeners, which then speak HTTPS; read again on SIGHUP
    tls_cert: PathBuf, "FILE", "TOLLGATE_TLS_CERT";
    /// The private key (PEM) of that certificate
    tls_key: PathBuf, "FILE", "TOLLGATE_TLS_KEY";
    /// Addresses of proxies (IP or CIDR, with commas) whose `X-Forwarded-For` is believed
    trusted_proxies: Networks, "NETWORKS", "TOLLGATE_TRUSTED_PROXIES";
    /// A registry behind the gate, asked for entitled packages that the gate's own store lacks
    upstream: Url, "URL", "TOLLGATE_UPSTREAM";
    /// A file with the token that the gate sends to that registry
    upstream_token_file: PathBuf, "FILE", "TOLLGATE_UPSTREAM_TOKEN_FILE";
    /// Where published packages lie: `s3://bucket/prefix` or a directory [default: in the data
    /// directory]
    store: StoreUrl, "URL", "TOLLGATE_STORE";
    /// A file with what the bucket is reached with, beside the `AWS_…` variables: lines such as
    /// `aws_access_key_id = …`
    store_options_file: PathBuf, "FILE", "TOLLGATE_STORE_OPTIONS_FILE";
    /// A registry for names outside the manifest's scope, which any good token may read; without
    /// it, the gate does not have them
    pass_through: Url, "URL", "TOLLGATE_PASS_THROUGH";
    /// Let the names of these registries lead to addresses that are not public: into your own
    /// network; an address in figures and `localhost` may without
    upstream_allow_internal: bool = "false", "BOOL", "TOLLGATE_UPSTREAM_ALLOW_INTERNAL",
        [
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true",
            value_parser = clap::builder::BoolishValueParser::new()
        ];
    /// How long these registries may take for a package document, in seconds, 1 to 600, and the
    /// longest silence within a tarball
    upstream_timeout: u32 = "30", "SECONDS", "TOLLGATE_UPSTREAM_TIMEOUT";
    /// Room on disk for what these registries send, in MiB; 0 keeps nothing
    cache_mib: u32 = "10240", "MIB", "TOLLGATE_CACHE_MIB";
    /// A PostgreSQL URL; without it, an SQLite file in the data directory
    database_url: DatabaseUrl, "URL", "TOLLGATE_DATABASE_URL", [hide_env_values = true];
    /// The `iss` of activation tokens
    issuer: String = "tollgate", "NAME", "TOLLGATE_ISSUER";
    /// The `aud` of activation tokens
    audience: String = "tollgate-gate", "NAME", "TOLLGATE_AUDIENCE";
    /// How long an activation token is good, in seconds, 60 to 86400
    token_life: u32 = "3600", "SECONDS", "TOLLGATE_TOKEN_LIFE";
    /// How long a gate goes on without news of the control plane, in seconds, 60 to 86400
    max_stale: u32 = "900", "SECONDS", "TOLLGATE_MAX_STALE";
    /// A signing key of your own (PEM, PKCS#8 DER or JWK), taken in at the start; a further one is
    /// published first and signs later
    signing_key: PathBuf, "FILE", "TOLLGATE_SIGNING_KEY";
    /// A file with the passphrase that keys in the data directory are encrypted with; or set
    /// `TOLLGATE_KEY_PASSPHRASE`
    key_passphrase_file: PathBuf, "FILE", "TOLLGATE_KEY_PASSPHRASE_FILE";
    /// How often a new signing key is made, in days, at most 3650; 0 for never
    key_rotation_days: u32 = "90", "DAYS", "TOLLGATE_KEY_ROTATION_DAYS";
    /// Let webhooks go over plain HTTP and to addresses that are not public: into your own network
    webhook_allow_internal: bool = "false", "BOOL", "TOLLGATE_WEBHOOK_ALLOW_INTERNAL",
        [
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true",
            value_parser = clap::builder::BoolishValueParser::new()
        ];
    /// A file with what Stripe signs its events with: the secret of the endpoint, or two on a line
    /// each while one replaces another; or set `TOLLGATE_STRIPE_WEBHOOK_SECRET`
    stripe_webhook_secret_file: PathBuf, "FILE", "TOLLGATE_STRIPE_WEBHOOK_SECRET_FILE";
    /// Which price of Stripe stands for which tier, such as `price_1=basic,price_2=growth`; in a
    /// configuration file a table
    stripe_prices: StripePrices, "PRICE=TIER,…", "TOLLGATE_STRIPE_PRICES";
    /// What license keys begin with
    license_key_prefix: String = "tgl_live", "PREFIX", "TOLLGATE_LICENSE_KEY_PREFIX";
    /// How long to go on serving after a stop signal, not ready, so that load balancers notice; in
    /// seconds, at most 600
    shutdown_delay: u32 = "0", "SECONDS", "TOLLGATE_SHUTDOWN_DELAY";
    /// Where spans go: an OpenTelemetry collector that takes OTLP over HTTP
    otlp_endpoint: Url, "URL", "TOLLGATE_OTLP_ENDPOINT";
    /// What is logged to standard error, for example `info` or `control_plane=debug`
    log: String = "warn", "FILTER", "TOLLGATE_LOG";
    /// Log one JSON object a line
    log_json: bool = "false", "BOOL", "TOLLGATE_LOG_JSON",
        [
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true",
            value_parser = clap::builder::BoolishValueParser::new()
        ];
}

/// The variable with the passphrase that the keys are encrypted with.
pub const KEY_PASSPHRASE: &str = "TOLLGATE_KEY_PASSPHRASE";

/// The variable with what Stripe signs its events with; several with spaces between them.
pub const STRIPE_WEBHOOK_SECRET: &str = "TOLLGATE_STRIPE_WEBHOOK_SECRET";

const LIFE_SECONDS: std::ops::RangeInclusive<u32> = 60..=86_400;
const SHUTDOWN_DELAY_MAX: u32 = 600;
const STRIPE_SECRETS_MAX: usize = 4;
const KEY_ROTATION_DAYS_MAX: u32 = 3650;

impl Settings {
    /// Fills in the defaults and checks what is left to check.
    pub fn resolve(self) -> anyhow::Result<Config> {
        Given::from(self).config()
    }
}

impl Config {
    /// Checks what no single value tells.
    pub fn checked(mut self) -> anyhow::Result<Self> {
        if self.gate_listen.ip().is_unspecified() && self.gate_url.is_none() {
            bail!(
                "the gate listens on every address, so boxes cannot be told which one to use\n  \
                 hint: add `--gate-url` with the address under which they reach it"
            );
        }
        for (name, url) in [
            ("control-plane-url", &self.control_plane_url),
            ("gate-url", &self.gate_url),
            ("upstream", &self.upstream),
            ("pass-through", &self.pass_through),
            ("otlp-endpoint", &self.otlp_endpoint),
        ] {
            if url.as_ref().is_some_and(|url| !is_base(url)) {
                bail!("`{name}` must be an http or https address without user, query and fragment");
            }
        }
        if !(1..=600).contains(&self.upstream_timeout) {
            bail!("`upstream-timeout` must be 1 to 600 seconds");
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            bail!("`tls-cert` and `tls-key` belong together: give both or none");
        }
        name("issuer", &self.issuer)?;
        name("audience", &self.audience)?;
        seconds("token-life", self.token_life)?;
        seconds("max-stale", self.max_stale)?;
        if self.shutdown_delay > SHUTDOWN_DELAY_MAX {
            bail!("`shutdown-delay` is at most {SHUTDOWN_DELAY_MAX} seconds");
        }
        if self.key_rotation_days > KEY_ROTATION_DAYS_MAX {
            bail!("`key-rotation-days` is at most {KEY_ROTATION_DAYS_MAX}");
        }
        let prefix = self.license_key_prefix.trim_end_matches('_');
        if !(1..=30).contains(&prefix.len())
            || !prefix
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            bail!("`license-key-prefix` has 1 to 30 lower-case letters, digits and `_`");
        }
        self.license_key_prefix.truncate(prefix.len());
        self.log_filter()?;
        Ok(self)
    }

    /// The manifest file, without which nothing can be served.
    pub fn manifest(&self) -> anyhow::Result<&Path> {
        let Some(manifest) = &self.manifest else {
            bail!(
                "no manifest is given\n  \
                 hint: name your tiers with `--manifest tiers.toml`, or try `tollgate demo` first"
            );
        };
        Ok(manifest)
    }

    /// The certificate's file and its key's.
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        Some((self.tls_cert.as_deref()?, self.tls_key.as_deref()?))
    }

    /// What the gate sends to the registry behind it.
    pub fn upstream_token(&self) -> anyhow::Result<Option<SecretString>> {
        let file = self.upstream_token_file.as_deref();
        file.map(read_secret).transpose()
    }

    /// What the bucket of packages is reached with.
    pub fn store_options(&self) -> anyhow::Result<StoreOptions> {
        let Some(file) = &self.store_options_file else {
            return Ok(StoreOptions::default());
        };
        let options = read_secret(file)?;
        let options = options.expose_secret().parse();
        options.with_context(|| format!("in `{}`", file.display()))
    }

    /// What the keys in the data directory are encrypted with: what the variable says, or else
    /// the file.
    pub fn key_passphrase(
        &self,
        variable: Option<SecretString>,
    ) -> anyhow::Result<Option<SecretString>> {
        let Some(file) = &self.key_passphrase_file else {
            return Ok(variable);
        };
        if variable.is_some() {
            bail!("`key-passphrase-file` and TOLLGATE_KEY_PASSPHRASE are both set: give one");
        }
        let passphrase = read_secret(file)?;
        if passphrase.expose_secret().is_empty() {
            bail!("the passphrase in `{}` is empty", file.display());
        }
        Ok(Some(passphrase))
    }

    /// What is set up for Stripe, if anything. The secrets are what the variable says, or else the
    /// file.
    pub fn stripe(
        &self,
        variable: Option<SecretString>,
        tiers: &TierSets,
    ) -> anyhow::Result<Option<Stripe>> {
        let secrets = match (&self.stripe_webhook_secret_file, variable) {
            (Some(_), Some(_)) => bail!(
                "`stripe-webhook-secret-file` and {STRIPE_WEBHOOK_SECRET} are both set: give one"
            ),
            (Some(file), None) => Some(read_secret(file)?),
            (None, variable) => variable,
        };
        let (secrets, prices) = match (secrets, &self.stripe_prices) {
            (None, None) => return Ok(None),
            (Some(secrets), Some(prices)) => (secrets, prices),
            _ => bail!(
                "`stripe-prices` and `stripe-webhook-secret-file` belong together: give both or none"
            ),
        };
        let secrets = secrets.expose_secret().split_whitespace();
        let secrets: Vec<SecretString> = secrets.map(SecretString::from).collect();
        if !(1..=STRIPE_SECRETS_MAX).contains(&secrets.len()) {
            bail!("there are 1 to {STRIPE_SECRETS_MAX} secrets of Stripe, each without spaces");
        }
        let stripe = Stripe::new(secrets, prices.by_price(), tiers);
        let stripe = stripe.with_context(|| {
            let names = tiers.tiers().map(|tier| format!("`{}`", tier.name()));
            let names: Vec<String> = names.collect();
            format!(
                "`stripe-prices` is not right; the tiers are {}",
                names.join(", ")
            )
        })?;
        Ok(Some(stripe))
    }

    /// How often signing keys are rotated, if by themselves.
    pub fn key_rotation(&self) -> Option<SignedDuration> {
        let days = i64::from(self.key_rotation_days);
        (days > 0).then(|| SignedDuration::from_hours(24 * days))
    }

    /// How long listeners go on after a stop signal.
    pub fn shutdown_delay(&self) -> Duration {
        Duration::from_secs(self.shutdown_delay.into())
    }

    /// What is logged.
    pub fn log_filter(&self) -> anyhow::Result<EnvFilter> {
        EnvFilter::try_new(&self.log).with_context(|| format!("`log` is no filter: `{}`", self.log))
    }
}

fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

fn name(key: &str, value: &str) -> anyhow::Result<()> {
    if value.is_empty() || value.len() > 200 || value.chars().any(char::is_control) {
        bail!("`{key}` has 1 to 200 bytes and no control characters");
    }
    Ok(())
}

fn seconds(key: &str, value: u32) -> anyhow::Result<()> {
    if !LIFE_SECONDS.contains(&value) {
        bail!(
            "`{key}` is {} to {} seconds",
            LIFE_SECONDS.start(),
            LIFE_SECONDS.end()
        );
    }
    Ok(())
}

/// A secret that a variable tells; it stands on no command line.
pub fn secret(variable: &str) -> Option<SecretString> {
    let value = std::env::var(variable).ok()?;
    (!value.is_empty()).then(|| SecretString::from(value))
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

    #[test]
    fn every_default_is_good() {
        let config = Settings::default().resolve().unwrap();
        assert_eq!(config.license_key_prefix, "tgl_live");
        assert!(!config.log_json);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let error = |file: &str| {
            let settings: Settings = toml::from_str(file).unwrap();
            settings.resolve().unwrap_err().to_string()
        };
        for (file, part) in [
            ("gate-listen = '0.0.0.0:0'", "--gate-url"),
            ("control-plane-url = 'x:y'", "`control-plane-url`"),
            ("upstream = 'ftp://x'", "`upstream`"),
            ("pass-through = 'https://u@x'", "`pass-through`"),
            ("otlp-endpoint = 'http://u:p@x'", "`otlp-endpoint`"),
            ("token-life = 59", "60"),
            ("license-key-prefix = 'Über'", "prefix"),
            ("issuer = ''", "`issuer`"),
            ("tls-cert = 'x'", "`tls-key`"),
            ("tls-key = 'x'", "`tls-cert`"),
            ("shutdown-delay = 601", "600"),
            ("key-rotation-days = 3651", "3650"),
            ("log = 'a=b=c'", "`log`"),
        ] {
            assert!(error(file).contains(part), "{file}");
        }
        let config = Settings::default().resolve().unwrap();
        assert!(
            config
                .manifest()
                .unwrap_err()
                .to_string()
                .contains("--manifest")
        );
    }
}
