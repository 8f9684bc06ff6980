//! Stories: what people do with the product, from outside.
#![expect(
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a story fails by panicking and may take its time"
)]

mod activation;
mod bad_input;
mod gate_feed;
mod gating;
mod public_packages;
mod running;
mod seats;
mod serving;
mod tokens;
mod writer;
