//! What is written down about every change.

use jiff::Timestamp;
use serde_json::Value;

use super::CredentialId;
use super::billing::Provider;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Tollgate itself, at start-up or by schedule.
    System,
    /// The holder of a credential.
    Credential(CredentialId),
    /// Whoever holds a license key.
    KeyHolder,
    /// A billing provider, by its signature.
    Provider(Provider),
    /// Somebody without a credential that is known here.
    Unknown,
}

impl Actor {
    /// The actor as it is stored.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::Credential(id) => id.as_str(),
            Self::KeyHolder => "key-holder",
            Self::Provider(provider) => provider.as_str(),
            Self::Unknown => "unknown",
        }
    }
}

/// Who asks, and under which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Who.
    pub actor: Actor,
    /// The request's id, for the audit row.
    pub request_id: Option<String>,
}

impl Requester {
    /// Tollgate itself.
    pub fn system() -> Self {
        Self {
            actor: Actor::System,
            request_id: None,
        }
    }
}

/// One change, or one refusal worth keeping: a row of the audit log. Never holds a secret.
#[derive(Debug, Clone)]
pub struct Event {
    /// What was done, as `noun.verb`.
    pub action: &'static str,
    /// To what: an id.
    pub subject: String,
    /// The state before, where there was one.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// Why, where a reason was given or a rule decided.
    pub reason: Option<String>,
    /// Whether gates must know, because their snapshot is no longer the same.
    pub concerns_gates: bool,
}

impl Event {
    /// A change without a reason that gates need not know of.
    pub fn new(action: &'static str, subject: &impl ToString) -> Self {
        Self {
            action,
            subject: subject.to_string(),
            before: None,
            after: None,
            reason: None,
            concerns_gates: false,
        }
    }
}

/// A row of the log as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number: 1, 2, 3, without gaps.
    pub sequence: i64,
    /// When.
    pub at: Timestamp,
    /// Who, see [`Actor::as_str`].
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The state before.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// Why.
    pub reason: Option<String>,
    /// Under which request.
    pub request_id: Option<String>,
}

/// Which rows are wanted; what is none does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// By whom.
    pub actor: Option<String>,
    /// What.
    pub action: Option<String>,
    /// To what.
    pub subject: Option<String>,
    /// From when on, inclusive.
    pub from: Option<Timestamp>,
    /// Until when, exclusive.
    pub to: Option<Timestamp>,
}
