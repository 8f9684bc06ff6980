//! What needs a database: the same on each.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod coherence;
mod databases;
mod overrides;
mod reads;

mod spans;
mod statements;
mod tiers;
mod world;
