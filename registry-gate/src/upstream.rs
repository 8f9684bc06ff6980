//! A registry behind the gate. It is not trusted: see [`client`] for how it is asked; its tarballs
//! are checked on disk before their first byte is passed on, and however many ask for one thing,
//! it is asked once. What it said before holds while it fails, over a restart as well.

mod client;
pub(crate) mod document;
pub(crate) mod figures;
mod ready;

use std::io;
use std::sync::Arc;

use activation_token::clock::Clock;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use jiff::Timestamp;
use manifest::PackageName;
use quick_cache::sync::Cache;
use semver::Version;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::client::{Client, Reply, UpstreamError};
use self::figures::{Kind, Lookup};
use self::ready::{Age, Known, Shown, Weight, ready};
use crate::access::Permit;
use crate::cache::{DiskCache, Held, Key, Registry, Spool};
use crate::config::{ConfigError, UpstreamConfig};
use crate::fault::{Failure, Fault};
use crate::flights::Flights;
use crate::integrity::{Check, Integrity};
use crate::packument::PublicUrl;
use crate::refusal::Refusal;
use crate::route::Report;

/// The most tarballs that arrive at a time.
const DOWNLOADS_MAX: usize = 64;
/// The most package documents that are asked for at a time. Each is in memory, several times over
/// while it is rendered.
const LOADS_MAX: usize = 32;
/// How much of a tarball is collected before it is written, in bytes.
const WRITE_BYTES: usize = 256 * 1024;

/// A registry behind the gate, and what is known of it.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Parts>);

struct Parts {
    registry: Registry,
    client: Client,
    cache: Arc<DiskCache>,
    public_url: PublicUrl,
    clock: Arc<dyn Clock>,
    tarball_bytes_max: u64,
    ready: Cache<PackageName, Known, Weight>,
    loads: Flights<PackageName, Loaded>,
    loading: Semaphore,
    downloads: Flights<Integrity, Result<Held, Failure>>,
    downloading: Semaphore,
}

type Loaded = Result<Option<Arc<Shown>>, Refusal>;

impl Upstream {
    /// Prepares to ask a registry.
    pub(crate) fn new(
        registry: Registry,
        config: &UpstreamConfig,
        cache: Arc<DiskCache>,
        public_url: PublicUrl,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Parts {
            registry,
            client: Client::new(registry.as_str(), config)?,
            cache,
            public_url,
            clock,
            tarball_bytes_max: config.tarball_bytes_max as u64,
            ready: ready(),
            loads: Flights::new(),
            loading: Semaphore::new(LOADS_MAX),
            downloads: Flights::new(),
            downloading: Semaphore::new(DOWNLOADS_MAX),
        })))
    }

    /// Which registry it is.
    pub(crate) fn registry(&self) -> Registry {
        self.0.registry
    }

    /// The package, if the registry has it.
    pub(crate) async fn package(&self, permit: &Permit) -> Loaded {
        let (parts, name) = (&self.0, permit.name());
        let load = || Arc::clone(parts).load(name.clone());
        if let Some(known) = parts.ready.get(name) {
            match known.age(parts.clock.now()) {
                Age::Fresh => return Ok(known.shown),
                Age::Stale => {
                    figures::lookup(Kind::Document, Lookup::Stale);
                    parts.loads.begin(name.clone(), load);
                    return Ok(known.shown);
                }
                Age::Old => {}
            }
        }
        figures::lookup(Kind::Document, Lookup::Miss);
        let loaded = parts.loads.join(name.clone(), load).await;
        loaded.unwrap_or(Err(Refusal::Upstream))
    }

    /// What is known about vulnerabilities of the packages of a list, if there is an answer soon.
    pub(crate) async fn audit(&self, report: Report, list: &Value) -> Option<Value> {
        let client = &self.0.client;
        let json = client.audit(report, list).await.inspect_err(|error| {
            let registry = client.registry();
            figures::failure(registry, Kind::Audit, error.reason());
            let error: &dyn std::error::Error = error;
            tracing::warn!(registry, error, "vulnerabilities are not told");
        });
        serde_json::from_slice(&json.ok()?).ok()
    }

    /// A tarball, checked and on disk.
    pub(crate) async fn tarball(
        &self,
        permit: &Permit,
        version: &Version,
        integrity: &Integrity,
    ) -> Result<Held, Failure> {
        let parts = &self.0;
        if let Some(held) = parts.cached(*integrity).await {
            figures::lookup(Kind::Tarball, Lookup::Hit);
            return Ok(held);
        }
        figures::lookup(Kind::Tarball, Lookup::Miss);
        let (name, version) = (permit.name().clone(), version.clone());
        let download = || Arc::clone(parts).download(name, version, *integrity);
        let downloaded = parts.downloads.join(*integrity, download).await;
        downloaded.unwrap_or_else(|error| Err(Fault::new("downloading a tarball", error).into()))
    }
}

impl Parts {
    /// Asks the registry. If it fails, what it said before holds.
    async fn load(self: Arc<Self>, name: PackageName) -> Loaded {
        // The semaphore is never closed.
        let _slot = self.loading.acquire().await;
        let key = self.document_key(&name);
        let known = match self.ready.get(&name) {
            Some(known) => Some(known),
            None => Arc::clone(&self).read_back(name.clone(), key).await,
        };
        let last = known.as_ref().and_then(|known| known.shown.clone());
        let at = self.clock.now();
        match Arc::clone(&self).ask(&name, key, last).await {
            Ok(shown) => {
                let known = Known {
                    shown: shown.clone(),
                    at,
                    failed_at: None,
                };
                self.ready.insert(name, known);
                Ok(shown)
            }
            Err(error) => {
                self.note(Kind::Document, &error, &name, None);
                let known = known.filter(|known| known.shown.is_some());
                let mut known = known.ok_or(Refusal::Upstream)?;
                known.failed_at = Some(self.clock.now());
                self.ready.insert(name, known.clone());
                Ok(known.shown)
            }
        }
    }

    async fn ask(
        self: Arc<Self>,
        name: &PackageName,
        key: Key,
        last: Option<Arc<Shown>>,
    ) -> Result<Option<Arc<Shown>>, UpstreamError> {
        let etag = last.as_ref().and_then(|last| last.etag.as_ref());
        let reply = self.client.document(name, etag).await?;
        let name = name.clone();
        let take = move || match reply {
            Reply::Document(json, etag) => {
                let seen = last.as_ref().map(|last| &*last.package);
                let read = document::read(&name, &json, &self.public_url, seen);
                let (package, changed) = read.ok_or(UpstreamError::Document)?;
                let package = Arc::new(package);
                if !changed.is_empty() {
                    // Nor is it kept, so that a restart remembers what was seen first.
                    let registry = self.client.registry();
                    let versions = changed.iter().map(ToString::to_string);
                    let versions = versions.collect::<Vec<_>>().join(", ");
                    tracing::error!(registry, %name, versions, "registry changed bytes of releases");
                } else if let Some(head) = document::head(&json, etag.as_ref()) {
                    self.cache.store(key, &[&head, &json]);
                }
                Ok(Some(Arc::new(Shown { package, etag })))
            }
            Reply::Same => {
                self.cache.touch(&key);
                Ok(last)
            }
            Reply::Missing => {
                self.cache.remove(&key);
                Ok(None)
            }
        };
        spawn_blocking(take)
            .await
            .map_err(|_| UpstreamError::BrokenOff)?
    }

    /// What was kept on disk, of whatever age.
    async fn read_back(self: Arc<Self>, name: PackageName, key: Key) -> Option<Known> {
        let read = move || {
            let file = self.cache.get(&key)?.read().ok();
            let kept = file.and_then(document::kept);
            let show = |(json, etag): (Bytes, Option<HeaderValue>)| {
                let (package, _) = document::read(&name, &json, &self.public_url, None)?;
                let package = Arc::new(package);
                Some(Arc::new(Shown { package, etag }))
            };
            let shown = kept.and_then(show);
            if shown.is_none() {
                tracing::warn!(%name, "a kept package document cannot be read");
                self.cache.remove(&key);
            }
            shown
        };
        let shown = spawn_blocking(read).await.ok()??;
        Some(Known {
            shown: Some(shown),
            at: Timestamp::UNIX_EPOCH,
            failed_at: None,
        })
    }

    async fn cached(&self, integrity: Integrity) -> Option<Held> {
        let cache = Arc::clone(&self.cache);
        let key = self.tarball_key(integrity);
        let get = move || cache.get(&key);
        spawn_blocking(get).await.ok()?
    }

    async fn download(
        self: Arc<Self>,
        name: PackageName,
        version: Version,
        integrity: Integrity,
    ) -> Result<Held, Failure> {
        let fault = |error| Fault::new("writing a tarball to the cache", error);
        let failed = |error: UpstreamError| {
            self.note(Kind::Tarball, &error, &name, Some(&version));
            match error {
                UpstreamError::Integrity => Refusal::UpstreamIntegrity,
                _ => Refusal::Upstream,
            }
        };
        let _slot = self.downloading.acquire().await;
        // Another download may have ended between the look and the flight.
        if let Some(held) = self.cached(integrity).await {
            return Ok(held);
        }
        let bytes_max = self.tarball_bytes_max;
        let answer = self.client.tarball(&name, &version, bytes_max).await;
        let mut response = answer.map_err(failed)?;
        let mut arriving = Arriving::begin(Arc::clone(&self.cache), integrity)
            .await
            .map_err(fault)?;
        let (mut piece, mut bytes) = (BytesMut::new(), 0);
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| failed(error.into()))?
        {
            bytes += chunk.len() as u64;
            if bytes > bytes_max {
                return Err(failed(UpstreamError::TooLarge(bytes_max)).into());
            }
            piece.extend_from_slice(&chunk);
            if piece.len() >= WRITE_BYTES {
                arriving = arriving.take(piece.split()).await.map_err(fault)?;
            }
        }
        let arrived = arriving.take(piece).await.map_err(fault)?;
        let held = arrived
            .end(self.tarball_key(integrity))
            .await
            .map_err(fault)?;
        Ok(held.ok_or_else(|| failed(UpstreamError::Integrity))?)
    }

    fn tarball_key(&self, integrity: Integrity) -> Key {
        Key::Tarball(self.registry, integrity)
    }

    fn document_key(&self, name: &PackageName) -> Key {
        let origin = self.client.origin();
        Key::Document(Sha256::digest(format!("{origin}\0{name}")).into())
    }

    fn note(
        &self,
        kind: Kind,
        error: &UpstreamError,
        name: &PackageName,
        version: Option<&Version>,
    ) {
        let registry = self.client.registry();
        figures::failure(registry, kind, error.reason());
        let version = version.map(tracing::field::display);
        let cause: &dyn std::error::Error = error;
        // Only the operator can give the gate another token.
        if matches!(error, UpstreamError::Credential(_)) {
            tracing::error!(registry, %name, version, error = cause, "registry failed");
        } else {
            tracing::warn!(registry, %name, version, error = cause, "registry failed");
        }
    }
}

/// A tarball that is being written and hashed, where waiting for the disk holds nobody up.
struct Arriving {
    cache: Arc<DiskCache>,
    spool: Spool,
    check: Check,
}

impl Arriving {
    async fn begin(cache: Arc<DiskCache>, integrity: Integrity) -> io::Result<Self> {
        let begin = move || {
            Ok(Self {
                spool: cache.spool()?,
                check: integrity.check(),
                cache,
            })
        };
        spawn_blocking(begin).await.map_err(io::Error::other)?
    }

    async fn take(mut self, piece: BytesMut) -> io::Result<Self> {
        let write = move || {
            self.check.update(&piece);
            let written = self.spool.write(&piece);
            written.inspect_err(|error| self.cache.make_room(error))?;
            Ok(self)
        };
        spawn_blocking(write).await.map_err(io::Error::other)?
    }

    /// The whole, if it is what was announced.
    async fn end(self, key: Key) -> io::Result<Option<Held>> {
        let end = move || {
            let good = self.check.fits();
            good.then(|| self.cache.keep(key, self.spool))
        };
        spawn_blocking(end).await.map_err(io::Error::other)
    }
}
