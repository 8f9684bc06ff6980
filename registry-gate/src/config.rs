//! What a gate is told once, when it starts.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use crate::server::Lifecycle;
use crate::store::StoreDirError;

/// The settings of a gate.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// The address under which boxes reach the gate. It stands in their lockfiles.
    pub public_url: Url,
    /// The directory of the gate's own packages.
    pub store_dir: PathBuf,
    /// The registry behind the gate, for packages that the store does not have.
    pub upstream: Option<UpstreamConfig>,
    /// The largest publish document, in bytes.
    pub publish_bytes_max: usize,
    /// Memory for tokens that were verified, in bytes, roughly: about 500 for each.
    pub token_cache_bytes: u64,
    /// Memory for small tarballs, in bytes.
    pub tarball_cache_bytes: u64,
    /// When the gate is to say that it is not ready, because its process ends.
    pub lifecycle: Option<Lifecycle>,
}

/// A registry behind the gate.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Its address.
    pub url: Url,
    /// The gate's own bearer token there.
    pub token: Option<SecretString>,
    /// The largest tarball taken from it, in bytes. It is held in memory until it is checked.
    pub tarball_bytes_max: usize,
}

impl GateConfig {
    /// A gate without upstream, with the default limits.
    pub fn new(public_url: Url, store_dir: impl Into<PathBuf>) -> Self {
        Self {
            public_url,
            store_dir: store_dir.into(),
            upstream: None,
            publish_bytes_max: 64 * 1024 * 1024,
            token_cache_bytes: 512 * 1024 * 1024,
            tarball_cache_bytes: 16 * 1024 * 1024,
            lifecycle: None,
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
    #[error("the upstream's URL must be an HTTP address without a query")]
    UpstreamUrl,
    /// Bytes that no header can carry.
    #[error("the upstream's token has characters that no header can carry")]
    UpstreamToken,
    /// No HTTP client can be made, for want of root certificates for instance.
    #[error("the HTTP client cannot start")]
    Client(#[source] reqwest::Error),
    /// The directory cannot be used.
    #[error(transparent)]
    StoreDir(#[from] StoreDirError),
}
