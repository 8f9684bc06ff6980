//! Create a credential.

use activation_token::credential::{CredentialKind, new_secret};
use jiff::Timestamp;
use secrecy::SecretString;

use super::{Error, Operations};
use crate::domain::{Credential, CredentialId, Event, FieldError, Refusal, Requester, Role};
use crate::entropy::random;
use crate::store::{Recorded, Tx, credentials};

const NAME_BYTES_MAX: usize = 100;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// Who it is for.
    pub kind: CredentialKind,
    /// A name for people.
    pub name: String,
    /// What an operator may do; read only, if not said.
    pub role: Option<Role>,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}

impl Operations {
    /// Creates a credential and returns it with its secret, which is shown this once.
    pub async fn create_credential(
        &self,
        tx: &mut Tx,
        by: &Requester,
        new: NewCredential,
    ) -> Result<Recorded<(Credential, SecretString)>, Error> {
        let secret = new_secret(new.kind.prefix(), &random(&*self.entropy)?);
        let credential = self.store_credential(tx, by, new, &secret).await?;
        Ok(credential.map(|credential| (credential, secret)))
    }

    /// Stores a credential whose secret exists already: the first operator's.
    pub async fn store_credential(
        &self,
        tx: &mut Tx,
        by: &Requester,
        new: NewCredential,
        secret: &SecretString,
    ) -> Result<Recorded<Credential>, Error> {
        let now = self.clock.now();
        check_fields(&new, now)?;
        let credential = Credential {
            id: self.fresh(CredentialId::new)?,
            kind: new.kind,
            name: new.name,
            role: (new.kind == CredentialKind::Operator).then(|| new.role.unwrap_or(Role::Viewer)),
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let digest = self.credential_digest(credential.kind, secret);
        credentials::insert(tx, &credential, digest).await?;
        let event = Event {
            after: Some(serde_json::json!({
                "kind": credential.kind,
                "name": credential.name,
                "role": credential.role,
                "expiresAt": credential.expires_at,
            })),
            concerns_gates: credential.kind == CredentialKind::Publisher,
            ..Event::new("credential.create", &credential.id)
        };
        Ok(tx.record(by, now, event, credential).await?)
    }
}

fn check_fields(new: &NewCredential, now: Timestamp) -> Result<(), Refusal> {
    let misplaced_role = new.role.is_some() && new.kind != CredentialKind::Operator;
    Refusal::unless_all_hold([
        FieldError::in_text("name", &new.name, NAME_BYTES_MAX),
        misplaced_role.then(|| FieldError::new("role", "is for operators only")),
        FieldError::in_expiry("expiresAt", new.expires_at, now),
    ])
}
