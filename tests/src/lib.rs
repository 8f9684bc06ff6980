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

pub mod box_cli;
pub mod bucket;
pub mod client;
pub mod home;
pub mod ledger;
pub mod npm;
pub mod operator;
pub mod people;
pub mod plane;
pub mod process;
pub mod reader;
pub mod receiver;
pub mod relay;
pub mod sql;
pub mod stripe;
pub mod workshop;

pub use box_cli::BoxCli;
pub use client::{Client, Project};
pub use ledger::Ledger;
pub use npm::{Npm, NpmOutput};
pub use operator::Operator;
pub use people::{Activation, Vendor};
pub use plane::Plane;
pub use process::{Database, Tollgate, python, tollgate_command};
pub use reader::Reader;
pub use relay::Relay;
pub use sql::Sql;
pub use workshop::Workshop;

/// The example manifest of a commerce platform.
pub const COMMERCE: &str = include_str!("../../manifest/examples/commerce.toml");

/// A small manifest, with a tier's own limit on boxes and an add-on that needs another package.
pub const SMALL: &str = r#"
[manifest]
scope = "@acme"
default-tier = "basic"
tiers = ["basic", "growth"]
limits = ["boxes"]

[foundation]
leaves = ["@acme/shared"]

[tier.basic]
leaves = ["@acme/order"]
limits = { boxes = 2 }

[tier.growth]
leaves = ["@acme/loyalty"]
limits = { boxes = "unlimited" }

[package."@acme/shared"]
[package."@acme/order"]
[package."@acme/points"]
[package."@acme/loyalty"]
requires = ["@acme/points"]
"#;

/// The same with all that can be sold beside a tier: features, limits, add-ons, a trial.
pub const SELLING: &str = r#"
[manifest]
scope = "@acme"
default-tier = "basic"
tiers = ["basic", "growth"]
features = ["sso", "export_csv", "ai_assist", "beta"]
limits = ["boxes", "seats", "api_calls"]

[foundation]
leaves = ["@acme/shared"]

[tier.basic]
leaves = ["@acme/order"]
features = { export_csv = true }
limits = { boxes = 2, seats = 5 }

[tier.growth]
leaves = ["@acme/loyalty"]
features = { export_csv = true, sso = true }
limits = { boxes = 20, seats = 20, api_calls = 10_000 }

[trial]
tier = "growth"
hours = 336

[add-on.more_seats]
features = ["sso", "export_csv"]
limits = { seats = 50 }

[add-on.few_seats]
limits = { seats = 7 }

[add-on.boxed]
limits = { boxes = 4 }

[feature.ai_assist]
requires = ["export_csv"]

[feature.beta]
premium-only = true

[package."@acme/shared"]
[package."@acme/order"]
[package."@acme/points"]
[package."@acme/loyalty"]
requires = ["@acme/points"]
"#;

/// Chance that comes out the same each time.
pub struct Dice(u64);

impl Dice {
    /// Thrown from here on.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    /// One of these.
    pub fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }
}

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
