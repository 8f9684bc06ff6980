//! RULES. What a license is and when it may be used; who may do what; why something is refused.
//!
//! No axum, no SQL, no clock reads, no randomness: all of that arrives as arguments.

pub mod audit;
pub mod billing;
pub mod credential;
pub mod customer;
pub mod downloads;
pub mod flag;
pub mod id;
pub mod license;
pub mod license_file;
pub mod patch;
pub mod refusal;
pub mod signing_key;
pub mod subject;
pub mod usage;
pub mod verdict;
pub mod webhook;

pub use audit::{Actor, Event, Requester};
pub use credential::{Caller, Credential, Right, Role};
pub use customer::{AssignmentSource, Customer, CustomerTier};
pub use id::{BoxId, CredentialId, LicenseId, TokenId, WebhookId};
pub use license::{ActivatedBox, Decision, ExpiryStrategy, License, Status, Unusable};
pub use patch::Patch;
pub use refusal::{FieldError, Refusal};
pub use signing_key::{
    KeyPolicy, KeyRecord, KeyRing, KeyState, KeyStatus, Removal, RotationRefused,
};
pub use verdict::Denial;
pub use webhook::{DeliveryStatus, DisabledReason, EventFilter, Webhook};
