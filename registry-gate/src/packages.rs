//! Where a package comes from. One of the gated scope comes from the store if it has any release
//! of it, else from the upstream; any other from the registry that is passed through, if there is
//! one. None of the three is ever merged with another, so nobody outside can add a version to a
//! package of the vendor's own.

use std::sync::Arc;

use activation_token::clock::Clock;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use semver::Version;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::access::Permit;
use crate::cache::{DiskCache, Registry};
use crate::config::{ConfigError, GateConfig};
use crate::fault::{Failure, Fault};
use crate::hosted::Hosted;
use crate::integrity::Integrity;
use crate::packument::{Package, PublicUrl, Release};
use crate::refusal::Refusal;
use crate::route::Report;
use crate::tarball::Tarball;
use crate::upstream::Upstream;

/// Tarballs up to this size are kept in memory, in bytes.
const KEPT_BYTES_MAX: u64 = 256 * 1024;

/// All packages that the gate can serve.
pub(crate) struct Packages {
    pub(crate) hosted: Hosted,
    behind: Behind,
    /// By where they are from and hash, so that an entry can never be stale.
    small: Cache<(Option<Registry>, Integrity), Bytes, Length>,
}

/// The registries behind the gate.
pub(crate) struct Behind {
    /// For names of the gated scope.
    upstream: Option<Upstream>,
    /// For all others.
    pass_through: Option<Upstream>,
}

/// A package and where it was found.
pub(crate) struct Found {
    pub(crate) package: Arc<Package>,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Hosted,
    Behind(Upstream),
}

impl Source {
    /// The registry behind the gate, if it is one.
    fn registry(&self) -> Option<Registry> {
        match self {
            Self::Hosted => None,
            Self::Behind(registry) => Some(registry.registry()),
        }
    }
}

impl Behind {
    /// Prepares to ask the registries that are configured, over one cache.
    pub(crate) fn open(
        config: &GateConfig,
        public_url: &PublicUrl,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let mut behind = Self {
            upstream: None,
            pass_through: None,
        };
        if config.upstream.is_none() && config.pass_through.is_none() {
            return Ok(behind);
        }
        let cache = DiskCache::open(&config.cache_dir, config.cache_bytes_max, clock.clone())?;
        let cache = Arc::new(cache);
        let registry = |name, config| {
            let (cache, clock) = (Arc::clone(&cache), Arc::clone(clock));
            Upstream::new(name, config, cache, public_url.clone(), clock)
        };
        let upstream = config.upstream.as_ref();
        behind.upstream = upstream
            .map(|it| registry(Registry::Upstream, it))
            .transpose()?;
        let pass_through = config.pass_through.as_ref();
        behind.pass_through = pass_through
            .map(|it| registry(Registry::PassThrough, it))
            .transpose()?;
        Ok(behind)
    }

    /// The registry that may be asked about packages of the gated scope, or about all others.
    fn about(&self, gated: bool) -> Option<&Upstream> {
        if gated {
            self.upstream.as_ref()
        } else {
            self.pass_through.as_ref()
        }
    }
}

impl Packages {
    pub(crate) fn new(hosted: Hosted, behind: Behind, cache_bytes: u64) -> Self {
        let expected = usize::try_from(cache_bytes / 16_384).unwrap_or(usize::MAX);
        Self {
            hosted,
            behind,
            small: Cache::with_weighter(expected, cache_bytes, Length),
        }
    }

    /// The package, if there is one.
    pub(crate) async fn find(&self, permit: &Permit) -> Result<Found, Failure> {
        if permit.is_gated()
            && let Some(shown) = self.hosted.package(permit).await?
        {
            return Ok(Found {
                package: Arc::clone(&shown.package),
                source: Source::Hosted,
            });
        }
        if let Some(registry) = self.behind.about(permit.is_gated())
            && let Some(shown) = registry.package(permit).await?
        {
            return Ok(Found {
                package: Arc::clone(&shown.package),
                source: Source::Behind(registry.clone()),
            });
        }
        Err(Refusal::NotPublished {
            name: permit.name().clone(),
        }
        .into())
    }

    /// What the registry behind the gate knows about vulnerabilities of packages of the gated
    /// scope, or of others, if it answers. The list must hold no names of the other kind.
    pub(crate) async fn audit(&self, gated: bool, report: Report, list: &Value) -> Option<Value> {
        self.behind.about(gated)?.audit(report, list).await
    }

    /// The tarball of a release.
    pub(crate) async fn tarball(
        &self,
        permit: &Permit,
        found: &Found,
        version: &Version,
        release: &Release,
    ) -> Result<Tarball, Failure> {
        let fault = |error| Fault::new("reading a tarball", error);
        let key = (found.source.registry(), release.integrity);
        if let Some(bytes) = self.small.get(&key) {
            return Ok(Tarball::from(bytes));
        }
        let bytes = match &found.source {
            Source::Behind(registry) => {
                let held = registry.tarball(permit, version, &release.integrity);
                let held = held.await?;
                if held.bytes > KEPT_BYTES_MAX {
                    return Ok(Tarball::from(held));
                }
                let read = spawn_blocking(move || held.read()).await;
                let read = read.map_err(std::io::Error::other).flatten();
                Bytes::from(read.map_err(|error| Fault::new("reading a tarball", error))?)
            }
            Source::Hosted => {
                let integrity = &release.integrity;
                let object = self.hosted.tarball(permit, version, integrity).await?;
                if object.meta.size > KEPT_BYTES_MAX {
                    return Ok(Tarball::stored(object));
                }
                object.bytes().await.map_err(fault)?
            }
        };
        self.small.insert(key, bytes.clone());
        Ok(Tarball::from(bytes))
    }
}

/// A tarball weighs its bytes.
#[derive(Clone)]
struct Length;

impl Weighter<(Option<Registry>, Integrity), Bytes> for Length {
    fn weight(&self, _: &(Option<Registry>, Integrity), bytes: &Bytes) -> u64 {
        bytes.len() as u64 + 128
    }
}
