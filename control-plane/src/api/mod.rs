//! EDGE. Extract → one operation or read → render. The whole API stands on this screen; each
//! handler says its path.

mod activate;
pub(crate) mod audit;
pub(crate) mod audit_check;
mod authzen;
mod billing;
mod boxes;
mod bundles;
mod caller;
pub mod client_address;
mod credentials;
mod customers;
mod deliveries;
mod downloads;
mod flags;
mod gate;
mod health;
mod import;
mod json;
mod jwks;
mod license_files;
mod licenses;
mod limits;
mod metrics;
mod ofrep;
mod openapi;
mod page;
mod premium;
mod problem;
mod query;
mod request;
mod signing_keys;
mod streams;
mod subjects;
mod switches;
mod tiers;
mod usage;
mod webhooks;
mod write;

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use client_address::{Networks, client_address};
use limits::Limits;
use page::Page;
pub use streams::ending_with;
use write::RunningKeys;

use crate::domain::{FieldError, Refusal};
use crate::operations::Operations;

/// What a handler works with.
pub(crate) type App = Arc<Edge>;

/// The operations, and what the edge itself has to remember.
pub(crate) struct Edge {
    operations: Arc<Operations>,
    limits: Limits,
    running: RunningKeys,
    /// Who has it reads the whole audit log.
    checks: Arc<Semaphore>,
    /// Who may say where a request came from before it came to them.
    trusted_proxies: Networks,
}

impl Deref for Edge {
    type Target = Operations;

    fn deref(&self) -> &Operations {
        &self.operations
    }
}

/// The longest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// No request takes longer.
const TIME_MAX: Duration = Duration::from_secs(30);
const REASON_BYTES_MAX: usize = 500;

/// The control plane's HTTP interface. A request that comes from one of the trusted proxies says
/// itself where it comes from.
pub fn router(operations: Arc<Operations>, trusted_proxies: Networks) -> Router {
    crate::metrics::recorder();
    let app = Arc::new(Edge {
        operations: Arc::clone(&operations),
        limits: Limits::default(),
        running: RunningKeys::default(),
        checks: Arc::new(Semaphore::new(1)),
        trusted_proxies,
    });
    let (documented, document) = documented().split_for_parts();
    let document = openapi::Served::new(&document);
    let page = Page::of(document.json());
    documented
        // The same handlers under the names that the Potter platform knows.
        .route("/license/keys", post(licenses::issue))
        .route("/license/activate", post(activate::activate))
        .route("/license/jwks", get(jwks::show))
        .route("/telemetry/download", post(downloads::report))
        .route("/openapi.json", get(async move || document.show()))
        .route("/docs", get(async move || page.show()))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(
            ServiceBuilder::new()
                .layer(axum::middleware::from_fn(crate::metrics::track))
                .layer(axum::middleware::from_fn_with_state(
                    operations,
                    request::identify,
                ))
                .layer(CatchPanicLayer::custom(problem::panicked))
                .layer(TimeoutLayer::with_status_code(
                    StatusCode::SERVICE_UNAVAILABLE,
                    TIME_MAX,
                )),
        )
        .with_state(app)
}

/// The OpenAPI document of the interface, as it is served at `/openapi.json`.
pub fn document() -> serde_json::Value {
    openapi::Served::new(&documented().split_for_parts().1)
        .json()
        .clone()
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        // Operators.
        .routes(routes!(licenses::issue, licenses::list))
        .routes(routes!(import::import))
        .routes(routes!(licenses::show, licenses::change))
        .routes(routes!(licenses::suspend))
        .routes(routes!(licenses::reinstate))
        .routes(routes!(licenses::revoke))
        .routes(routes!(licenses::rotate_key))
        .routes(routes!(license_files::sign))
        .routes(routes!(bundles::prepare))
        .routes(routes!(bundles::sign))
        .routes(routes!(boxes::list))
        .routes(routes!(boxes::release))
        .routes(routes!(customers::list))
        .routes(routes!(
            customers::show,
            customers::assign,
            customers::release
        ))
        .routes(routes!(credentials::create, credentials::list))
        .routes(routes!(credentials::show_own))
        .routes(routes!(credentials::revoke))
        .routes(routes!(signing_keys::list))
        .routes(routes!(signing_keys::rotate))
        .routes(routes!(signing_keys::remove))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(audit_check::verify))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::show, webhooks::change, webhooks::delete))
        .routes(routes!(webhooks::rotate_secret))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::replay))
        .routes(routes!(deliveries::test))
        .routes(routes!(downloads::list))
        .routes(routes!(metrics::show))
        .routes(routes!(premium::list))
        // Operators and applications.
        .routes(routes!(tiers::list))
        .routes(routes!(tiers::packages))
        .routes(routes!(tiers::manifest))
        .routes(routes!(tiers::all_packages))
        .routes(routes!(premium::show, premium::grant, premium::revoke))
        .routes(routes!(flags::list))
        .routes(routes!(flags::overrides))
        .routes(routes!(flags::show, flags::set, flags::clear))
        .routes(routes!(ofrep::evaluate))
        .routes(routes!(ofrep::evaluate_all))
        .routes(routes!(usage::record, usage::show))
        .routes(routes!(usage::check))
        .routes(routes!(usage::rebuild))
        .routes(routes!(subjects::list))
        .routes(routes!(subjects::show))
        .routes(routes!(
            subjects::change_overrides,
            subjects::clear_overrides
        ))
        .routes(routes!(subjects::add_ons, subjects::set_add_ons))
        .routes(routes!(switches::list))
        .routes(routes!(switches::set))
        .routes(routes!(authzen::evaluate))
        .routes(routes!(authzen::evaluate_all))
        // Boxes: the license key in the body is the credential.
        .routes(routes!(activate::activate))
        .routes(routes!(boxes::deactivate))
        // Billing providers: the signature is the credential.
        .routes(routes!(billing::take))
        // Gates.
        .routes(routes!(gate::snapshot))
        .routes(routes!(gate::root_key))
        .routes(routes!(gate::changes))
        .routes(routes!(downloads::report))
        // Everyone.
        .routes(routes!(jwks::show))
        .routes(routes!(authzen::metadata))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
}

impl Edge {
    /// Where a request comes from, if that is known.
    fn client_address(&self, parts: &Parts) -> Option<IpAddr> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        peer.map(|ConnectInfo(peer)| client_address(*peer, &parts.headers, &self.trusted_proxies))
    }
}

/// A reason as the audit log keeps it.
fn reason(text: String) -> Result<String, Refusal> {
    Refusal::unless_all_hold([FieldError::in_text("reason", &text, REASON_BYTES_MAX)])?;
    Ok(text)
}
