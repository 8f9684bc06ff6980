//! A tarball on its way out: bytes in memory, an open file, or a stream from a store elsewhere,
//! whole or in part.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::{GetResult, GetResultPayload};

use crate::cache::Held;
use crate::file_body::file_body;

/// See the module.
pub(crate) struct Tarball {
    bytes: u64,
    source: Source,
}

enum Source {
    Memory(Bytes),
    File(Arc<File>),
    Stream(BoxStream<'static, object_store::Result<Bytes>>),
}

impl Tarball {
    /// Its length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes `range.start` up to `range.end`, not including it. What lies behind the end of the
    /// tarball is left out.
    pub(crate) fn into_part(self, range: Range<u64>) -> Body {
        let end = range.end.min(self.bytes);
        let start = range.start.min(end);
        match self.source {
            Source::Memory(bytes) => {
                // INVARIANT: no position lies behind the end of what is in memory.
                let at = |position| usize::try_from(position).unwrap_or(bytes.len());
                Body::from(bytes.slice(at(start)..at(end)))
            }
            Source::File(file) => file_body(file, start, end),
            Source::Stream(stream) => Body::from_stream(part(stream, start..end)),
        }
    }

    /// What a store gives.
    pub(crate) fn stored(object: GetResult) -> Self {
        Self {
            bytes: object.meta.size,
            source: match object.payload {
                GetResultPayload::File(file, _) => Source::File(Arc::new(file)),
                GetResultPayload::Stream(stream) => Source::Stream(stream),
            },
        }
    }
}

impl From<Bytes> for Tarball {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes: bytes.len() as u64,
            source: Source::Memory(bytes),
        }
    }
}

impl From<Held> for Tarball {
    fn from(held: Held) -> Self {
        Self {
            bytes: held.bytes,
            source: Source::File(held.file),
        }
    }
}

/// Cuts a range out of a stream.
fn part(
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    range: Range<u64>,
) -> BoxStream<'static, object_store::Result<Bytes>> {
    let cut = move |at: &mut u64, piece: object_store::Result<Bytes>| {
        let piece = piece.map(|bytes| {
            let begin = *at;
            let length = bytes.len() as u64;
            *at += length;
            let within = |position: u64| position.saturating_sub(begin).min(length);
            let index = |position| usize::try_from(within(position)).unwrap_or(bytes.len());
            bytes.slice(index(range.start)..index(range.end))
        });
        std::future::ready(Some(piece))
    };
    let cut = stream.scan(0, cut);
    let empty = |piece: &object_store::Result<Bytes>| {
        let full = !piece.as_ref().is_ok_and(Bytes::is_empty);
        std::future::ready(full)
    };
    cut.filter(empty).boxed()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<Tarball> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let pieces: Vec<_> = bytes
            .chunks(1000)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let length = bytes.len() as u64;
        vec![
            Tarball::from(Bytes::copy_from_slice(bytes)),
            Tarball::from(Held {
                file: Arc::new(file),
                bytes: length,
            }),
            Tarball {
                bytes: length,
                source: Source::Stream(stream::iter(pieces).boxed()),
            },
        ]
    }

    #[tokio::test]
    async fn any_part_of_any_source_is_that_part() {
        let bytes: Vec<u8> = (0..600_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        for range in [
            0..0,
            0..1,
            999..1001,
            0..600_000,
            599_999..600_000,
            262_143..524_289,
            599_990..700_000,
            700_000..800_000,
        ] {
            let end = usize::try_from(range.end).unwrap().min(bytes.len());
            let start = usize::try_from(range.start).unwrap().min(end);
            for tarball in all(&bytes) {
                assert_eq!(tarball.bytes(), 600_000);
                let part = tarball.into_part(range.clone()).collect().await.unwrap();
                assert!(part.to_bytes() == bytes[start..end], "{range:?}");
            }
        }
        for tarball in all(&bytes) {
            let whole = tarball.into_part(0..u64::MAX).collect().await.unwrap();
            assert!(whole.to_bytes() == bytes);
        }
    }

    #[tokio::test]
    async fn a_file_that_ends_too_early_breaks_off() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let held = Held {
            file: Arc::new(file),
            bytes: 4,
        };
        assert!(Tarball::from(held).into_part(0..4).collect().await.is_err());
    }
}
