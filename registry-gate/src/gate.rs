//! The gate put together: one handler behind one grammar.

use std::sync::Arc;

use activation_token::clock::Clock;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method};
use manifest::PackageName;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::Rule;
use crate::answer;
use crate::config::{ConfigError, GateConfig};
use crate::downloads::{Download, Downloads};
use crate::fault::{self, Failure, REQUEST_ID};
use crate::hosted::Hosted;
use crate::packages::Packages;
use crate::packument::PublicUrl;
use crate::refusal::Refusal;
use crate::route::{Route, RouteError};
use crate::server::Lifecycle;
use crate::store::Store;
use crate::upstream::Upstream;
use crate::view::{SnapshotSender, Views};

/// A registry gate. It refuses everything until it has been sent a snapshot.
#[derive(Clone)]
pub struct Gate(Arc<Parts>);

/// What every handler works with.
pub(crate) struct Parts {
    pub(crate) rule: Rule,
    pub(crate) packages: Packages,
    pub(crate) publish_bytes_max: usize,
    lifecycle: Option<Lifecycle>,
    downloads: Option<Downloads>,
}

impl Parts {
    /// Whether the gate could answer, and is still meant to.
    pub(crate) fn is_ready(&self) -> Result<(), Refusal> {
        match &self.lifecycle {
            Some(life) if !life.is_serving() => Err(Refusal::Stopping),
            _ => self.rule.is_ready(),
        }
    }
}

impl Gate {
    /// Opens the gate's store. The gate decides by the snapshots that the sender is given.
    pub fn new(
        config: GateConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, SnapshotSender), ConfigError> {
        let public_url = PublicUrl::new(&config.public_url).ok_or(ConfigError::PublicUrl)?;
        let upstream = config
            .upstream
            .map(|upstream| Upstream::new(&upstream, public_url.clone(), Arc::clone(&clock)))
            .transpose()?;
        let store = Store::open(&config.store_dir)?;
        let hosted = Hosted::new(store, public_url, Arc::clone(&clock));
        let (views, sender) = Views::new(Arc::clone(&clock));
        let parts = Parts {
            rule: Rule::new(views, clock, config.token_cache_bytes),
            packages: Packages::new(hosted, upstream, config.tarball_cache_bytes),
            publish_bytes_max: config.publish_bytes_max,
            lifecycle: config.lifecycle,
            downloads: config.downloads,
        };
        Ok((Self(Arc::new(parts)), sender))
    }

    /// Whether the credential in these headers opens this package now: the rule alone, as every
    /// route asks it. A `false` stands for any refusal.
    pub fn may_read(&self, headers: &HeaderMap, name: PackageName) -> bool {
        self.0.rule.may_read(headers, name).is_ok()
    }

    /// The whole gate as one service. Paths are read here and not by the router, which would
    /// decode them first.
    pub fn router(&self) -> Router {
        Router::new()
            .fallback(serve)
            .with_state(self.clone())
            .layer(CatchPanicLayer::custom(|_| {
                let id = fault::request_id(&HeaderMap::new());
                tracing::error!(request_id = ?id, "request panicked");
                fault::internal(&id)
            }))
    }
}

async fn serve(State(gate): State<Gate>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut response = match Route::parse(&head.method, head.uri.path()) {
        Ok(route) => answer::to(&gate.0, route, &head.headers, body)
            .await
            .unwrap_or_else(|failure| failure.into_answer(&head.headers)),
        Err(error) => Failure::from(refusal(error)).into_answer(&head.headers),
    };
    if let Some(id) = fault::own_id(&head.headers) {
        response.headers_mut().insert(REQUEST_ID, id.clone());
    }
    if let Some(download) = response.extensions_mut().remove::<Download>()
        && let Some(downloads) = &gate.0.downloads
        && Download::counts(&head.method, &response)
    {
        downloads.note(download);
    }
    if head.method == Method::HEAD {
        response = without_body(response);
    }
    response
}

fn refusal(error: RouteError) -> Refusal {
    match error {
        RouteError::Malformed => Refusal::MalformedPath,
        RouteError::Unknown => Refusal::NoRoute,
        RouteError::Method { allow } => Refusal::Method { allow },
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
