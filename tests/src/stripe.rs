//! Stripe, as far as a control plane hears of it: events, and their signature.

use std::collections::BTreeMap;

use activation_token::clock::Clock;
use axum::body::Body;
use axum::http::Request;
use control_plane::billing::Stripe;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use manifest::TierSets;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::plane::{Answer, Plane};

/// Where Stripe sends to.
pub const WEBHOOK: &str = "/v1/billing/stripe/webhook";
/// What its events are signed with.
pub const SECRET: &str = "whsec_of_a_test";
/// The second of `2026-11-21T12:00:00Z`, where the time of a [`Plane`] begins.
pub const NOON: i64 = 1_795_262_400;

/// For each tier a price, `price_` and its name.
pub fn set_up(tiers: &TierSets) -> Stripe {
    let price = |tier: &manifest::Tier| (format!("price_{}", tier.name()), tier.name().to_string());
    let prices: BTreeMap<String, String> = tiers.tiers().map(price).collect();
    Stripe::new(vec![SECRET.into()], &prices, tiers).unwrap()
}

/// The `Stripe-Signature` of a body that is sent at a second.
pub fn sign(secret: &str, seconds: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = mac.chain_update(format!("{seconds}.{body}")).finalize();
    format!("t={seconds},v1={}", HEXLOWER.encode(&mac.into_bytes()))
}

/// A subscription: `sub_1`, of customer `c-1`.
pub fn subscription(status: &str, prices: &[&str]) -> Value {
    let item = |price: &&str| json!({ "id": "si_1", "quantity": 1, "price": { "id": price } });
    json!({
        "id": "sub_1", "object": "subscription", "customer": "cus_1", "status": status,
        "metadata": { "tollgate_customer_id": "c-1" },
        "items": { "object": "list", "data": prices.iter().map(item).collect::<Vec<_>>() },
        "cancel_at_period_end": false,
    })
}

/// An invoice of `sub_1` that was made at a second.
pub fn invoice(created: i64) -> Value {
    json!({
        "id": format!("in_{created}"), "object": "invoice", "created": created,
        "billing_reason": "subscription_cycle",
        "parent": { "type": "subscription_details",
            "subscription_details": { "subscription": "sub_1", "metadata": {} } },
    })
}

/// A checkout of `sub_1`.
pub fn checkout(customer: &Value) -> Value {
    json!({
        "id": "cs_1", "object": "checkout.session", "mode": "subscription",
        "subscription": "sub_1", "client_reference_id": customer,
    })
}

/// An event that happened at a second.
pub fn event(id: &str, kind: &str, seconds: i64, object: &Value) -> Value {
    json!({
        "id": id, "object": "event", "api_version": "2026-09-30.endive", "created": seconds,
        "type": kind, "livemode": false, "pending_webhooks": 1, "data": { "object": object },
    })
}

/// A request with a body and a signature as they are.
pub fn request(body: impl Into<Body>, signature: Option<&str>) -> Request<Body> {
    let mut request = Request::post(WEBHOOK).header("content-type", "application/json");
    if let Some(signature) = signature {
        request = request.header("stripe-signature", signature);
    }
    request.body(body.into()).unwrap()
}

impl Plane {
    /// Has Stripe send an event now.
    pub async fn stripe(&self, event: &Value) -> Answer {
        let body = event.to_string();
        let signature = sign(SECRET, self.clock.now().as_second(), &body);
        self.send(request(body, Some(&signature))).await
    }

    /// The same, and it must be taken. Why it changes nothing, if so.
    pub async fn stripe_tells(&self, event: &Value) -> Option<String> {
        let answer = self.stripe(event).await;
        assert_eq!(answer.status, 200, "{event}: {}", answer.text);
        assert_eq!(answer.body["received"], true);
        let reason = answer.body["reason"].as_str().map(ToOwned::to_owned);
        assert_eq!(answer.body["ignored"] == true, reason.is_some());
        reason
    }
}
