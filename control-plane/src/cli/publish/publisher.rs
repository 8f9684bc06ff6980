//! A publisher's token that lives as long as one run of a command.

use activation_token::clock::{Clock, SystemClock};
use anyhow::Context;
use jiff::SignedDuration;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use terminal::ControlPlane;
use terminal::output::say;

/// Should nobody be left to revoke it.
const LIFE: SignedDuration = SignedDuration::from_hours(1);

/// A publisher's credential that is to be revoked.
#[must_use = "it must be revoked"]
pub(in crate::cli) struct Publisher<'c> {
    control_plane: &'c ControlPlane,
    id: String,
    pub(in crate::cli) token: SecretString,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    secret: String,
}

impl<'c> Publisher<'c> {
    /// Makes one, which takes the right to manage credentials.
    pub(in crate::cli) async fn make(
        control_plane: &'c ControlPlane,
        name: &str,
    ) -> anyhow::Result<Self> {
        let expires_at = SystemClock.now().checked_add(LIFE)?;
        let body = json!({ "kind": "publisher", "name": name, "expiresAt": expires_at });
        let made: Made = control_plane
            .write(Method::POST, "/v1/credentials", Some(&body))
            .await
            .context(
                "cannot make a publisher token for this run\n  \
                 hint: an admin can; or name one with `--publisher-token-file`",
            )?;
        Ok(Self {
            control_plane,
            id: made.id,
            token: made.secret.into(),
        })
    }

    /// Revokes it. That it cannot be is said, and no reason to fail: it ends by itself.
    pub(in crate::cli) async fn revoke(self) -> anyhow::Result<()> {
        let path = format!("/v1/credentials/{}?reason=the+run+is+over", self.id);
        let done = self.control_plane.write(Method::DELETE, &path, None).await;
        let done: Result<Value, _> = done;
        if let Err(error) = done {
            say(&format!(
                "warning: the publisher token of this run ({}) is not revoked and is good for an hour: {error}",
                self.id
            ))?;
        }
        Ok(())
    }
}
