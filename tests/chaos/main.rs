//! Processes that are killed and databases that go away, while many clients write.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and these print what they did"
)]

mod clients;
mod gates;
mod kill;
mod outage;
