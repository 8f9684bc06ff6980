//! The `box` binary in a project of its own, against a control plane that is played.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod activate;
mod ends;
mod given;
mod played;
mod renew;
