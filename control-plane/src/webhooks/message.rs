//! What is sent, and how it is signed (Standard Webhooks 1.0.0).

use std::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::domain::audit::Entry;
use crate::entropy::{Entropy, EntropyError, random};

const SECRET_BYTES: usize = 32;
const SECRET_PREFIX: &str = "whsec_";
/// A body stays below this.
const BODY_BYTES_MAX: usize = 20_000;

/// What messages to one webhook are signed with.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// Makes a new one.
    pub fn fresh(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let bytes = Zeroizing::new(random::<SECRET_BYTES>(entropy)?);
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// Takes the bytes of one that was kept.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes, to be sealed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret as receivers take it.
    pub fn to_text(&self) -> SecretString {
        format!("{SECRET_PREFIX}{}", BASE64.encode(&self.0)).into()
    }

    /// The signature of a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        // HMAC takes a key of any length.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        let mac = mac
            .chain_update(format!("{id}.{timestamp}."))
            .chain_update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret([redacted])")
    }
}

/// The id of the message about a row of the audit log: the same at every attempt. The time tells
/// rows apart that have the same number, since the database was restored from a backup.
pub fn message_id(sequence: i64, at: Timestamp) -> String {
    format!("msg_{sequence}_{}", at.as_microsecond())
}

#[derive(Serialize)]
struct Body<'e> {
    #[serde(rename = "type")]
    kind: &'e str,
    timestamp: Timestamp,
    data: Data<'e>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'e> {
    sequence: i64,
    subject: &'e str,
    actor: &'e str,
    before: Option<&'e Value>,
    after: Option<&'e Value>,
    reason: Option<&'e str>,
    request_id: Option<&'e str>,
    /// Whether `before` and `after` were left out because they are too large.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// The message about a row of the audit log, to the byte the same at every attempt.
pub fn body(entry: &Entry) -> Result<String, serde_json::Error> {
    let mut body = Body {
        kind: &entry.action,
        timestamp: entry.at,
        data: Data {
            sequence: entry.sequence,
            subject: &entry.subject,
            actor: &entry.actor,
            before: entry.before.as_ref(),
            after: entry.after.as_ref(),
            reason: entry.reason.as_deref(),
            request_id: entry.request_id.as_deref(),
            truncated: false,
        },
    };
    let text = serde_json::to_string(&body)?;
    if text.len() < BODY_BYTES_MAX {
        return Ok(text);
    }
    (body.data.before, body.data.after) = (None, None);
    body.data.truncated = true;
    serde_json::to_string(&body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::entropy::OsEntropy;

    #[test]
    fn the_standards_own_example_is_signed_as_it_says() {
        let key = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secret = WebhookSecret::from_bytes(Zeroizing::new(key));
        let body = r#"{"test": 2432232314}"#;
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let text = secret.to_text();
        let text = secrecy::ExposeSecret::expose_secret(&text);
        assert_eq!(text, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    }

    #[test]
    fn a_secret_has_256_bits_and_is_not_shown_by_accident() {
        let secret = WebhookSecret::fresh(&OsEntropy).unwrap();
        assert_eq!(secret.as_bytes().len(), 32);
        assert_eq!(format!("{secret:?}"), "WebhookSecret([redacted])");
    }

    fn entry(after: Value) -> Entry {
        Entry {
            sequence: 7,
            at: "2026-11-21T12:00:00Z".parse().unwrap(),
            actor: "system".into(),
            action: "license.issue".into(),
            subject: "lic_1".into(),
            before: None,
            after: Some(after),
            reason: None,
            request_id: Some("r-1".into()),
        }
    }

    #[test]
    fn a_message_says_what_the_audit_row_says() {
        assert_eq!(
            body(&entry(json!({ "tier": "basic" }))).unwrap(),
            concat!(
                r#"{"type":"license.issue","timestamp":"2026-11-21T12:00:00Z","data":{"sequence":7,"#,
                r#""subject":"lic_1","actor":"system","before":null,"after":{"tier":"basic"},"#,
                r#""reason":null,"requestId":"r-1"}}"#
            )
        );
    }

    #[test]
    fn what_is_too_large_is_left_out_and_said_to_be() {
        let text = body(&entry(json!("x".repeat(BODY_BYTES_MAX)))).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["data"]["truncated"], true);
        assert_eq!(read["data"]["after"], Value::Null);
        assert!(text.len() < BODY_BYTES_MAX);
    }
}
