//! Downloads: noted in memory while tarballs go out, on the disk within a moment, and told from
//! there until they are heard.
//!
//! ```text
//! tarball answered ──► Tally ──every half second──► Ledger ──every two──► DownloadSink
//!                     (memory)                    (on disk)
//! ```
//!
//! A download is never held up nor refused because of this. What a process that is killed has
//! noted within the last second is lost; what is on the disk is not, whoever is started anew. It
//! is told at least once and under the same id each time, so that it is counted once.

mod ledger;
mod tally;

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use activation_token::clock::Clock;
use activation_token::downloads::DownloadBatch;
use http::header::CONTENT_RANGE;
use http::{Method, StatusCode};
use jiff::tz::TimeZone;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use semver::Version;
use tokio::time::{sleep, timeout};

pub use self::ledger::LedgerError;

use self::ledger::Ledger;
use self::tally::{Release, Tally};
use crate::access::Permit;
use crate::follow::{Backoff, Failing};

/// Downloads that will never be told of.
const LOST: &str = "tollgate_gate_downloads_lost_total";
/// Records on the disk that wait to be told.
const WAITING: &str = "tollgate_gate_download_records_waiting";

/// How often what was noted is written.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// How often what was written is told.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// The longest wait after failures.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a process that ends tries to tell the last of it. The rest is told by the next one.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Where a gate notes downloads.
#[derive(Clone)]
pub struct Downloads(Arc<Tally>);

/// Writes down what was noted, and tells it.
pub struct DownloadKeeper {
    tally: Arc<Tally>,
    ledger: Shared,
    /// Of gates that ended and were not started again.
    left_behind: Mutex<Vec<Shared>>,
    clock: Arc<dyn Clock>,
}

/// A ledger, for threads that wait for the disk.
type Shared = Arc<Mutex<Ledger>>;

/// Who is told of downloads, which is the control plane.
pub trait DownloadSink: Send + Sync + 'static {
    /// Counts a batch, once, however often it comes. Returns when that lasts.
    fn take(&self, batch: &DownloadBatch) -> impl Future<Output = Result<(), NotTaken>> + Send;
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// It may be told again.
    #[error("{0}")]
    Later(#[source] Box<dyn Error + Send + Sync>),
    /// It is not good, and never will be.
    #[error("{0}")]
    Never(#[source] Box<dyn Error + Send + Sync>),
}

/// Why the last attempt to tell ended before everything was told.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("{0}")]
    Sink(#[source] Box<dyn Error + Send + Sync>),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("working on the disk was cut off")]
    CutOff,
}

/// A download, on the answer that it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Download(Release);

impl Download {
    /// The download of a release, if it is a box that may have it.
    pub(crate) fn of(permit: &Permit, version: &Version) -> Option<Self> {
        let caller = permit.caller();
        let (license_id, customer_id) = (caller.license()?, caller.customer()?);
        Some(Self(Release {
            license_id: license_id.into(),
            customer_id: customer_id.into(),
            package: permit.name().clone(),
            version: version.to_string().into(),
        }))
    }

    /// Whether the answer to a request counts: the bytes from the first one on. So a download
    /// that is taken up in the middle counts once.
    pub(crate) fn counts<B>(method: &Method, response: &http::Response<B>) -> bool {
        let begins = || {
            let range = response.headers().get(CONTENT_RANGE);
            range.is_some_and(|range| range.as_bytes().starts_with(b"bytes 0-"))
        };
        method == Method::GET
            && match response.status() {
                StatusCode::OK => true,
                StatusCode::PARTIAL_CONTENT => begins(),
                _ => false,
            }
    }
}

impl fmt::Debug for Downloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Downloads")
    }
}

impl Downloads {
    /// Keeps downloads in a directory, which other gates may share. `seed` is fresh randomness:
    /// ids of batches are made of it, and no two gates nor two starts may have the same.
    pub fn open(
        dir: &Path,
        seed: [u8; 16],
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, DownloadKeeper), LedgerError> {
        describe();
        let ledger = Ledger::open(dir, seed)?;
        let left_behind = Ledger::left_behind(dir, seed)?.into_iter();
        let left_behind = left_behind.map(|ledger| Arc::new(Mutex::new(ledger)));
        let tally = Arc::new(Tally::default());
        let keeper = DownloadKeeper {
            tally: Arc::clone(&tally),
            ledger: Arc::new(Mutex::new(ledger)),
            left_behind: Mutex::new(left_behind.collect()),
            clock,
        };
        Ok((Self(tally), keeper))
    }

    /// Notes a download.
    pub(crate) fn note(&self, download: Download) {
        lost(self.0.note(download.0));
    }
}

impl DownloadKeeper {
    /// Writes and tells until `ending` is over, then writes and tells the last of it.
    pub async fn keep(self, sink: impl DownloadSink, ending: impl Future<Output = ()> + Send) {
        tokio::select! {
            () = ending => {}
            never = self.write_again_and_again() => match never {},
            never = self.tell_again_and_again(&sink) => match never {},
        }
        if let Err(error) = self.write().await {
            let error: &dyn Error = &error;
            tracing::error!(error, "the last downloads could not be written down");
        }
        // One that was cut off above may have been heard: that makes no difference.
        match timeout(LAST_WORD, self.tell(&sink)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => {
                tracing::info!("downloads that were not told of yet are kept for the next start");
            }
        }
    }

    async fn write_again_and_again(&self) -> Infallible {
        let mut failing = Failing::new("downloads cannot be written down; they are kept in memory");
        loop {
            sleep(WRITE_EVERY).await;
            failing.tell(self.write().await.as_ref().err());
        }
    }

    async fn tell_again_and_again(&self, sink: &impl DownloadSink) -> Infallible {
        let mut backoff = Backoff::new(Arc::clone(&self.clock), WAIT_MAX);
        let mut failing = Failing::new("the control plane is not told of downloads; they are kept");
        loop {
            let told = self.tell(sink).await;
            failing.tell(told.as_ref().err());
            if told.is_ok() {
                backoff.reset();
                sleep(TELL_EVERY).await;
            } else {
                sleep(backoff.next().max(TELL_EVERY / 4)).await;
            }
        }
    }

    /// Writes down what was noted. What cannot be written is noted again.
    async fn write(&self) -> Result<(), Untold> {
        if self.tally.is_empty() {
            return Ok(());
        }
        let tally = Arc::clone(&self.tally);
        let day = self.clock.now().to_zoned(TimeZone::UTC).date();
        // All of it in there: it goes on when nobody waits for it any more.
        on_disk(&self.ledger, move |ledger| {
            let noted = tally.take();
            match ledger.write(&noted, day) {
                Ok(without_room) => {
                    lost(without_room);
                    Ok(())
                }
                Err(error) => {
                    lost(tally.give_back(noted));
                    Err(error)
                }
            }
        })
        .await
    }

    /// Tells all that was written.
    async fn tell(&self, sink: &impl DownloadSink) -> Result<(), Untold> {
        tell_from(&self.ledger, sink).await?;
        while let Some(left) = self.next_left_behind() {
            tell_from(&left, sink).await?;
            self.left_behind().pop();
        }
        Ok(())
    }

    fn next_left_behind(&self) -> Option<Shared> {
        self.left_behind().last().cloned()
    }

    fn left_behind(&self) -> MutexGuard<'_, Vec<Shared>> {
        self.left_behind
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all that a ledger has.
async fn tell_from(ledger: &Shared, sink: &impl DownloadSink) -> Result<(), Untold> {
    loop {
        let next = on_disk(ledger, |ledger| {
            let (next, without_room) = ledger.next()?;
            lost(without_room);
            Ok(next)
        });
        let Some(next) = next.await? else {
            return Ok(());
        };
        for batch in next.batches() {
            match sink.take(&batch).await {
                Ok(()) => {}
                Err(NotTaken::Later(error)) => return Err(Untold::Sink(error)),
                Err(NotTaken::Never(error)) => set_aside(ledger, batch, &*error).await,
            }
        }
        on_disk(ledger, move |ledger| ledger.told(&next)).await?;
    }
}

/// Sees to a batch that nobody will ever take, so that others get their turn.
async fn set_aside(ledger: &Shared, batch: DownloadBatch, error: &(dyn Error + Send + Sync)) {
    let count = batch.records.iter().map(|record| record.count).sum();
    let id = batch.batch_id.clone();
    tracing::error!(
        batch = id,
        downloads = count,
        error = %error,
        "the control plane refused a batch of downloads for good; `refused.json` has it"
    );
    lost(count);
    if let Err(error) = on_disk(ledger, move |ledger| ledger.set_aside(&batch)).await {
        let error: &dyn Error = &error;
        tracing::error!(error, "and it could not be written there");
    }
}

/// Works where waiting for a disk holds nobody up.
async fn on_disk<T: Send + 'static>(
    ledger: &Shared,
    work: impl FnOnce(&mut Ledger) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, Untold> {
    let ledger = Arc::clone(ledger);
    let work = tokio::task::spawn_blocking(move || {
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut ledger);
        #[expect(clippy::cast_precision_loss, reason = "a gauge may be a little off")]
        gauge!(WAITING).set(ledger.records() as f64);
        done
    });
    Ok(work.await.map_err(|_| Untold::CutOff)??)
}

fn describe() {
    describe_counter!(
        LOST,
        Unit::Count,
        "Downloads that the control plane will never be told of."
    );
    describe_gauge!(
        WAITING,
        Unit::Count,
        "Records on disk of downloads that the control plane was not told of yet."
    );
}

/// Counts what nobody will hear of.
fn lost(downloads: u64) {
    if downloads > 0 {
        counter!(LOST).increment(downloads);
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    #[tokio::test]
    async fn what_cannot_be_written_down_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let clock = activation_token::clock::SettableClock::at(jiff::Timestamp::UNIX_EPOCH);
        let (downloads, keeper) = Downloads::open(dir.path(), [1; 16], Arc::new(clock)).unwrap();
        downloads.note(Download(Release {
            license_id: "lic_1".into(),
            customer_id: "cus_1".into(),
            package: "@acme/order".parse().unwrap(),
            version: "1.0.0".into(),
        }));
        let place = dir.path().join("0");
        std::fs::remove_dir_all(&place).unwrap();
        assert!(keeper.write().await.is_err());
        std::fs::create_dir(&place).unwrap();
        keeper.write().await.unwrap();
        let next = keeper.ledger.lock().unwrap().next().unwrap().0.unwrap();
        let told: Vec<_> = next.batches().flat_map(|batch| batch.records).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].count, 1);
    }

    #[test]
    fn a_download_in_pieces_counts_once() {
        for (method, status, range, expected) in [
            (Method::GET, 200, "", true),
            (Method::GET, 206, "bytes 0-99/1000", true),
            (Method::GET, 206, "bytes 100-999/1000", false),
            (Method::GET, 206, "", false),
            (Method::GET, 304, "", false),
            (Method::GET, 416, "bytes */1000", false),
            (Method::HEAD, 200, "", false),
        ] {
            let mut response = Response::builder().status(status);
            if !range.is_empty() {
                response = response.header(CONTENT_RANGE, range);
            }
            let counts = Download::counts(&method, &response.body(()).unwrap());
            assert_eq!(counts, expected, "{method} {status} {range}");
        }
    }
}
