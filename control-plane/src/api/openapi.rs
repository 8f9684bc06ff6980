//! The OpenAPI document, made from the handlers, and a page to read it on.

use std::sync::Arc;

use axum::Json;
use axum::response::IntoResponse;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, Modify, OpenApi as _};

use super::problem;

/// What stands in the document beside the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tollgate control plane",
        description = "Licenses, boxes, credentials and the audit log.\n\n\
            Errors are problem details (RFC 9457) with a stable `code`. Lists have pages: send \
            `nextCursor` as `cursor`. Every write takes an `Idempotency-Key`: the same key with the \
            same request gets the same answer for 24 hours. Every answer names its request in \
            `X-Request-Id`.\n\nWhere several refusals apply, the first of this order is given: \
            the credential (401, 403); the body cannot be read or breaks a rule (400, 413, 415, \
            422); there is no such thing (404); the license cannot be used (revoked, suspended, \
            expired: 403 `license_unusable`, whichever it is); it counts boxes and none is named \
            (422 `box_required`); every seat is taken (403 `box_limit_reached`).",
        license(name = "proprietary"),
    ),
    components(schemas(problem::Body)),
    modifiers(&Credentials),
    tags(
        (name = "licenses", description = "What customers bought"),
        (name = "boxes", description = "Where it is installed; for boxes themselves, with the license key"),
        (name = "customers", description = "The tier that a customer's licenses follow"),
        (name = "billing", description = "What providers tell of subscriptions"),
        (name = "tiers", description = "What can be sold"),
        (name = "premium", description = "Which users are premium"),
        (name = "flags", description = "Switches and choices that belong to no tier, and what \
            flags, features and limits are for whoever asks"),
        (name = "usage", description = "What subjects use of their limits"),
        (name = "entitlements", description = "What subjects may do: features and limits"),
        (name = "decisions", description = "Whether somebody may do something (AuthZEN 1.0)"),
        (name = "credentials", description = "Who may do what"),
        (name = "signing keys", description = "What tokens are signed with"),
        (name = "webhooks", description = "Who is told of changes"),
        (name = "downloads", description = "What boxes installed"),
        (name = "audit", description = "Who did what"),
        (name = "gates", description = "What registry gates decide by"),
        (name = "health", description = "Whether it runs"),
    ),
)]
struct Frame;

/// How callers show who they are.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut OpenApi) {
        let bearer = |description: &str| {
            let scheme = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(description));
            SecurityScheme::Http(scheme.build())
        };
        let components = document.components.get_or_insert_default();
        for (name, description) in [
            ("operator", "An operator's token, `tgo_…`"),
            ("application", "An application's token, `tga_…`"),
            ("gate", "A gate's token, `tgg_…`"),
        ] {
            components.add_security_scheme(name, bearer(description));
        }
        let description = "An application's token, for clients of OpenFeature";
        let header = ApiKeyValue::with_description("X-API-Key", description);
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(header));
        components.add_security_scheme("apiKey", scheme);
    }
}

/// The header that every write takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "read by `write::IdempotencyKey`; here for the document alone"
)]
pub(super) struct IdempotencyParam {
    /// Any text of yours: the same request with the same key gets the same answer.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = r"^[!#-\[\]-~]+$"
    )]
    idempotency_key: Option<String>,
}

/// The document without routes.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// The document as it is served.
#[derive(Clone)]
pub(super) struct Served(Arc<Value>);

impl Served {
    pub(super) fn new(document: &OpenApi) -> Self {
        Self(Arc::new(serde_json::json!(document)))
    }

    pub(super) fn json(&self) -> &Value {
        &self.0
    }

    /// `GET /openapi.json`
    pub(super) fn show(&self) -> impl IntoResponse + use<> {
        Json(Arc::clone(&self.0))
    }
}
