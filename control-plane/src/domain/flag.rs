//! Overrides of flags, as they are kept.

use entitlements::flags::{FlagValue, Scope};
use jiff::Timestamp;
use serde_json::Value;

/// A flag's value for one scope, in place of its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagOverride {
    /// Which flag.
    pub flag: String,
    /// For whom.
    pub scope: Scope,
    /// The value.
    pub value: FlagValue,
    /// Who set it, as the audit log names them.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub set_at: Timestamp,
}

/// A flag's value as JSON has it.
pub fn to_json(value: &FlagValue) -> Value {
    match value {
        FlagValue::Switch(on) => Value::Bool(*on),
        FlagValue::Variant(name) => Value::String(name.to_string()),
    }
}

/// Reads what [`to_json`] gives.
pub fn of_json(value: &Value) -> Option<FlagValue> {
    match value {
        Value::Bool(on) => Some(FlagValue::Switch(*on)),
        Value::String(name) => Some(FlagValue::Variant(name.as_str().into())),
        _ => None,
    }
}
