//! A control plane as far as a gate sees one: it serves what the test gives it, and counts.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use activation_token::SigningKey;
use activation_token::snapshot::Snapshot;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use registry_gate::{Follower, FollowerConfig};
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::world::World;

/// Longer than any test: an event that comes anyway was not brought by the timer.
pub(crate) const NEVER: Duration = Duration::from_hours(1);
/// So often that a test does not notice the wait.
pub(crate) const ALWAYS: Duration = Duration::from_millis(1);

/// What was asked for, so often.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) snapshots: usize,
    /// Answers with a snapshot in them.
    pub(crate) full: usize,
    pub(crate) root_keys: usize,
    pub(crate) streams: usize,
}

struct Served {
    /// What stands instead of every answer: the control plane is down.
    down: bool,
    streaming: bool,
    snapshot: String,
    etag: String,
    root_key: Value,
    newest: u64,
}

struct Shared {
    served: Mutex<Served>,
    counts: watch::Sender<Counts>,
    /// Bytes for the streams that are open, or their end.
    lines: broadcast::Sender<Option<String>>,
}

pub(crate) struct Plane {
    pub(crate) root: SigningKey,
    url: String,
    shared: Arc<Shared>,
}

impl Plane {
    /// Serves this snapshot, signed.
    pub(crate) async fn with(snapshot: &Snapshot) -> Self {
        let root = SigningKey::from_seed(&[7; 32]).unwrap();
        let shared = Arc::new(Shared {
            served: Mutex::new(Served {
                down: false,
                streaming: true,
                snapshot: String::new(),
                etag: String::new(),
                root_key: serde_json::to_value(root.public().to_jwk()).unwrap(),
                newest: 0,
            }),
            counts: watch::Sender::default(),
            lines: broadcast::Sender::new(100),
        });
        let app = Router::new()
            .route("/base/v1/gate/snapshot", get(serve_snapshot))
            .route("/base/v1/gate/root-key", get(serve_root_key))
            .route("/base/v1/gate/changes", get(serve_changes))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await });
        let plane = Self { root, url, shared };
        plane.serve(snapshot);
        plane
    }

    /// Serves another snapshot, and says nothing of it.
    pub(crate) fn serve(&self, snapshot: &Snapshot) {
        self.serve_text(
            snapshot.sequence,
            self.root.sign_snapshot(snapshot).unwrap(),
        );
    }

    /// Serves any text as snapshot.
    pub(crate) fn serve_text(&self, newest: u64, text: String) {
        self.change(|served| {
            served.etag = format!("\"{newest}\"");
            served.newest = newest;
            served.snapshot = text;
        });
    }

    /// Names a root key of another.
    pub(crate) fn name_root_key(&self, key: &SigningKey) {
        self.change(|served| {
            served.root_key = serde_json::to_value(key.public().to_jwk()).unwrap();
        });
    }

    /// Stops answering, or starts again.
    pub(crate) fn down(&self, down: bool) {
        self.change(|served| served.down = down);
    }

    /// Refuses streams and ends those that are open, or allows them again.
    pub(crate) fn streaming(&self, streaming: bool) {
        self.change(|served| served.streaming = streaming);
        if !streaming {
            let _ = self.shared.lines.send(None);
        }
    }

    /// Tells every stream of a change.
    pub(crate) fn announce(&self, number: u64) {
        let _ = self.shared.lines.send(Some(change(number)));
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until so much was asked for.
    pub(crate) async fn until(&self, enough: impl FnMut(&Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), counts.wait_for(enough)).await;
        waited.unwrap().unwrap();
    }

    /// Waits until what is served now was asked for and dealt with, however that went.
    pub(crate) async fn dealt_with(&self) {
        let before = self.counts().snapshots;
        // One may be under way already, and one is dealt with when the next is asked for.
        self.until(|counts| counts.snapshots >= before + 3).await;
    }

    /// A follower of this control plane, as a process that starts would make it.
    pub(crate) fn follower(
        &self,
        world: &World,
        dir: &Path,
        configure: impl FnOnce(&mut FollowerConfig),
    ) -> Follower {
        let token = SecretString::from("tgg_token");
        let mut config = FollowerConfig::new(self.url.parse().unwrap(), token, dir);
        config.every = ALWAYS;
        configure(&mut config);
        Follower::open(config, world.clock.clone(), world.sender.clone()).unwrap()
    }

    /// A follower that runs until the test ends or aborts it.
    pub(crate) fn follow(&self, world: &World, dir: &Path, every: Duration) -> JoinHandle<()> {
        let follower = self.follower(world, dir, |config| config.every = every);
        tokio::spawn(async move {
            follower.run().await;
        })
    }

    fn change(&self, change: impl FnOnce(&mut Served)) {
        change(&mut self.shared.served.lock().unwrap());
    }
}

/// Waits until a request with this token is answered so.
pub(crate) async fn answered(world: &World, path: &str, token: &str, status: u16) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while world.get(path, token).await.status != status {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap();
}

fn change(number: u64) -> String {
    format!("event: change\nid: {number}\ndata: {number}\n\n")
}

fn count(shared: &Shared, headers: &HeaderMap, count: impl FnOnce(&mut Counts)) {
    assert_eq!(headers["authorization"], "Bearer tgg_token");
    shared.counts.send_modify(count);
}

async fn serve_snapshot(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    count(&shared, &headers, |counts| counts.snapshots += 1);
    let served = shared.served.lock().unwrap();
    if served.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if headers
        .get("if-none-match")
        .is_some_and(|told| told.as_bytes() == served.etag.as_bytes())
    {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    shared.counts.send_modify(|counts| counts.full += 1);
    ([("etag", served.etag.clone())], served.snapshot.clone()).into_response()
}

async fn serve_root_key(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    count(&shared, &headers, |counts| counts.root_keys += 1);
    let served = shared.served.lock().unwrap();
    if served.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    axum::Json(served.root_key.clone()).into_response()
}

async fn serve_changes(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let lines = shared.lines.subscribe();
    count(&shared, &headers, |counts| counts.streams += 1);
    let served = shared.served.lock().unwrap();
    if served.down || !served.streaming {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let greeting = change(served.newest);
    let body = stream::unfold((Some(greeting), lines), |(greeting, mut lines)| async {
        let text = match greeting {
            Some(greeting) => greeting,
            None => lines.recv().await.ok()??,
        };
        Some((Ok::<_, Infallible>(text), (None, lines)))
    });
    let headers = [("content-type", "text/event-stream")];
    (headers, Body::from_stream(body)).into_response()
}
