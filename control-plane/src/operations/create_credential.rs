//! Create a credential.

use activation_token::credential::{CredentialKind, new_secret};
use jiff::Timestamp;
use secrecy::SecretString;

use super::{Error, Operations, Requester};
use crate::domain::{Credential, CredentialId, Event, FieldError, Refusal, Role};
use crate::entropy::random;
use crate::store::credentials;

const NAME_BYTES_MAX: usize = 100;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// Who it is for.
    pub kind: CredentialKind,
    /// A name for people.
    pub name: String,
    /// What an operator may do; everything, if not said.
    pub role: Option<Role>,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}

impl Operations {
    /// Creates a credential and returns it with its secret, which is shown this once.
    pub async fn create_credential(
        &self,
        requester: &Requester,
        new: NewCredential,
    ) -> Result<(Credential, SecretString), Error> {
        let secret = new_secret(new.kind.prefix(), &random(&*self.entropy)?);
        let credential = self.store_credential(requester, new, &secret).await?;
        Ok((credential, secret))
    }

    /// Stores a credential whose secret exists already: the first operator's.
    pub async fn store_credential(
        &self,
        requester: &Requester,
        new: NewCredential,
        secret: &SecretString,
    ) -> Result<Credential, Error> {
        let now = self.clock.now();
        check_fields(&new, now)?;
        let credential = Credential {
            id: self.fresh(CredentialId::new)?,
            kind: new.kind,
            name: new.name,
            role: (new.kind == CredentialKind::Operator).then(|| new.role.unwrap_or(Role::Admin)),
            created_at: now,
            expires_at: new.expires_at,
        };
        let mut tx = self.store.begin().await?;
        let digest = self.credential_digest(credential.kind, secret);
        credentials::insert(tx.link(), &credential, digest).await?;
        let event = Event {
            action: "credential.create",
            subject: credential.id.to_string(),
            before: None,
            after: Some(serde_json::json!({
                "kind": credential.kind,
                "name": credential.name,
                "role": credential.role,
                "expiresAt": credential.expires_at,
            })),
            reason: None,
            concerns_gates: credential.kind == CredentialKind::Publisher,
        };
        tx.commit(
            &requester.actor,
            requester.request_id.as_deref(),
            now,
            event,
        )
        .await?;
        Ok(credential)
    }
}

fn check_fields(new: &NewCredential, now: Timestamp) -> Result<(), Refusal> {
    let mut errors = Vec::new();
    let name = &new.name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let text = format!("has 1 to {NAME_BYTES_MAX} bytes and no control characters");
        errors.push(FieldError::new("name", text));
    }
    if new.role.is_some() && new.kind != CredentialKind::Operator {
        errors.push(FieldError::new("role", "is for operators only"));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        errors.push(FieldError::new("expiresAt", "must lie in the future"));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Refusal::InvalidFields(errors))
    }
}
