//! `POST /v1/billing/stripe/webhook`: what Stripe tells.
//!
//! Anybody may send here. So nothing is done, and no byte of the body is looked at, before the
//! signature is found good; and whatever is wrong with it, the answer is the same.

use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::json::{self, shown};
use super::problem::{Problem, WriteProblems};
use super::request::RequestId;
use super::write::read;
use crate::billing::Stripe;
use crate::billing::event::{Envelope, Told};
use crate::billing::signature::{Signature, Unsigned};
use crate::domain::billing::Provider;
use crate::domain::{Actor, Event};

const PATH: &str = "/v1/billing/stripe/webhook";
const SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");
/// Stripe's largest events are about half as long.
const BODY_BYTES_MAX: usize = 512 * 1024;

/// An event was taken.
#[derive(Serialize, ToSchema)]
#[schema(as = BillingEventReceived)]
pub(super) struct Reply {
    /// Always true.
    received: bool,
    /// Whether it changes nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    ignored: bool,
    /// Why it does not: `event_type`, `no_subscription`, `no_customer`, `unknown_price`,
    /// `duplicate` or `outdated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    reason: Option<&'static str>,
}

/// The header that Stripe signs with.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "read by `signature::Signature`; here for the document alone"
)]
pub(super) struct SignatureParam {
    /// `t=SECONDS,v1=HEX`: HMAC-SHA-256 of `SECONDS.BODY` under the secret of the endpoint.
    #[param(rename = "Stripe-Signature")]
    stripe_signature: String,
}

/// An event, of which only what matters here is read.
#[derive(ToSchema)]
#[schema(as = StripeEvent)]
#[expect(
    dead_code,
    reason = "read by `event::Envelope`; here for the document alone"
)]
pub(super) struct EventBody {
    id: String,
    r#type: String,
    /// Seconds since 1970.
    created: i64,
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// Take an event from Stripe.
///
/// Its signature is the credential. An event that comes again, late or out of order does no harm.
#[utoipa::path(post, path = "/v1/billing/stripe/webhook", operation_id = "takeStripeEvent",
    tag = "billing", security(()), params(SignatureParam), request_body = EventBody,
    responses((status = 200, body = Reply), WriteProblems))]
pub(super) async fn take(
    State(app): State<App>,
    request_id: RequestId,
    request: Request,
) -> Result<Response, Problem> {
    let Some(stripe) = &app.policy.stripe else {
        let detail = "nothing is set up for Stripe here; see `--stripe-webhook-secret-file`";
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "billing_not_set_up",
            detail,
        ));
    };
    let bytes = match signed(&app, stripe, request).await? {
        Ok(bytes) => bytes,
        Err((reason, problem)) => {
            let event = Event {
                after: Some(serde_json::json!({ "method": "POST" })),
                reason: Some(reason.to_owned()),
                ..Event::new("access.denied", &PATH)
            };
            let stranger = request_id.requester(Actor::Unknown);
            app.denials.note(&stranger, event);
            return Err(problem);
        }
    };
    let envelope: Envelope = json::parse(&bytes)?;
    let read = envelope.read().map_err(|unreadable| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Problem::new(status, "invalid_body", unreadable.to_string())
    })?;
    let ignored = match read {
        Ok(told) => take_told(&app, &request_id, told).await?,
        Err(irrelevant) => Some(irrelevant.as_str()),
    };
    shown(&Reply {
        received: true,
        ignored: ignored.is_some(),
        reason: ignored,
    })
}

async fn take_told(
    app: &App,
    request_id: &RequestId,
    told: Told,
) -> Result<Option<&'static str>, Problem> {
    let by = request_id.requester(Actor::Provider(Provider::Stripe));
    Ok(app.take_billing_event(&by, told).await?.ignored())
}

/// The body, if Stripe vouches for it; else the reason for the audit log and what is answered.
async fn signed(
    app: &App,
    stripe: &Stripe,
    request: Request,
) -> Result<Result<axum::body::Bytes, (&'static str, Problem)>, Problem> {
    let (parts, body) = request.into_parts();
    let Some(header) = parts.headers.get(SIGNATURE) else {
        let detail = "events come with a `Stripe-Signature`";
        let problem = Problem::new(StatusCode::BAD_REQUEST, "signature_missing", detail);
        return Ok(Err(("signature_missing", problem)));
    };
    let refuse = |unsigned: Unsigned| {
        let detail = "the signature is not good: compare the secret, and this machine's clock";
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "signature_invalid", detail);
        Ok(Err((unsigned.as_str(), problem)))
    };
    let signature = Signature::read(header.to_str().unwrap_or_default(), app.clock.now());
    let signature = match signature {
        Ok(signature) => signature,
        Err(unsigned) => return refuse(unsigned),
    };
    let bytes = read(body, BODY_BYTES_MAX).await?;
    match signature.covers(&bytes, stripe.secrets()) {
        Ok(()) => Ok(Ok(bytes)),
        Err(unsigned) => refuse(unsigned),
    }
}
