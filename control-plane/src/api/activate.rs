//! `POST /v1/activate`, and who may ask with a license key alone.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use manifest::PackageName;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::problem::WriteProblems;
use super::request::RequestId;
use super::write::{Command, Halt, IdempotencyKey, Write};
use crate::domain::Actor;
use crate::operations::{Activation, ActivationRequest, BoxRequest, Error, Purpose};

/// What a box sends to activate.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ActivateRequest {
    /// The license key.
    key: String,
    /// Which box; may be left out where the license does not count boxes.
    #[serde(rename = "box")]
    box_: Option<ActivateBox>,
    /// Sent by the Potter platform's boxes. The license alone decides.
    #[serde(rename = "org")]
    _org: Option<String>,
}

/// Which box activates.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ActivateBox {
    /// The same at each activation of this machine.
    #[schema(min_length = 1, max_length = 256)]
    fingerprint: String,
    /// A name for people.
    #[schema(max_length = 100)]
    name: Option<String>,
}

/// An activation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Activation)]
pub(super) struct ActivationView {
    /// The activation token, to be sent to the registry as bearer.
    token: String,
    #[schema(pattern = "^Bearer$")]
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    tier: String,
    customer_id: String,
    license_id: String,
    box_id: Option<String>,
    /// What may be installed.
    #[schema(value_type = Vec<String>)]
    packages: Vec<PackageName>,
    registry_url: String,
    /// `null` for a license without an end.
    license_expires_at: Option<Timestamp>,
    /// How many boxes hold a seat, this one with them.
    boxes_used: u64,
    /// How many may; `null` for any number.
    boxes_limit: Option<u64>,
}

/// Whoever holds a license key, which is all the credential that is asked for.
pub(super) struct KeyHolder {
    address: Option<IpAddr>,
}

impl FromRequestParts<App> for KeyHolder {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self {
            address: app.client_address(parts),
        })
    }
}

impl KeyHolder {
    /// Begins a write for whoever shows a key that may be good, as often as they may. The headers
    /// tell how many are left.
    pub(super) async fn write(
        &self,
        app: &App,
        request_id: &RequestId,
        shown: Shown<'_>,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<(Write, HeaderMap), Halt> {
        let by = request_id.requester(Actor::KeyHolder);
        if let Err(error) = app.admit(&by, shown.key, shown.purpose).await {
            if matches!(error, Error::Refused(_)) {
                app.limits.guess(self.address)?;
            }
            return Err(error.into());
        }
        let digest = app.license_key_digest(shown.key);
        let limits = app.limits.activation(digest, shown.fingerprint)?;
        let write = Write::begin(app, by, &digest.to_string(), idempotency_key).await?;
        Ok((write, limits))
    }
}

/// A license key as it was shown.
pub(super) struct Shown<'k> {
    pub(super) key: &'k SecretString,
    pub(super) purpose: Purpose,
    pub(super) fingerprint: Option<&'k str>,
}

/// Exchange a license key for an activation token.
///
/// The license key in the body is the credential. The same box again renews its token and takes
/// no further seat.
#[utoipa::path(post, path = "/v1/activate", operation_id = "activate", tag = "boxes",
    security(()), params(super::openapi::IdempotencyParam),
    request_body = ActivateRequest,
    responses((status = 200, body = ActivationView), WriteProblems))]
pub(super) async fn activate(
    State(app): State<App>,
    request_id: RequestId,
    holder: KeyHolder,
    command: Command<ActivateRequest>,
) -> Result<Response, Halt> {
    let ActivateRequest { key, box_, .. } = command.body;
    let request = ActivationRequest {
        key: SecretString::from(key),
        box_: box_.map(|box_| BoxRequest {
            fingerprint: box_.fingerprint,
            name: box_.name,
        }),
    };
    request.check()?;
    let shown = Shown {
        key: &request.key,
        purpose: Purpose::Activate,
        fingerprint: request.box_.as_ref().map(|box_| box_.fingerprint.as_str()),
    };
    let (mut write, limits) = holder.write(&app, &request_id, shown, command.key).await?;
    let activation = app.activate(&mut write.tx, &write.by, request).await?;
    let registry_url = app.policy.registry_url.to_string();
    let mut response = write
        .answer(StatusCode::OK, activation, |activation| {
            view(activation, registry_url)
        })
        .await?;
    response.headers_mut().extend(limits);
    Ok(response)
}

fn view(activation: &Activation, registry_url: String) -> ActivationView {
    let claims = &activation.claims;
    ActivationView {
        token: activation.token.clone(),
        token_type: "Bearer",
        expires_in: activation.expires_in,
        tier: claims.tier.to_string(),
        customer_id: claims.customer_id.clone(),
        license_id: claims.license_id.clone(),
        box_id: claims.box_id.clone(),
        packages: activation.packages.iter().cloned().collect(),
        registry_url,
        license_expires_at: activation.license_expires_at,
        boxes_used: activation.boxes_used,
        boxes_limit: activation.boxes_limit.count(),
    }
}
