//! The gate from outside, over its router and over real sockets.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests may fail a test as tests may"
)]

mod binary;
#[path = "../../../tests/src/bucket.rs"]
#[expect(
    unreachable_pub,
    reason = "shared with the stories, where others use it"
)]
mod bucket;
mod following;
mod plane;
mod publishing;
mod reading;
mod refusals;
mod revocation;
mod rule;
mod snapshots;
mod stores;
mod upstream;
mod wire;
mod world;
