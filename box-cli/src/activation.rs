//! What a control plane is asked with the license key: a token, or to free the seat.

use activation_token::clock::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use terminal::{ControlPlane, Exit, Failure, Unanswered};
use url::Url;

use crate::credentials::Credentials;

/// By how much the clocks may differ before it is told, since a token seems over then, or not yet
/// good.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Who activates, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// The control plane.
    pub control_plane: Url,
    /// The license key.
    pub key: SecretString,
    /// What the box is known by.
    pub fingerprint: String,
    /// Its name for people.
    pub name: Option<String>,
    /// Sent along; the license alone decides.
    pub org: Option<String>,
}

/// What is sent.
#[derive(Serialize)]
struct Body<'r> {
    key: &'r str,
    #[serde(rename = "box")]
    of: BodyBox<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<&'r str>,
}

#[derive(Serialize)]
struct BodyBox<'r> {
    fingerprint: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'r str>,
}

/// What an activation answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    token: String,
    expires_in: i64,
    tier: String,
    customer_id: String,
    license_id: String,
    box_id: Option<String>,
    packages: Vec<PackageName>,
    registry_url: Url,
    #[serde(default)]
    license_expires_at: Option<Timestamp>,
    #[serde(default)]
    boxes_used: Option<u64>,
    #[serde(default)]
    boxes_limit: Option<u64>,
}

/// An activation, as it is kept.
#[derive(Debug)]
pub struct Activated {
    /// What is kept.
    pub credentials: Credentials,
    /// By how much this machine's clock is ahead of the control plane's, where it told its time.
    pub clock_ahead: Option<SignedDuration>,
}

impl Request {
    /// The same again as what is kept.
    pub fn of(known: &Credentials) -> anyhow::Result<Self> {
        let (Some(control_plane), Some(key)) = (&known.control_plane_url, &known.license_key)
        else {
            return Err(Failure::new(Exit::Failed, "no license key is kept")
                .hint("run `box activate` with it")
                .into());
        };
        Ok(Self {
            control_plane: control_plane.clone(),
            key: SecretString::from(key.as_str()),
            fingerprint: known.fingerprint.clone(),
            name: known.name.clone(),
            org: known.org.clone(),
        })
    }

    /// Whether what is kept came of such a request.
    pub fn is_of(&self, known: &Credentials) -> bool {
        known.control_plane_url.as_ref() == Some(&self.control_plane)
            && known.license_key.as_deref() == Some(self.key.expose_secret())
            && known.fingerprint == self.fingerprint
    }

    /// Activates.
    pub async fn send(&self) -> anyhow::Result<Activated> {
        let body = Body {
            key: self.key.expose_secret(),
            of: BodyBox {
                fingerprint: &self.fingerprint,
                name: self.name.as_deref(),
            },
            org: self.org.as_deref(),
        };
        let body = serde_json::to_value(body)?;
        let control_plane = ControlPlane::new(self.control_plane.clone(), None)?;
        // The token's life begins no later than this.
        let asked_at = SystemClock.now();
        let response = control_plane
            .send(Method::POST, "/v1/activate", Some(&body))
            .await?;
        let clock_ahead = terminal::control_plane::date(&response)
            .map(|there| SystemClock.now().duration_since(there));
        let answer: Answer = control_plane.read(response).await?;
        let life = SignedDuration::from_secs(answer.expires_in);
        let credentials = Credentials {
            license_key: Some(self.key.expose_secret().to_owned()),
            license_file: None,
            control_plane_url: Some(self.control_plane.clone()),
            npm_token: answer.token,
            issued_at: asked_at,
            expires_at: asked_at.saturating_add(life)?,
            activated_at: asked_at,
            fingerprint: self.fingerprint.clone(),
            name: self.name.clone(),
            org: self.org.clone(),
            license_id: answer.license_id,
            customer_id: answer.customer_id,
            box_id: answer.box_id,
            tier: answer.tier,
            registry_url: answer.registry_url,
            packages: answer.packages,
            license_expires_at: answer.license_expires_at,
            boxes_used: answer.boxes_used,
            boxes_limit: answer.boxes_limit,
            clock_seen_at: asked_at,
        };
        Ok(Activated {
            credentials,
            clock_ahead,
        })
    }

    /// Gives the seat back.
    pub async fn deactivate(&self) -> anyhow::Result<()> {
        let body = json!({
            "key": self.key.expose_secret(),
            "box": { "fingerprint": self.fingerprint },
        });
        let control_plane = ControlPlane::new(self.control_plane.clone(), None)?;
        let freed: Result<Value, Unanswered> = control_plane
            .write(Method::POST, "/v1/deactivate", Some(&body))
            .await;
        match freed {
            // Released by the vendor already.
            Err(refused) if refused.code() == Some("box_not_found") => Ok(()),
            freed => Ok(freed.map(drop)?),
        }
    }
}
