//! Where a package comes from: the store if it has any release of it, else the upstream. The
//! two are never merged, so nobody outside can add a version to a package of the vendor's own.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use object_store::{GetResult, GetResultPayload};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use semver::Version;
use serde_json::Value;

use crate::access::Permit;
use crate::fault::{Failure, Fault};
use crate::hosted::Hosted;
use crate::integrity::Integrity;
use crate::packument::{Package, Release};
use crate::refusal::Refusal;
use crate::route::Report;
use crate::upstream::Upstream;

/// Tarballs up to this size are kept in memory, in bytes.
const KEPT_BYTES_MAX: u64 = 256 * 1024;
/// How much of a file is read at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

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

/// A tarball on its way out, whole or in part.
pub(crate) struct Tarball {
    /// Its whole length.
    pub(crate) bytes: u64,
    content: Content,
}

enum Content {
    Memory(Bytes),
    Object(Box<GetResult>),
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

    /// What the upstream knows about vulnerabilities of these packages, if it answers.
    pub(crate) async fn audit(&self, report: Report, list: &Value) -> Option<Value> {
        self.upstream.as_ref()?.audit(report, list).await
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
            content: Content::Memory(bytes),
        }
    }

    fn stream(object: GetResult) -> Self {
        Self {
            bytes: object.meta.size,
            content: Content::Object(Box::new(object)),
        }
    }

    /// The bytes of a part that lies within it, as they are read.
    pub(crate) fn part(self, part: Range<u64>) -> Body {
        let object = match self.content {
            Content::Memory(bytes) => {
                // What is held in memory has a length that fits.
                let at = |place| {
                    usize::try_from(place)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len())
                };
                return Body::from(bytes.slice(at(part.start)..at(part.end)));
            }
            Content::Object(object) => object.payload,
        };
        match object {
            GetResultPayload::File(file, _) => {
                Body::from_stream(stream::try_unfold((file, part), chunk))
            }
            GetResultPayload::Stream(stream) => {
                let (mut skip, mut left) = (part.start, part.end - part.start);
                let cut = stream.map(move |chunk| {
                    let mut chunk = chunk?;
                    let before = skip.min(chunk.len() as u64);
                    skip -= before;
                    drop(chunk.split_to(usize::try_from(before).unwrap_or(usize::MAX)));
                    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    left -= chunk.len() as u64;
                    Ok::<_, object_store::Error>(chunk)
                });
                Body::from_stream(cut)
            }
        }
    }
}

/// The next piece of a part of a file, read where waiting for a disk holds nobody up.
async fn chunk(
    (mut file, part): (File, Range<u64>),
) -> std::io::Result<Option<(Bytes, (File, Range<u64>))>> {
    let read = move || {
        let wanted = (part.end - part.start).min(CHUNK_BYTES as u64);
        if wanted == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        file.seek(SeekFrom::Start(part.start))?;
        Read::by_ref(&mut file)
            .take(wanted)
            .read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            // Shorter than it was: the answer must break off, and not end as if it were whole.
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let rest = part.start + bytes.len() as u64..part.end;
        Ok(Some((Bytes::from(bytes), (file, rest))))
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(std::io::Error::other)?
}

/// A tarball weighs its bytes.
#[derive(Clone)]
struct Length;

impl Weighter<Integrity, Bytes> for Length {
    fn weight(&self, _: &Integrity, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + 128
    }
}
