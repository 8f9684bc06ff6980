//! Stories: what people do with the product, from outside.
#![expect(
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a story fails by panicking and may take its time"
)]

mod activation;
mod audit;
mod bad_input;
mod boxes;
mod credentials;
mod customers;
mod gate_feed;
mod gating;
mod idempotency;
mod licenses;
mod limits;
mod public_packages;
mod rights;
mod running;
mod secrets;
mod serving;
mod tokens;
