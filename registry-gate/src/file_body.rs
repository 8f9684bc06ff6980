//! A file as the body of an answer. What the system holds in memory is read at once; only where
//! it would have to wait for the disk, the reading goes where waiting holds nobody up.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

/// How much is read at a time, in bytes: little enough to stay in a processor's cache on its way
/// from the file to the socket.
const CHUNK_BYTES: usize = 64 * 1024;

/// Where a reading stands.
struct Reading {
    file: Arc<File>,
    at: u64,
    end: u64,
}

/// The bytes of a file from `at` to `end`.
pub(crate) fn file_body(file: Arc<File>, at: u64, end: u64) -> Body {
    Body::from_stream(stream::try_unfold(Reading { file, at, end }, next))
}

async fn next(reading: Reading) -> io::Result<Option<(Bytes, Reading)>> {
    let left = reading.end.saturating_sub(reading.at);
    let size = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
    if size == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; size];
    let at_once = read_at_once(&reading, &mut bytes);
    let (mut reading, bytes, read) = if let Some(read) = at_once {
        (reading, bytes, read)
    } else {
        let read = move || {
            let read = reading.file.read_at(&mut bytes, reading.at)?;
            Ok::<_, io::Error>((reading, bytes, read))
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(io::Error::other)??
    };
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    reading.at += read as u64;
    Ok(Some((Bytes::from(bytes).slice(..read), reading)))
}

/// `None` where the disk has to be asked, or where this cannot be told.
#[cfg(target_os = "linux")]
fn read_at_once(reading: &Reading, bytes: &mut [u8]) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};

    let mut bytes = [io::IoSliceMut::new(bytes)];
    let read = preadv2(
        &*reading.file,
        &mut bytes,
        reading.at,
        ReadWriteFlags::NOWAIT,
    );
    read.ok().filter(|read| *read > 0)
}

#[cfg(not(target_os = "linux"))]
fn read_at_once(_: &Reading, _: &mut [u8]) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body_util::BodyExt;

    use super::*;

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn a_part_of_a_file_comes_byte_for_byte() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * CHUNK_BYTES + 7).collect();
        for (at, end) in [
            (0, bytes.len()),
            (1, CHUNK_BYTES + 1),
            (5, 5),
            (bytes.len() - 1, bytes.len()),
        ] {
            let body = file_body(file(&bytes), at as u64, end as u64);
            let sent = body.collect().await.unwrap().to_bytes();
            assert!(sent == bytes[at..end], "{at} to {end}");
        }
    }

    #[tokio::test]
    async fn a_file_that_ends_too_soon_breaks_the_answer_off() {
        let body = file_body(file(b"short"), 0, 6);
        assert!(body.collect().await.is_err());
    }
}
