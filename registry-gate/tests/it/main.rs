//! The gate from outside, over its router and over real sockets.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests may fail a test as tests may"
)]

mod audits;
mod authorize;
mod binary;
#[path = "../../../tests/src/bucket.rs"]
#[expect(
    unreachable_pub,
    reason = "shared with the stories, where others use it"
)]
mod bucket;
mod downloads;
mod encoding;
mod following;
mod matrix;
mod notices;
mod observing;
mod parts;
mod pass_through;
mod plane;
mod publishing;
mod raw;
mod reading;
mod refusals;
mod revocation;
mod rule;
mod searching;
mod snapshots;
mod stores;
mod upstream;
mod upstream_cache;
mod upstream_lies;
mod wire;
mod world;
