//! Where a package comes from: the store if it has any release of it, else the upstream. The
//! two are never merged, so nobody outside can add a version to a package of the vendor's own.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use object_store::{GetResult, GetResultPayload};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use semver::Version;

use crate::access::Permit;
use crate::fault::{Failure, Fault};
use crate::file_body::file_body;
use crate::hosted::Hosted;
use crate::integrity::Integrity;
use crate::packument::{Package, Release};
use crate::refusal::Refusal;
use crate::upstream::Upstream;

/// Tarballs up to this size are kept in memory, in bytes.
const KEPT_BYTES_MAX: u64 = 256 * 1024;

/// All packages that the gate can serve.
pub(crate) struct Packages {
    pub(crate) hosted: Hosted,
    upstream: Option<Upstream>,
    /// By hash, so that an entry can never be stale.
    small: Cache<Integrity, Bytes, Length>,
}

/// A package and where it was found.
pub(crate) struct Found {
    pub(crate) package: Arc<Package>,
    source: Source,
}

#[derive(Clone, Copy)]
enum Source {
    Hosted,
    Upstream,
}

/// A tarball on its way out.
pub(crate) struct Tarball {
    pub(crate) bytes: u64,
    pub(crate) body: Body,
}

impl Packages {
    pub(crate) fn new(hosted: Hosted, upstream: Option<Upstream>, cache_bytes: u64) -> Self {
        let expected = usize::try_from(cache_bytes / 16_384).unwrap_or(usize::MAX);
        Self {
            hosted,
            upstream,
            small: Cache::with_weighter(expected, cache_bytes, Length),
        }
    }

    /// The package, if there is one.
    pub(crate) async fn find(&self, permit: &Permit) -> Result<Found, Failure> {
        if let Some(shown) = self.hosted.package(permit).await? {
            return Ok(Found {
                package: Arc::clone(&shown.package),
                source: Source::Hosted,
            });
        }
        let shown = match &self.upstream {
            Some(upstream) => upstream.package(permit).await?,
            None => None,
        };
        let shown = shown.ok_or_else(|| Refusal::NotPublished {
            name: permit.name().clone(),
        })?;
        Ok(Found {
            package: Arc::clone(&shown.package),
            source: Source::Upstream,
        })
    }

    /// The tarball of a release.
    pub(crate) async fn tarball(
        &self,
        permit: &Permit,
        found: &Found,
        version: &Version,
        release: &Release,
    ) -> Result<Tarball, Failure> {
        if let Some(bytes) = self.small.get(&release.integrity) {
            return Ok(Tarball::of(bytes));
        }
        let bytes = match (found.source, &self.upstream) {
            (Source::Upstream, Some(upstream)) => {
                upstream
                    .tarball(permit, version, &release.integrity)
                    .await?
            }
            (Source::Upstream, None) | (Source::Hosted, _) => {
                let object = self.hosted.store().tarball(&release.integrity).await?;
                if object.meta.size > KEPT_BYTES_MAX {
                    return Ok(Tarball::stream(object));
                }
                let fault = |error| Fault::new("reading a tarball", error);
                object.bytes().await.map_err(fault)?
            }
        };
        if bytes.len() as u64 <= KEPT_BYTES_MAX {
            self.small.insert(release.integrity, bytes.clone());
        }
        Ok(Tarball::of(bytes))
    }
}

impl Tarball {
    fn of(bytes: Bytes) -> Self {
        Self {
            bytes: bytes.len() as u64,
            body: Body::from(bytes),
        }
    }

    fn stream(object: GetResult) -> Self {
        Self {
            bytes: object.meta.size,
            body: match object.payload {
                GetResultPayload::File(file, _) => {
                    file_body(file, object.range.start, object.range.end)
                }
                GetResultPayload::Stream(stream) => Body::from_stream(stream),
            },
        }
    }
}

/// A tarball weighs its bytes.
#[derive(Clone)]
struct Length;

impl Weighter<Integrity, Bytes> for Length {
    fn weight(&self, _: &Integrity, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + 128
    }
}
