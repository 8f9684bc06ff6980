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
}

/// What an operator is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Read tiers and their packages.
    ReadTiers,
    /// Read licenses.
    ReadLicenses,
    /// Issue and change licenses.
    WriteLicenses,
    /// Make and revoke credentials.
    ManageCredentials,
    /// Read what a gate works from.
    ReadSnapshot,
}

impl Caller {
    /// Whether this caller has the right.
    pub fn may(&self, right: Right) -> bool {
        use Role::{Admin, Billing, Support, Viewer};
        match (self.kind, self.role, right) {
            (CredentialKind::Operator, Some(Admin), right) => right != Right::ReadSnapshot,
            (CredentialKind::Operator, Some(Support), right) => {
                matches!(
                    right,
                    Right::ReadTiers | Right::ReadLicenses | Right::WriteLicenses
                )
            }
            (CredentialKind::Operator, Some(Viewer | Billing), right) => {
                matches!(right, Right::ReadTiers | Right::ReadLicenses)
            }
            (CredentialKind::Application, _, right) => right == Right::ReadTiers,
            (CredentialKind::Gate, _, right) => right == Right::ReadSnapshot,
            (CredentialKind::Operator, None, _) | (CredentialKind::Publisher, _, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rights() {
        use CredentialKind::{Application, Gate, Operator, Publisher};
        use Right::{ManageCredentials, ReadLicenses, ReadSnapshot, ReadTiers, WriteLicenses};
        let all = [
            ReadTiers,
            ReadLicenses,
            WriteLicenses,
            ManageCredentials,
            ReadSnapshot,
        ];
        for (kind, role, expected) in [
            (Operator, Some(Role::Admin), &all[..4]),
            (Operator, Some(Role::Support), &all[..3]),
            (Operator, Some(Role::Viewer), &all[..2]),
            (Operator, Some(Role::Billing), &all[..2]),
            (Operator, None, &[]),
            (Application, None, &[ReadTiers]),
            (Gate, None, &[ReadSnapshot]),
            (Publisher, None, &[]),
        ] {
            let id = CredentialId::new(Timestamp::UNIX_EPOCH, &[0; 10]);
            let caller = Caller { id, kind, role };
            let rights: Vec<Right> = all.into_iter().filter(|right| caller.may(*right)).collect();
            assert_eq!(rights, expected, "{kind:?} {role:?}");
        }
    }
}
