//! The closed list of refusals: expected, coded, shown.
//!
//! Where several apply, the first of this order is given:
//!
//! 1. the request cannot be read, then what it says breaks a rule, whatever it is about:
//!    `malformed_json`, `invalid_body`, `invalid_fields`, `unknown_tier`, `unknown_package`,
//!    `unknown_feature`, `unknown_limit`, `unknown_add_on`, `unknown_flag`, `unknown_metric`,
//!    `not_consumable`, `idempotency_key_reused`, `usage_forgotten`;
//! 2. what it is about: `license_not_found`, `box_not_found`, …;
//! 3. how that stands: `license_revoked`, `last_admin`, `stock_full`, then `invalid_fields` again, where only
//!    what was there before makes a member wrong.
//!
//! Whoever has only a license key is told after 1. of the license, as `license_unusable`:
//! unknown, revoked, suspended, expired; then of its boxes: `box_not_found`, `box_required`,
//! `box_limit_reached`.

use std::fmt;

use entitlements::caps::StockFull;
use entitlements::flags::UnknownFlag;
use entitlements::{Kind, UnknownName};
use jiff::Timestamp;

use super::signing_key::RotationRefused;
use super::webhook::WEBHOOKS_MAX;

/// An answer of "no" that the caller can act on. Its code is stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The tier is not in the manifest.
    UnknownTier {
        /// What was asked for.
        tier: String,
        /// What there is, in order.
        valid: Vec<String>,
    },
    /// Packages that the manifest does not declare.
    UnknownPackages(Vec<String>),
    /// The flag is not declared.
    UnknownFlag(UnknownFlag),
    /// Metrics that the manifest does not declare.
    UnknownMetrics {
        /// What was asked for.
        metrics: Vec<String>,
        /// What there is, in order.
        valid: Vec<String>,
    },
    /// The metric keeps a level, from which nothing can be taken.
    NotConsumable(String),
    /// Another event was recorded under this key.
    UsageKeyReused(String),
    /// Usage of a time whose events are no longer kept.
    UsageForgotten(Timestamp),
    /// As many things exist as may.
    StockFull {
        /// The limit's name.
        name: String,
        /// How many may.
        limit: u64,
    },
    /// A feature, limit or add-on that the manifest does not declare.
    UnknownName(UnknownName),
    /// Well-formed JSON whose values break a rule.
    InvalidFields(Vec<FieldError>),
    /// No license with this id.
    LicenseNotFound,
    /// No box of this license with this id or fingerprint.
    BoxNotFound,
    /// No credential with this id.
    CredentialNotFound,
    /// No tier was assigned to this customer.
    CustomerTierNotFound,
    /// The tier is the one that billing gives: there is nothing to release it from.
    CustomerTierBilled,
    /// The flag is not overridden for this scope.
    FlagOverrideNotFound,
    /// The switch has another version by now than the one that was expected.
    SwitchChanged,
    /// No webhook with this id.
    WebhookNotFound,
    /// Nothing is sent to a webhook that is disabled.
    WebhookDisabled,
    /// There are as many webhooks as there may be.
    TooManyWebhooks,
    /// A revoked license stays as it is.
    LicenseRevoked,
    /// No signing key with this id.
    SigningKeyNotFound,
    /// The license is suspended.
    LicenseSuspended,
    /// The license has expired, and any grace is over.
    LicenseExpired,
    /// The license covers other packages by now than those that were gathered.
    LicenseChanged,
    /// No signing key can be added now.
    KeyNotAdded(RotationRefused),
    /// Nobody could make a credential any more.
    LastAdmin,
    /// The one answer to every key that cannot be used, whatever the reason (POT-23).
    LicenseUnusable,
    /// The license counts boxes, and this activation names none.
    BoxRequired,
    /// Every seat is taken.
    BoxLimitReached {
        /// How many seats there are.
        limit: u64,
    },
}

/// A rule that a member of the request breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The member, as a path such as `box.fingerprint`.
    pub field: &'static str,
    /// What is wrong and what is right.
    pub message: String,
}

impl FieldError {
    /// Says what is wrong with `field`.
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field,
            message: message.into(),
        }
    }

    /// What is wrong with a text that has 1 to `bytes_max` bytes and no control characters, if
    /// anything.
    pub fn in_text(field: &'static str, text: &str, bytes_max: usize) -> Option<Self> {
        let good = (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control);
        let message = || format!("has 1 to {bytes_max} bytes and no control characters");
        (!good).then(|| Self::new(field, message()))
    }

    /// What is wrong with a time at which something ends, if anything.
    pub fn in_expiry(field: &'static str, end: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let past = end.is_some_and(|end| end <= now);
        past.then(|| Self::new(field, "must lie in the future"))
    }
}

impl Refusal {
    /// Says everything that is wrong at once, if anything is.
    pub fn unless_all_hold(
        errors: impl IntoIterator<Item = Option<FieldError>>,
    ) -> Result<(), Self> {
        let errors: Vec<FieldError> = errors.into_iter().flatten().collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self::InvalidFields(errors))
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTier { .. } => "unknown_tier",
            Self::UnknownPackages(_) => "unknown_package",
            Self::UnknownFlag(_) => "unknown_flag",
            Self::UnknownMetrics { .. } => "unknown_metric",
            Self::NotConsumable(_) => "not_consumable",
            Self::UsageKeyReused(_) => "idempotency_key_reused",
            Self::UsageForgotten(_) => "usage_forgotten",
            Self::StockFull { .. } => StockFull::CODE,
            Self::UnknownName(unknown) => match unknown.kind {
                Kind::Tier => "unknown_tier",
                Kind::Feature => "unknown_feature",
                Kind::Limit => "unknown_limit",
                Kind::AddOn => "unknown_add_on",
            },
            Self::InvalidFields(_) => "invalid_fields",
            Self::LicenseNotFound => "license_not_found",
            Self::BoxNotFound => "box_not_found",
            Self::CredentialNotFound => "credential_not_found",
            Self::CustomerTierNotFound => "customer_tier_not_found",
            Self::CustomerTierBilled => "customer_tier_billed",
            Self::FlagOverrideNotFound => "flag_override_not_found",
            Self::SwitchChanged => "version_conflict",
            Self::WebhookNotFound => "webhook_not_found",
            Self::WebhookDisabled => "webhook_disabled",
            Self::TooManyWebhooks => "too_many_webhooks",
            Self::LicenseRevoked => "license_revoked",
            Self::LicenseSuspended => "license_suspended",
            Self::LicenseExpired => "license_expired",
            Self::LicenseChanged => "license_changed",
            Self::SigningKeyNotFound => "signing_key_not_found",
            Self::KeyNotAdded(RotationRefused::Pending { .. }) => "key_pending",
            Self::KeyNotAdded(RotationRefused::Known) => "key_known",
            Self::KeyNotAdded(RotationRefused::TooMany) => "too_many_keys",
            Self::LastAdmin => "last_admin",
            Self::LicenseUnusable => "license_unusable",
            Self::BoxRequired => "box_required",
            Self::BoxLimitReached { .. } => "box_limit_reached",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTier { tier, valid } => {
                write!(f, "there is no tier `{tier}`; the tiers are {}", listed(valid))
            }
            Self::UnknownPackages(names) => {
                write!(f, "the manifest does not declare {}", listed(names))
            }
            Self::UnknownFlag(UnknownFlag { name, valid }) if valid.is_empty() => {
                write!(f, "there is no flag `{name}`; the manifest declares none")
            }
            Self::UnknownFlag(UnknownFlag { name, valid }) => {
                write!(f, "there is no flag `{name}`; the flags are {}", listed(valid))
            }
            Self::UnknownMetrics { metrics, valid } if valid.is_empty() => write!(
                f,
                "there is no metric {}; the manifest declares none",
                listed(metrics)
            ),
            Self::UnknownMetrics { metrics, valid } => write!(
                f,
                "there is no metric {}; the metrics are {}",
                listed(metrics),
                listed(valid)
            ),
            Self::NotConsumable(metric) => write!(
                f,
                "metric `{metric}` keeps a level, from which nothing can be taken; record it instead"
            ),
            Self::UsageKeyReused(key) => write!(
                f,
                "the idempotency key `{key}` was sent with another event; choose a new one"
            ),
            Self::UsageForgotten(until) => write!(
                f,
                "events from before {until} are no longer kept; ask for a later time, or for whole periods of the metrics"
            ),
            Self::StockFull { name, limit } => write!(
                f,
                "all {limit} `{name}` are in use; remove one or raise the limit"
            ),
            Self::UnknownName(unknown) => unknown.fmt(f),
            Self::InvalidFields(errors) => {
                let texts: Vec<String> =
                    errors.iter().map(|e| format!("`{}` {}", e.field, e.message)).collect();
                f.write_str(&texts.join("; "))
            }
            Self::LicenseNotFound => f.write_str("there is no license with this id"),
            Self::BoxNotFound => f.write_str("this license has no such box"),
            Self::CredentialNotFound => f.write_str("there is no credential with this id"),
            Self::CustomerTierNotFound => {
                f.write_str("no tier is assigned to this customer; its licenses follow the default")
            }
            Self::CustomerTierBilled => f.write_str(
                "billing decides about this customer's tier already; assign one to overrule it",
            ),
            Self::FlagOverrideNotFound => {
                f.write_str("this flag is not overridden for this scope; wider ones or its default decide")
            }
            Self::SwitchChanged => f.write_str(
                "somebody else has set this switch since; read it again and decide anew",
            ),
            Self::WebhookNotFound => f.write_str("there is no webhook with this id"),
            Self::WebhookDisabled => {
                f.write_str("this webhook is disabled; enable it first, with `enabled` set to true")
            }
            Self::TooManyWebhooks => write!(
                f,
                "there are {WEBHOOKS_MAX} webhooks, the most there may be; delete one you do not need"
            ),
            Self::LicenseRevoked => f.write_str(
                "this license is revoked, which is for good; issue a new one",
            ),
            Self::LicenseSuspended => {
                f.write_str("this license is suspended; reinstate it first")
            }
            Self::LicenseExpired => {
                f.write_str("this license has expired; move its `expiresAt` first")
            }
            Self::LicenseChanged => f.write_str(
                "this license covers other packages by now than those that were gathered; begin again",
            ),
            Self::SigningKeyNotFound => f.write_str("there is no signing key with this id"),
            Self::KeyNotAdded(why) => why.fmt(f),
            Self::LastAdmin => f.write_str(
                "this is the last credential of an admin; create another one before you revoke it",
            ),
            Self::LicenseUnusable => {
                f.write_str("this license key cannot be used; ask whoever sold it to you")
            }
            Self::BoxRequired => f.write_str(
                "this license counts boxes; send `box` with a `fingerprint` that stays the same on this machine",
            ),
            Self::BoxLimitReached { limit } => write!(
                f,
                "all {limit} boxes of this license are in use; release one or buy more"
            ),
        }
    }
}

/// Names as people read them: in backticks, with commas.
fn listed(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
