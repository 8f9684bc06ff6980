//! Revoke a credential, at once.

use activation_token::credential::CredentialKind;

use super::{Error, Operations};
use crate::domain::{Credential, CredentialId, Event, Refusal, Requester, Role};
use crate::store::{Recorded, Tx, credentials};

impl Operations {
    /// Takes a credential out of force. The next request with it is refused. The last admin's
    /// stays: nobody could make another.
    pub async fn revoke_credential(
        &self,
        tx: &mut Tx,
        by: &Requester,
        id: &CredentialId,
        reason: Option<String>,
    ) -> Result<Recorded<Credential>, Error> {
        let now = self.clock.now();
        let credential = credentials::get(tx.link(), id).await?;
        let credential = credential.ok_or(Refusal::CredentialNotFound)?;
        if credential.role == Some(Role::Admin)
            && credential.revoked_at.is_none()
            && !credentials::has_other_admin(tx.link(), id, now).await?
        {
            return Err(Refusal::LastAdmin.into());
        }
        if credential.revoked_at.is_none() {
            credentials::revoke(tx, id, now).await?;
        }
        let revoked = credentials::get(tx.link(), id).await?;
        let revoked = revoked.ok_or(Refusal::CredentialNotFound)?;
        let event = Event {
            before: Some(serde_json::json!({ "revokedAt": credential.revoked_at })),
            after: Some(serde_json::json!({ "revokedAt": revoked.revoked_at })),
            reason,
            concerns_gates: revoked.kind == CredentialKind::Publisher,
            ..Event::new("credential.revoke", id)
        };
        Ok(tx.record(by, now, event, revoked).await?)
    }
}
