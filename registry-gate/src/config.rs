//! What a gate is told once, when it starts.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::cache::CacheDirError;
use crate::downloads::Downloads;
use crate::observe::MetricsPage;
use crate::reach::Reach;
use crate::server::Lifecycle;
use crate::store::{StoreError, StoreOptions, StoreUrl};

/// The settings of a gate.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// The address under which boxes reach the gate. It stands in their lockfiles.
    pub public_url: Url,
    /// The directory of the gate's own packages, unless `store` names another place.
    pub store_dir: PathBuf,
    /// Where the gate's own packages lie instead.
    pub store: Option<StoreUrl>,
    /// What that place is reached with, beside the `AWS_…` variables.
    pub store_options: StoreOptions,
    /// The registry behind the gate, for packages that the store does not have.
    pub upstream: Option<UpstreamConfig>,
    /// The registry for names outside the gated scope, which any good token may read. Without
    /// one, there are no such names here.
    pub pass_through: Option<UpstreamConfig>,
    /// Where tarballs and package documents of these registries are kept.
    pub cache_dir: PathBuf,
    /// Room for them, in bytes. What is being downloaded takes room beside that.
    pub cache_bytes_max: u64,
    /// The largest publish document, in bytes. A tarball in it takes four thirds of its size;
    /// documents in work take twice this limit in memory altogether, and what they hold.
    pub publish_bytes_max: usize,
    /// Memory for tokens that were verified, in bytes, roughly: about 500 for each.
    pub token_cache_bytes: u64,
    /// Memory for small tarballs, in bytes.
    pub tarball_cache_bytes: u64,
    /// When the gate is to say that it is not ready, because its process ends.
    pub lifecycle: Option<Lifecycle>,
    /// Where the gate shows its figures; nowhere if not given.
    pub metrics: Option<MetricsPage>,
    /// Where downloads are noted. Without it, they are not.
    pub downloads: Option<Downloads>,
}

/// A registry behind the gate.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Its address.
    pub url: Url,
    /// The gate's own bearer token there.
    pub token: Option<SecretString>,
    /// The largest tarball taken from it, in bytes. It is on disk until it is checked.
    pub tarball_bytes_max: usize,
    /// Whether its name may lead to addresses that are not public. An address in figures and
    /// `localhost` may, since the operator wrote them; those of a cloud's metadata never.
    pub reach: Reach,
    /// How long it may take.
    pub timeouts: UpstreamTimeouts,
}

/// How long a registry behind the gate may take.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// For a connection to be made.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub silence: Duration,
    /// For a package document in all.
    pub document: Duration,
    /// For a tarball in all.
    pub tarball: Duration,
}

impl UpstreamTimeouts {
    /// A document may take so long, and a tarball be silent for so long.
    pub fn patient_for(patience: Duration) -> Self {
        Self {
            silence: patience,
            document: patience,
            ..Self::default()
        }
    }
}

impl Default for UpstreamTimeouts {
    /// A large tarball over a slow line takes minutes; no line is silent for half of one.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            document: Duration::from_secs(30),
            tarball: Duration::from_mins(15),
        }
    }
}

impl GateConfig {
    /// A gate without upstream, with the default limits.
    pub fn new(public_url: Url, store_dir: impl Into<PathBuf>) -> Self {
        let store_dir = store_dir.into();
        Self {
            public_url,
            store: None,
            store_options: StoreOptions::default(),
            cache_dir: store_dir.join("cache"),
            store_dir,
            upstream: None,
            pass_through: None,
            cache_bytes_max: 10 * 1024 * 1024 * 1024,
            publish_bytes_max: 128 * 1024 * 1024,
            token_cache_bytes: 512 * 1024 * 1024,
            tarball_cache_bytes: 16 * 1024 * 1024,
            lifecycle: None,
            metrics: None,
            downloads: None,
        }
    }
}

impl UpstreamConfig {
    /// A registry that needs no token, with the default limits.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            token: None,
            tarball_bytes_max: 256 * 1024 * 1024,
            reach: Reach::Public,
            timeouts: UpstreamTimeouts::default(),
        }
    }
}

/// Why a gate cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a plain HTTP address.
    #[error("the gate's public URL must be an HTTP address without user, query and fragment")]
    PublicUrl,
    /// Not an HTTP address.
    #[error(
        "the URL of upstream and pass-through must be an HTTP address without user, query and fragment"
    )]
    UpstreamUrl,
    /// An address where clouds tell secrets, or none that can be connected to.
    #[error("the URL of upstream or pass-through names an address that must not be reached")]
    UpstreamAddress,
    /// Bytes that no header can carry.
    #[error("the upstream's token has characters that no header can carry")]
    UpstreamToken,
    /// No HTTP client can be made, for want of root certificates for instance.
    #[error("the HTTP client cannot start")]
    Client(#[source] reqwest::Error),
    /// The cache's directory cannot be used.
    #[error(transparent)]
    CacheDir(#[from] CacheDirError),
    /// The packages cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}
