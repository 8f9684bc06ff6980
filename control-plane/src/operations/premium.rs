//! Make a user premium, or take that back.

use entitlements::premium::{Premium, PremiumGrant, PremiumUser};
use serde_json::{Value, json};

use super::{Error, Operations};
use crate::domain::subject::SUBJECT_BYTES_MAX;
use crate::domain::{Event, FieldError, Refusal, Requester};
use crate::store::{Recorded, Tx, premium};

impl Operations {
    /// Makes a user premium, in place of an earlier grant.
    pub async fn grant_premium(
        &self,
        tx: &mut Tx,
        by: &Requester,
        user: &str,
        reason: Option<String>,
    ) -> Result<Recorded<PremiumUser>, Error> {
        check_user(user)?;
        let now = self.clock.now();
        let grant = PremiumGrant {
            granted_at: now,
            grantor: by.actor.as_str().to_owned(),
            reason: reason.clone(),
        };
        let before = premium::status(tx.link(), user).await?;
        premium::put(tx, user, &grant).await?;
        let event = Event {
            before: before.grant().map(state),
            after: Some(state(&grant)),
            reason,
            ..Event::new("premium.grant", &user)
        };
        let granted = PremiumUser {
            user: user.to_owned(),
            grant,
        };
        Ok(tx.record(by, now, event, granted).await?)
    }

    /// Takes a user's grant back. It is recorded also where there was none: somebody meant that
    /// the user is not premium.
    pub async fn revoke_premium(
        &self,
        tx: &mut Tx,
        by: &Requester,
        user: &str,
        reason: Option<String>,
    ) -> Result<Recorded<()>, Error> {
        check_user(user)?;
        let before: Premium = premium::status(tx.link(), user).await?;
        premium::delete(tx, user).await?;
        let event = Event {
            before: before.grant().map(state),
            reason,
            ..Event::new("premium.revoke", &user)
        };
        Ok(tx.record(by, self.clock.now(), event, ()).await?)
    }
}

/// Whether this cannot be a user's id.
pub(crate) fn check_user(user: &str) -> Result<(), Refusal> {
    Refusal::unless_all_hold([FieldError::in_text("userId", user, SUBJECT_BYTES_MAX)])
}

fn state(grant: &PremiumGrant) -> Value {
    json!({
        "grantedAt": grant.granted_at,
        "grantor": grant.grantor,
        "reason": grant.reason,
    })
}
