//! The gate put together: one handler behind one grammar.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use activation_token::clock::Clock;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, RANGE};
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use manifest::PackageName;
use tokio::sync::Semaphore;
use tower::Service;

use crate::access::Rule;
use crate::answer;
use crate::config::{ConfigError, GateConfig};
use crate::downloads::{Download, Downloads};
use crate::fault::{self, REQUEST_ID};
use crate::hosted::Hosted;
use crate::observe::{MetricsPage, Noted, Pulse, Tally};
use crate::packages::{Behind, Packages};
use crate::packument::PublicUrl;
use crate::refusal::Refusal;
use crate::route::{Kind, Route};
use crate::server::Lifecycle;
use crate::store::{Store, StoreUrl};
use crate::view::{SnapshotSender, Views};

/// A registry gate. It refuses everything until it has been sent a snapshot.
#[derive(Clone)]
pub struct Gate(Arc<Parts>);

/// What every handler works with.
pub(crate) struct Parts {
    pub(crate) rule: Rule,
    pub(crate) packages: Packages,
    pub(crate) publish_bytes_max: usize,
    /// Room for the documents of publishers, in KiB.
    pub(crate) publish_room: Semaphore,
    /// Held while a list of packages is read for an audit.
    pub(crate) audit_turn: Arc<Semaphore>,
    lifecycle: Option<Lifecycle>,
    /// Where the figures are shown.
    pub(crate) metrics: Option<MetricsPage>,
    tally: Tally,
    pulse: Arc<Pulse>,
    clock: Arc<dyn Clock>,
    downloads: Option<Downloads>,
}

/// How often the figures are brought up to date that nothing brings up to date by itself.
const TELL_EVERY: Duration = Duration::from_secs(5);

impl Parts {
    /// Whether the gate could answer, and is still meant to.
    pub(crate) fn is_ready(&self) -> Result<(), Refusal> {
        match &self.lifecycle {
            Some(life) if !life.is_serving() => Err(Refusal::Stopping),
            _ => self.rule.is_ready(),
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells the recorder of this process what changes with time.
    pub(crate) fn tell_metrics(&self) {
        self.pulse.tell(self.clock.now(), &self.rule);
    }
}

impl Gate {
    /// Opens the gate's store. The gate decides by the snapshots that the sender is given.
    pub fn new(
        config: GateConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, SnapshotSender), ConfigError> {
        let public_url = PublicUrl::new(&config.public_url).ok_or(ConfigError::PublicUrl)?;
        let behind = Behind::open(&config, &public_url, &clock)?;
        let place = config.store.unwrap_or(StoreUrl::Dir(config.store_dir));
        let store = Store::open(&place, &config.store_options)?;
        let hosted = Hosted::new(store, public_url, Arc::clone(&clock));
        let (views, sender) = Views::new(Arc::clone(&clock));
        let parts = Parts {
            rule: Rule::new(
                views,
                Arc::clone(&clock),
                config.token_cache_bytes,
                config.pass_through.is_some(),
            ),
            packages: Packages::new(hosted, behind, config.tarball_cache_bytes),
            publish_bytes_max: config.publish_bytes_max,
            publish_room: Semaphore::new(2 * answer::room(config.publish_bytes_max)),
            audit_turn: Arc::new(Semaphore::new(1)),
            lifecycle: config.lifecycle,
            metrics: config.metrics,
            tally: Tally::new(),
            pulse: sender.pulse(),
            clock,
            downloads: config.downloads,
        };
        Ok((Self(Arc::new(parts)), sender))
    }

    /// Whether the credential in these headers opens this package now: the rule alone, as every
    /// route asks it. A `false` stands for any refusal.
    pub fn may_read(&self, headers: &HeaderMap, name: PackageName) -> bool {
        self.0.rule.may_read(headers, name).is_ok()
    }

    /// Keeps the figures of this process up to date. Never ends.
    pub async fn keep_metrics(self) -> Infallible {
        let mut ticks = tokio::time::interval(TELL_EVERY);
        loop {
            ticks.tick().await;
            self.0.tell_metrics();
        }
    }

    /// The gate as a router, to be called or to be put beside others.
    pub fn router(&self) -> Router {
        Router::new().fallback_service(self.clone())
    }

    /// The answer to a request. Paths are read here and by no router, which would decode them
    /// first.
    async fn answer(self, request: Request) -> Response {
        let (mut head, body) = request.into_parts();
        if head.method == Method::HEAD {
            // Parts are for GET alone.
            head.headers.remove(RANGE);
        }
        let route = Route::parse(&head.method, head.uri.path());
        let kind = route.as_ref().map_or(Kind::Unknown, Route::kind);
        let noted = Noted::begin(route.as_ref().ok());
        let answer = async {
            match route {
                Ok(route) => answer::to(&self.0, route, &head, body).await,
                Err(error) => Err(Refusal::from(error).into()),
            }
        };
        // What a panic leaves half-done goes away with the request.
        let mut response = match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => failure.into_answer(&head.headers),
            Err(_) => {
                let id = fault::request_id(&head.headers);
                tracing::error!(request_id = ?id, "request panicked");
                fault::internal(&id)
            }
        };
        if let Some(id) = fault::own_id(&head.headers) {
            response.headers_mut().insert(REQUEST_ID, id.clone());
        }
        self.0.tally.count(kind, &head.method, &response);
        if let Some(noted) = noted {
            noted.end(kind, &self.0.rule, &head.headers, &mut response);
        }
        if let Some(download) = response.extensions_mut().remove::<Download>()
            && Download::counts(&head.method, &response)
        {
            self.0.tally.download();
            if let Some(downloads) = &self.0.downloads {
                downloads.note(download);
            }
        }
        if head.method == Method::HEAD {
            response = without_body(response);
        }
        response
    }
}

/// A service of its own and no router around it, which would cost every request a little.
impl<B> Service<Request<B>> for Gate
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gate = self.clone();
        let request = request.map(Body::new);
        Box::pin(async move { Ok(gate.answer(request).await) })
    }
}

/// The answer to HEAD: as to GET, with the length and without the bytes.
fn without_body(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && !head.headers.contains_key(CONTENT_LENGTH)
    {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    (head, Body::empty()).into_response()
}
