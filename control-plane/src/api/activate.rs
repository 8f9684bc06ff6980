//! `POST /v1/activate`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use manifest::PackageName;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::App;
use super::json::{Body, private};
use super::problem::Problem;
use super::request::RequestId;
use crate::domain::Actor;
use crate::operations::{ActivationRequest, BoxRequest};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Request {
    key: String,
    #[serde(rename = "box")]
    box_: Option<RequestBox>,
    /// Sent by the Potter platform's boxes. The license alone decides.
    #[serde(rename = "org")]
    _org: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestBox {
    fingerprint: String,
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    token: &'a str,
    token_type: &'a str,
    expires_in: i64,
    tier: &'a str,
    customer_id: &'a str,
    license_id: &'a str,
    box_id: Option<&'a str>,
    packages: Vec<&'a PackageName>,
    registry_url: &'a str,
}

/// Exchanges a license key for an activation token.
pub(super) async fn activate(
    State(app): State<App>,
    request_id: RequestId,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    let request = ActivationRequest {
        key: SecretString::from(request.key),
        box_: request.box_.map(|b| BoxRequest {
            fingerprint: b.fingerprint,
            name: b.name,
        }),
    };
    let activation = app
        .activate(&request_id.requester(Actor::KeyHolder), request)
        .await?;
    let claims = &activation.claims;
    let answer = Answer {
        token: &activation.token,
        token_type: "Bearer",
        expires_in: activation.expires_in,
        tier: claims.tier.as_str(),
        customer_id: &claims.customer_id,
        license_id: &claims.license_id,
        box_id: claims.box_id.as_deref(),
        packages: activation.packages.iter().collect(),
        registry_url: app.policy.registry_url.as_str(),
    };
    Ok(private(StatusCode::OK, answer))
}
