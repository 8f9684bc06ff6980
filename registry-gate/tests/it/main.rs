//! The gate from outside, over its router and over real sockets.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests may fail a test as tests may"
)]

mod binary;
mod encoding;
mod following;
mod plane;
mod publishing;
mod reading;
mod refusals;
mod revocation;
mod rule;
mod snapshots;
mod upstream;
mod wire;
mod world;
