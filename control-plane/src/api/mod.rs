//! EDGE. Extract → one operation or read → render. The whole API stands on this screen.

mod activate;
mod caller;
mod credentials;
mod gate;
mod health;
mod json;
mod jwks;
mod licenses;
mod problem;
mod request;
mod tiers;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::operations::Operations;

/// What a handler works with.
type App = Arc<Operations>;

/// The longest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// No request takes longer.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The control plane's HTTP interface.
pub fn router(operations: Arc<Operations>) -> Router {
    Router::new()
        // Operators.
        .route("/v1/licenses", post(licenses::issue))
        .route("/v1/licenses/{id}", get(licenses::show))
        .route("/v1/credentials", post(credentials::create))
        // Operators and applications.
        .route("/v1/tiers", get(tiers::list))
        .route("/v1/tiers/{tier}/packages", get(tiers::packages))
        .route("/v1/manifest", get(tiers::manifest))
        // Boxes: the license key in the body is the credential.
        .route("/v1/activate", post(activate::activate))
        // Gates.
        .route("/v1/gate/snapshot", get(gate::snapshot))
        .route("/v1/gate/root-key", get(gate::root_key))
        .route("/v1/gate/changes", get(gate::changes))
        // Everyone.
        .route("/.well-known/jwks.json", get(jwks::show))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        // The same handlers under the names that boxes of the Potter platform know.
        .route("/license/keys", post(licenses::issue))
        .route("/license/activate", post(activate::activate))
        .route("/license/jwks", get(jwks::show))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(
            ServiceBuilder::new()
                .layer(axum::middleware::from_fn_with_state(
                    Arc::clone(&operations),
                    request::identify,
                ))
                .layer(CatchPanicLayer::custom(problem::panicked))
                .layer(TimeoutLayer::with_status_code(
                    StatusCode::SERVICE_UNAVAILABLE,
                    TIME_MAX,
                ))
                .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX)),
        )
        .with_state(operations)
}
