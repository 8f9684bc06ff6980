//! The vendor and what a box gets from it.

use std::sync::atomic::{AtomicU32, Ordering};

use control_plane::demo::samples::{self, Sample};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::Tollgate;

/// The vendor: an operator at the control plane, a publisher at the gate.
pub struct Vendor {
    client: Client,
    control_plane: String,
    gate: String,
    token: String,
}

/// What an activation answered.
#[derive(Debug, Clone)]
pub struct Activation {
    /// The activation token.
    pub token: String,
    /// The whole answer.
    pub body: Value,
}

impl Vendor {
    /// The first operator of a running Tollgate.
    pub fn of(tollgate: &Tollgate) -> Self {
        Self {
            client: client(),
            control_plane: tollgate.control_plane.clone(),
            gate: tollgate.gate.clone(),
            token: tollgate.operator_token.clone(),
        }
    }

    /// Sends a body to the control plane as the operator.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self
            .client
            .post(format!("{}{path}", self.control_plane))
            .json(body);
        send(request.bearer_auth(&self.token)).await
    }

    /// Changes what is at the control plane as the operator.
    pub async fn patch(&self, path: &str, body: &Value) -> Response {
        let request = self.client.patch(format!("{}{path}", self.control_plane));
        send(request.json(body).bearer_auth(&self.token)).await
    }

    /// Reads from the control plane as the operator.
    pub async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.control_plane));
        send(request.bearer_auth(&self.token)).await
    }

    /// Issues a license and returns its key.
    pub async fn issue(&self, tier: &str) -> String {
        let response = self
            .post(
                "/v1/licenses",
                &json!({ "customerId": "c-1", "tier": tier }),
            )
            .await;
        assert_eq!(response.status(), 201);
        let body: Value = response.json().await.unwrap();
        body["key"].as_str().unwrap().to_owned()
    }

    /// Creates a credential and returns its secret.
    pub async fn credential(&self, kind: &str) -> String {
        let body = json!({ "kind": kind, "name": "a test" });
        let response = self.post("/v1/credentials", &body).await;
        assert_eq!(response.status(), 201);
        let body: Value = response.json().await.unwrap();
        body["secret"].as_str().unwrap().to_owned()
    }

    /// Activates a key, as a box does.
    pub async fn activate(&self, key: &str) -> Activation {
        let request = self
            .client
            .post(format!("{}/v1/activate", self.control_plane));
        let nth = NEXT_BOX.fetch_add(1, Ordering::SeqCst);
        let body = json!({ "key": key, "box": { "fingerprint": format!("box-{nth}") } });
        let response = send(request.json(&body)).await;
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        Activation {
            token: body["token"].as_str().unwrap().to_owned(),
            body,
        }
    }

    /// Issues a license at a tier and activates it.
    pub async fn sell(&self, tier: &str) -> Activation {
        self.activate(&self.issue(tier).await).await
    }

    /// Publishes every package of a manifest to Tollgate's own gate, without npm.
    pub async fn publish_samples(&self, manifest: &str) {
        self.publish_samples_to(&self.gate, manifest).await;
    }

    /// Publishes every package of a manifest to a gate, without npm.
    pub async fn publish_samples_to(&self, gate: &str, manifest: &str) {
        let secret = self.credential("publisher").await;
        let request = |sample: &Sample| {
            let request = self.client.put(format!("{gate}/{}", sample.name));
            request
                .bearer_auth(&secret)
                .json(&sample.publish_document(gate))
        };
        for sample in samples::all(&crate::tiers(manifest)).unwrap() {
            let mut response = send(request(&sample)).await;
            // A gate elsewhere hears of the tiers, and of a new publisher, a little later.
            while gate != self.gate && [401, 503].contains(&response.status().as_u16()) {
                tokio::task::yield_now().await;
                response = send(request(&sample)).await;
            }
            assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        }
    }
}

/// Every activation is another box.
static NEXT_BOX: AtomicU32 = AtomicU32::new(0);

/// A client without proxies, redirects or patience for hanging servers.
pub fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .unwrap()
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}
