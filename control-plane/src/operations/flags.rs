//! Override a flag, or take an override back.

use entitlements::flags::{FlagValue, InvalidOverride, Scope};
use serde_json::{Value, json};

use super::{Error, Operations};
use crate::domain::flag::{FlagOverride, to_json};
use crate::domain::{Event, FieldError, Refusal, Requester};
use crate::store::{Recorded, Tx, flag_overrides};

/// The longest name of a user or team, in bytes.
const SUBJECT_BYTES_MAX: usize = 200;

impl Operations {
    /// Overrides a flag for a scope, in place of an earlier override.
    pub async fn override_flag(
        &self,
        tx: &mut Tx,
        by: &Requester,
        flag: &str,
        scope: Scope,
        value: FlagValue,
        reason: Option<String>,
    ) -> Result<Recorded<FlagOverride>, Error> {
        check_scope(&scope)?;
        self.flags.check_override(flag, &value)?;
        let now = self.clock.now();
        let before = flag_overrides::get(tx.link(), flag, &scope).await?;
        let set = FlagOverride {
            flag: flag.to_owned(),
            scope,
            value,
            actor: by.actor.as_str().to_owned(),
            reason: reason.clone(),
            set_at: now,
        };
        flag_overrides::put(tx, &set).await?;
        let event = Event {
            before: before.as_ref().map(state),
            after: Some(state(&set)),
            reason,
            ..Event::new("flag.override", &flag)
        };
        Ok(tx.record(by, now, event, set).await?)
    }

    /// Takes an override back, so that wider ones or the default decide again. One of a flag that
    /// the manifest no longer has can go as well.
    pub async fn clear_flag_override(
        &self,
        tx: &mut Tx,
        by: &Requester,
        flag: &str,
        scope: &Scope,
        reason: Option<String>,
    ) -> Result<Recorded<()>, Error> {
        check_scope(scope)?;
        let before = flag_overrides::get(tx.link(), flag, scope).await?;
        if before.is_none() {
            self.flags.get(flag).map_err(Refusal::UnknownFlag)?;
        }
        flag_overrides::delete(tx, flag, scope).await?;
        let event = Event {
            before: before.as_ref().map(state),
            after: Some(json!({ "scope": scope.to_string() })),
            reason,
            ..Event::new("flag.clear_override", &flag)
        };
        Ok(tx.record(by, self.clock.now(), event, ()).await?)
    }
}

impl From<InvalidOverride> for Error {
    fn from(invalid: InvalidOverride) -> Self {
        Self::Refused(match invalid {
            InvalidOverride::Unknown(unknown) => Refusal::UnknownFlag(unknown),
            InvalidOverride::Shape { valid, .. } => {
                let message = if valid.is_empty() {
                    "is true or false for this flag".to_owned()
                } else {
                    format!("is one of {} for this flag", valid.join(", "))
                };
                Refusal::InvalidFields(vec![FieldError::new("value", message)])
            }
        })
    }
}

/// Whether this names nobody who could be.
pub(crate) fn check_scope(scope: &Scope) -> Result<(), Refusal> {
    let (Scope::User(name) | Scope::Team(name)) = scope else {
        return Ok(());
    };
    Refusal::unless_all_hold([FieldError::in_text("scope", name, SUBJECT_BYTES_MAX)])
}

fn state(set: &FlagOverride) -> Value {
    json!({
        "scope": set.scope.to_string(),
        "value": to_json(&set.value),
        "actor": set.actor,
        "reason": set.reason,
        "setAt": set.set_at,
    })
}
