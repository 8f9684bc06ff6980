//! Credentials, roles, and the table of who may do what.

use activation_token::credential::CredentialKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::CredentialId;

/// A credential without its secret, which nobody can read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Who it is for.
    pub kind: CredentialKind,
    /// A name for people.
    pub name: String,
    /// What an operator may do; none for the other kinds.
    pub role: Option<Role>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to about a minute, if it ever was.
    pub last_used_at: Option<Timestamp>,
}

/// What an operator is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Licenses, but neither keys nor credentials.
    Support,
    /// Reads.
    Viewer,
    /// Reads what was sold.
    Billing,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Support, Self::Viewer, Self::Billing];

    /// The role as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Support => "support",
            Self::Viewer => "viewer",
            Self::Billing => "billing",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Who is asking: a credential that was looked up and found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The credential.
    pub id: CredentialId,
    /// Its kind.
    pub kind: CredentialKind,
    /// Its role, when it is an operator's.
    pub role: Option<Role>,
}

/// Something a route demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Read who one is: every good credential may.
    ReadSelf,
    /// Read tiers and their packages.
    ReadTiers,
    /// Read licenses, boxes, customers and downloads.
    ReadLicenses,
    /// Issue and change licenses, release boxes, assign tiers to customers.
    WriteLicenses,
    /// Read what subjects may do, and ask for decisions.
    ReadEntitlements,
    /// Change overrides, add-ons, switches and flags.
    WriteEntitlements,
    /// Tell what subjects use, and take from their limits.
    RecordUsage,
    /// Read the audit log.
    ReadAudit,
    /// Read what is measured.
    ReadMetrics,
    /// Read which credentials, signing keys and webhooks there are.
    ReadSettings,
    /// Make and revoke credentials.
    ManageCredentials,
    /// Have the root key sign what gates without a network serve.
    SignBundles,
    /// Rotate and remove signing keys.
    ManageKeys,
    /// Say who is told of changes.
    ManageWebhooks,
    /// Make users premium.
    ManagePremium,
    /// Read what a gate works from.
    ReadSnapshot,
    /// Tell of downloads.
    ReportDownloads,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 17] = [
        Self::ReadSelf,
        Self::ReadTiers,
        Self::ReadLicenses,
        Self::WriteLicenses,
        Self::ReadEntitlements,
        Self::WriteEntitlements,
        Self::RecordUsage,
        Self::ReadAudit,
        Self::ReadMetrics,
        Self::ReadSettings,
        Self::ManageCredentials,
        Self::SignBundles,
        Self::ManageKeys,
        Self::ManageWebhooks,
        Self::ManagePremium,
        Self::ReadSnapshot,
        Self::ReportDownloads,
    ];
}

impl Caller {
    /// Whether this caller has the right.
    pub fn may(&self, right: Right) -> bool {
        use Right::{
            ReadAudit, ReadEntitlements, ReadLicenses, ReadMetrics, ReadSettings, ReadSnapshot,
            ReadTiers, RecordUsage, WriteEntitlements, WriteLicenses,
        };
        match (self.kind, self.role) {
            _ if right == Right::ReadSelf => true,
            (CredentialKind::Operator, Some(Role::Admin)) => {
                !matches!(right, ReadSnapshot | Right::ReportDownloads)
            }
            (CredentialKind::Operator, Some(Role::Support)) => matches!(
                right,
                ReadTiers
                    | ReadLicenses
                    | WriteLicenses
                    | ReadEntitlements
                    | WriteEntitlements
                    | RecordUsage
                    | ReadAudit
                    | ReadMetrics
            ),
            (CredentialKind::Operator, Some(Role::Viewer)) => matches!(
                right,
                ReadTiers
                    | ReadLicenses
                    | ReadEntitlements
                    | ReadAudit
                    | ReadMetrics
                    | ReadSettings
            ),
            (CredentialKind::Operator, Some(Role::Billing)) => {
                matches!(right, ReadTiers | ReadLicenses | ReadEntitlements)
            }
            (CredentialKind::Application, _) => {
                matches!(right, ReadTiers | ReadEntitlements | RecordUsage)
            }
            (CredentialKind::Gate, _) => matches!(right, ReadSnapshot | Right::ReportDownloads),
            (CredentialKind::Operator, None) | (CredentialKind::Publisher, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rights() {
        use CredentialKind::{Application, Gate, Operator, Publisher};
        use Right::{
            ReadAudit, ReadEntitlements, ReadLicenses, ReadMetrics, ReadSettings, ReadSnapshot,
            ReadTiers, RecordUsage, WriteEntitlements, WriteLicenses,
        };
        for (kind, role, expected) in [
            (Operator, Some(Role::Admin), &Right::ALL[1..15]),
            (
                Operator,
                Some(Role::Support),
                &[
                    ReadTiers,
                    ReadLicenses,
                    WriteLicenses,
                    ReadEntitlements,
                    WriteEntitlements,
                    RecordUsage,
                    ReadAudit,
                    ReadMetrics,
                ],
            ),
            (
                Operator,
                Some(Role::Viewer),
                &[
                    ReadTiers,
                    ReadLicenses,
                    ReadEntitlements,
                    ReadAudit,
                    ReadMetrics,
                    ReadSettings,
                ],
            ),
            (
                Operator,
                Some(Role::Billing),
                &[ReadTiers, ReadLicenses, ReadEntitlements],
            ),
            (Operator, None, &[]),
            (
                Application,
                None,
                &[ReadTiers, ReadEntitlements, RecordUsage],
            ),
            (Gate, None, &[ReadSnapshot, Right::ReportDownloads]),
            (Publisher, None, &[]),
        ] {
            let id = CredentialId::new(Timestamp::UNIX_EPOCH, &[0; 10]);
            let caller = Caller { id, kind, role };
            let rights: Vec<Right> = Right::ALL
                .into_iter()
                .filter(|right| caller.may(*right))
                .collect();
            assert_eq!(rights[0], Right::ReadSelf);
            assert_eq!(rights[1..], *expected, "{kind:?} {role:?}");
        }
    }
}
