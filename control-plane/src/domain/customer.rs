//! A customer's tier, which its licenses follow where they name none.

use jiff::Timestamp;
use manifest::TierName;
use serde::{Deserialize, Serialize};

/// Whom the vendor knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Who.
    pub id: String,
    /// Since when: from here on a trial is counted.
    pub created_at: Timestamp,
    /// The tier that was assigned, if one was.
    pub assigned: Option<CustomerTier>,
}

/// A tier that was assigned to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerTier {
    /// Who.
    pub customer_id: String,
    /// Which.
    pub tier: TierName,
    /// Who decides about it.
    pub source: AssignmentSource,
    /// Who assigned it, as the audit log names them.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub assigned_at: Timestamp,
}

/// Who decides about a customer's tier. Billing never overwrites a manual assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssignmentSource {
    /// The billing provider.
    Billing,
    /// An operator.
    Manual,
}

impl AssignmentSource {
    /// The source as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Billing => "billing",
            Self::Manual => "manual",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Billing, Self::Manual]
            .into_iter()
            .find(|source| source.as_str() == text)
    }
}
