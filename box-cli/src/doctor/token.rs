//! The token: whether it is the vendor's, and how long it is good.

use activation_token::{KeySet, TokenError, Verifier};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use terminal::ControlPlane;
use terminal::checks::Check;
use terminal::reach::chain;

use crate::credentials::Credentials;
use crate::words;

const NAME: &str = "token";
const RENEW: &str = "get another: `box renew --force`";
/// What a gate forgives.
const LEEWAY_SECONDS: u8 = 60;

/// Who is named in a token, before it is known whether that is true.
#[derive(Deserialize)]
struct Parties {
    iss: String,
    aud: String,
}

/// Looks at a token with the keys of the control plane and its time, where it answers.
pub(super) async fn look(
    known: &Credentials,
    control_plane: Option<&ControlPlane>,
    there: Option<Timestamp>,
    now: Timestamp,
) -> Check {
    let until = words::until(known.expires_at, now);
    if !known.is_good(now) {
        let fix = "get another: `box renew`; `box watch` keeps it fresh";
        return Check::failed(NAME, format!("is over since {until}"), fix);
    }
    if let Some(back) = known.clock_set_back(now) {
        let told = words::clock_behind(back);
        let seen = told.lines().next().unwrap_or_default();
        return Check::failed(NAME, seen, "set the clock right, then `box renew`");
    }
    let Some(control_plane) = control_plane else {
        let seen = format!("is good until {until}; its signature could not be checked");
        let fix = "look again when the control plane answers";
        return Check::warning(NAME, seen, fix);
    };
    let keys = match keys(control_plane).await {
        Ok(keys) => keys,
        Err(told) => {
            let fix = "see that this is the vendor's control plane";
            return Check::failed(NAME, told, fix);
        }
    };
    match verify(&known.npm_token, &keys, there.unwrap_or(now)) {
        Err(error) => Check::failed(NAME, error.to_string(), RENEW),
        Ok(()) if known.is_due(now) => {
            let seen = format!("is good until {until}, and due");
            Check::warning(
                NAME,
                seen,
                "renew it: `box renew`; `box watch` does so in time",
            )
        }
        Ok(()) => Check::ok(NAME, format!("verifies, and is good until {until}")),
    }
}

/// Looks at the token of a license file.
pub(super) fn offline(known: &Credentials, now: Timestamp) -> Check {
    let until = words::until(known.expires_at, now);
    if known.is_good(now) {
        return Check::ok(NAME, format!("is good until {until}"));
    }
    let fix = "ask the vendor for another license file: `box request`";
    Check::failed(NAME, format!("is over since {until}"), fix)
}

async fn keys(control_plane: &ControlPlane) -> Result<KeySet, String> {
    let answer = control_plane
        .send(Method::GET, "/.well-known/jwks.json", None)
        .await
        .map_err(|error| chain(&error))?;
    let text = answer.bytes().await.map_err(|error| chain(&error))?;
    KeySet::from_jwks(&text).map_err(|error| format!("the control plane's keys: {error}"))
}

/// Whom the token is from and for, only the gate knows; here it is what the token itself names.
fn verify(token: &str, keys: &KeySet, now: Timestamp) -> Result<(), TokenError> {
    let parties = parties(token).ok_or(TokenError::Form)?;
    let verifier = Verifier::new(parties.iss, parties.aud, LEEWAY_SECONDS);
    verifier.verify(token, keys, now).map(drop)
}

fn parties(token: &str) -> Option<Parties> {
    let claims = token.split('.').nth(1)?;
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?;
    serde_json::from_slice(&claims).ok()
}
