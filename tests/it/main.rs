//! Stories: what people do with the product, from outside.
#![expect(
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a story fails by panicking and may take its time"
)]

mod activation;
mod audit_log;
mod backup;
mod bad_input;
mod database;
mod gate_feed;
mod gating;
mod interoperability;
mod licenses;
mod openapi;
mod previous_release;
mod public_packages;
mod replicas;
mod running;
mod serving;
mod tokens;
