//! Following a control plane in another process.
//!
//! ```text
//! GET /v1/gate/changes   ──► "something newer than N exists" ─┐
//! the timer               ──► now and then, whatever happens ─┴► GET /v1/gate/snapshot
//!                                  root key ──► verified ──► in force ──► kept on disk
//! ```
//!
//! The stream makes it fast and the timer makes it sure. Nothing that a network does can bring
//! the gate back to an older state, not even over a restart: what was in force last is kept.

mod backoff;
mod control_plane;
mod events;
mod kept;

use std::convert::Infallible;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use activation_token::Key;
use activation_token::Untrusted;
use activation_token::clock::Clock;
use activation_token::snapshot::Snapshot;
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::sleep;
use url::Url;

pub use self::control_plane::DownloadReporter;
pub use self::kept::KeptError;

pub(crate) use self::backoff::Backoff;

use self::control_plane::{AskError, ControlPlane};
pub(crate) use self::kept::Kept;
use crate::view::{SnapshotError, SnapshotSender};

/// After a failed attempt, news of a change is acted on no sooner than this.
const GAP: Duration = Duration::from_millis(100);

/// Which control plane is followed, and how.
#[derive(Debug, Clone)]
pub struct FollowerConfig {
    /// Its address.
    pub control_plane: Url,
    /// The gate's own token there.
    pub token: SecretString,
    /// Where the root key and the last snapshot are kept.
    pub data_dir: PathBuf,
    /// The root key. Without it, the kept one counts; without that, the one which the control
    /// plane names at the first start, and no other from then on.
    pub root_key: Option<Key>,
    /// How often a snapshot is asked for while no change is heard of.
    pub every: Duration,
    /// A change stream that is silent for so long is broken.
    pub silence: Duration,
}

impl FollowerConfig {
    /// Asks every five seconds, and takes the root key that is kept or that the control plane
    /// names.
    pub fn new(control_plane: Url, token: SecretString, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            control_plane,
            token,
            data_dir: data_dir.into(),
            root_key: None,
            every: Duration::from_secs(5),
            silence: Duration::from_secs(45),
        }
    }
}

/// Keeps a gate at the state of its control plane.
pub struct Follower {
    control_plane: Arc<ControlPlane>,
    kept: Kept,
    root_key: Option<Key>,
    every: Duration,
    silence: Duration,
    clock: Arc<dyn Clock>,
    sender: SnapshotSender,
    held: Option<Held>,
    etag: Option<HeaderValue>,
    told_its_age: bool,
    failing: Failing,
}

/// The newest snapshot there ever was here. Nothing before it is taken.
#[derive(Debug, Clone, Copy)]
struct Held {
    sequence: u64,
    issued_at: Timestamp,
    /// Half its life: from then on it is fetched again even if nothing changed, because only a
    /// new date keeps the gate open.
    renew_at: Timestamp,
}

/// Why a control plane cannot be followed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowerError {
    /// Not an HTTP address.
    #[error("the control plane's URL must be an HTTP address without a query")]
    Url,
    /// Bytes that no header can carry.
    #[error("the gate token has characters that no header can carry")]
    Token,
    /// No HTTP client can be made.
    #[error("the HTTP client cannot start")]
    Client(#[source] reqwest::Error),
    /// What is kept cannot be used.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

/// Why one attempt brought nothing.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(
        "the snapshot is signed with another root key than the one trusted here; if the control \
         plane's was replaced on purpose, give the gate the new one"
    )]
    OtherRootKey,
    #[error("the control plane's snapshot cannot be trusted")]
    Untrusted(#[source] Untrusted),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error("reading the snapshot was cut off")]
    CutOff,
}

impl Follower {
    /// Takes up where the gate stopped: with the kept snapshot, while that one is fresh.
    pub fn open(
        config: FollowerConfig,
        clock: Arc<dyn Clock>,
        sender: SnapshotSender,
    ) -> Result<Self, FollowerError> {
        let control_plane = ControlPlane::new(&config.control_plane, &config.token)?;
        let kept = Kept::open(&config.data_dir)?;
        let root_key = match config.root_key {
            Some(key) => Some(key),
            None => kept.root_key()?,
        };
        let mut follower = Self {
            control_plane: Arc::new(control_plane),
            kept,
            root_key,
            every: config.every,
            silence: config.silence,
            clock,
            sender,
            held: None,
            etag: None,
            told_its_age: false,
            failing: Failing::new("no snapshot from the control plane"),
        };
        follower.take_up()?;
        Ok(follower)
    }

    /// Tells the control plane of downloads, with the gate's token.
    pub fn download_reporter(&self) -> DownloadReporter {
        DownloadReporter::new(Arc::clone(&self.control_plane))
    }

    fn take_up(&mut self) -> Result<(), KeptError> {
        let (Some(root), Some(text)) = (&self.root_key, self.kept.snapshot()?) else {
            return Ok(());
        };
        let snapshot = match read(&text, root) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let error: &dyn Error = &error;
                tracing::warn!(error, "the kept snapshot does not count");
                return Ok(());
            }
        };
        // It is the floor even where it cannot be decided by: because it is stale, for instance.
        self.held = Some(Held::of(&snapshot));
        if let Err(error) = self.sender.publish(snapshot) {
            let error: &dyn Error = &error;
            tracing::warn!(error, "the kept snapshot cannot be used");
        }
        Ok(())
    }

    /// Follows until it is dropped. A failure changes nothing: the gate goes on with the
    /// snapshot it has for as long as that one allows.
    pub async fn run(self) -> Infallible {
        let (told, news) = watch::channel(0);
        let control_plane = Arc::clone(&self.control_plane);
        let listening = listen(control_plane, self.silence, Arc::clone(&self.clock), told);
        tokio::select! {
            never = listening => never,
            never = self.fetch_again_and_again(news) => never,
        }
    }

    async fn fetch_again_and_again(mut self, mut news: watch::Receiver<u64>) -> Infallible {
        let mut backoff = Backoff::new(Arc::clone(&self.clock), self.every);
        loop {
            let told_before = *news.borrow_and_update();
            let fetched = self.fetch().await;
            self.failing.tell(fetched.as_ref().err());
            self.tell_its_age();
            let held = self.held.map_or(0, |held| held.sequence);
            let told = *news.borrow_and_update();
            if fetched.is_ok() && held >= told {
                backoff.reset();
                tokio::select! {
                    () = sleep(self.every) => {}
                    _ = news.wait_for(|told| *told > held) => {}
                }
            } else if fetched.is_err() || told == told_before {
                // A control plane that names a change before it serves it is asked again as
                // patiently as one that fails.
                tokio::select! {
                    () = sleep(backoff.next()) => {}
                    () = async { sleep(GAP).await; let _ = news.changed().await; } => {}
                }
            }
        }
    }

    async fn fetch(&mut self) -> Result<(), FetchError> {
        let root = self.root_key().await?;
        let now = self.clock.now();
        let young = self.held.is_some_and(|held| now < held.renew_at);
        let etag = self.etag.as_ref().filter(|_| young);
        let Some(signed) = self.control_plane.snapshot(etag).await? else {
            self.sender.heard();
            return Ok(());
        };
        let (sender, kept, floor) = (self.sender.clone(), self.kept.clone(), self.held);
        // A large one takes its time: not on a thread that serves.
        let work = move || {
            let held = put_in_force(&signed.text, &root, floor, &sender)?;
            if let Err(error) = kept.keep_snapshot(&signed.text, now) {
                let error: &dyn Error = &error;
                tracing::error!(error, "the snapshot counts, but could not be kept");
            }
            Ok::<_, FetchError>((held, signed.etag))
        };
        let work = tokio::task::spawn_blocking(work).await;
        let (held, etag) = work.map_err(|_| FetchError::CutOff)??;
        self.held = Some(held);
        self.etag = etag;
        self.told_its_age = false;
        Ok(())
    }

    /// The root key that counts. The first one heard of is kept before anything is done with it.
    async fn root_key(&mut self) -> Result<Key, FetchError> {
        if let Some(key) = &self.root_key {
            return Ok(key.clone());
        }
        let key = self.control_plane.root_key().await?;
        self.kept.keep_root_key(&key, self.clock.now())?;
        tracing::info!(
            id = key.id(),
            "the control plane's root key is trusted from now on"
        );
        self.root_key = Some(key.clone());
        Ok(key)
    }

    /// Warns once of a snapshot that is half-way to its end and was not renewed.
    fn tell_its_age(&mut self) {
        let now = self.clock.now();
        if let Some(held) = self.held.filter(|held| now >= held.renew_at)
            && !std::mem::replace(&mut self.told_its_age, true)
        {
            tracing::warn!(
                sequence = held.sequence,
                issued_at = %held.issued_at,
                "the snapshot has passed half its life; at its end this gate refuses everything"
            );
        }
    }
}

impl Held {
    fn of(snapshot: &Snapshot) -> Self {
        let half_life = SignedDuration::from_secs(snapshot.max_stale_seconds.into()) / 2;
        let issued_at = snapshot.issued_at;
        Self {
            sequence: snapshot.sequence,
            issued_at,
            renew_at: issued_at.saturating_add(half_life).unwrap_or(issued_at),
        }
    }
}

fn read(text: &str, root: &Key) -> Result<Snapshot, FetchError> {
    Snapshot::from_signed(text, root).map_err(|error| match error {
        Untrusted::OtherKey => FetchError::OtherRootKey,
        error => FetchError::Untrusted(error),
    })
}

fn put_in_force(
    text: &str,
    root: &Key,
    floor: Option<Held>,
    sender: &SnapshotSender,
) -> Result<Held, FetchError> {
    let snapshot = read(text, root)?;
    let offered = Held::of(&snapshot);
    if let Some(held) = floor
        && (held.sequence, held.issued_at) > (offered.sequence, offered.issued_at)
    {
        return Err(FetchError::Snapshot(SnapshotError::Older {
            offered: offered.sequence,
            held: held.sequence,
        }));
    }
    sender.publish(snapshot)?;
    Ok(offered)
}

/// Listens for changes again and again, and tells the newest number.
async fn listen(
    control_plane: Arc<ControlPlane>,
    silence: Duration,
    clock: Arc<dyn Clock>,
    told: watch::Sender<u64>,
) -> Infallible {
    /// The timer is there meanwhile, so there is no hurry.
    const WAIT_MAX: Duration = Duration::from_secs(30);
    let mut backoff = Backoff::new(Arc::clone(&clock), WAIT_MAX);
    let mut failing = Failing::new("no word of changes from the control plane; asking on a timer");
    loop {
        let began = clock.now();
        let heard = control_plane.changes(silence, |number| {
            failing.tell::<AskError>(None);
            // Not the highest: a control plane that begins anew begins with a low one.
            told.send_if_modified(|told| std::mem::replace(told, number) != number);
        });
        let Err(error) = heard.await;
        failing.tell(Some(&error));
        // Not at its first word: one that is cut after each greeting is no good.
        if clock.now().duration_since(began).unsigned_abs() > WAIT_MAX {
            backoff.reset();
        }
        sleep(backoff.next()).await;
    }
}

/// Says a failure when it begins, when it changes and when it is over, but not each time.
pub(crate) struct Failing {
    what: &'static str,
    why: Option<String>,
}

impl Failing {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, why: None }
    }

    pub(crate) fn tell<E: Error + 'static>(&mut self, error: Option<&E>) {
        let Some(error) = error else {
            if self.why.take().is_some() {
                tracing::info!("it is over: {}", self.what);
            }
            return;
        };
        let why = error.to_string();
        if self.why.as_ref() != Some(&why) {
            let error: &dyn Error = error;
            tracing::warn!(error, "{}", self.what);
            self.why = Some(why);
        }
    }
}
