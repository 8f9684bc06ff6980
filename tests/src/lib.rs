//! The harness: a running Tollgate, the people around it, and their npm.
//!
//! Everything here speaks to real processes over HTTP and files, as users do. A failure in the
//! harness is a failure of the test, so it panics with what it saw.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a harness fails its test by panicking"
)]

pub mod ledger;
pub mod npm;
pub mod people;
pub mod plane;
pub mod process;
pub mod sql;

pub use ledger::Ledger;
pub use npm::{Npm, NpmOutput};
pub use people::{Activation, Vendor};
pub use plane::Plane;
pub use process::{Database, Tollgate, tollgate_command};
pub use sql::Sql;

/// The example manifest of a commerce platform.
pub const COMMERCE: &str = include_str!("../../manifest/examples/commerce.toml");

/// The tiers of a manifest that is known to be good.
pub fn tiers(manifest: &str) -> manifest::TierSets {
    manifest::Manifest::load(manifest, "tiers.toml")
        .expect("a good manifest")
        .tiers
}

/// The present, as the processes under test see it.
pub fn now() -> jiff::Timestamp {
    activation_token::clock::Clock::now(&activation_token::clock::SystemClock)
}
