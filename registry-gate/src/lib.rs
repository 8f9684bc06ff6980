//! The registry gate: the npm registry that a box installs from.
//!
//! A request goes one way: its raw path becomes a typed route, the rule is asked whether the
//! caller may have the package that the route names, and only with the permit that the rule
//! gives are the store and the upstream looked at.
//!
//! ```text
//! raw path ──► Route ──► Rule ──► Permit ──► store, else upstream ──► answer
//!                         │
//!                        View ◄── SnapshotSender ◄── control plane, or Follower
//! ```
//!
//! The gate decides by a snapshot of the control plane. It starts without one and refuses
//! everything until one comes, and again when the last one is too old. Where snapshots come
//! from is not its concern: [`SnapshotSender`] is the only way in.
//!
//! What must stay absent: the control plane's code, databases, and everything that could sign.

mod access;
mod amendment;
mod answer;
mod archive;
mod config;
mod fault;
mod follow;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod history;
mod hosted;
mod integrity;
mod negotiate;
mod packages;
mod packument;
mod publication;
mod refusal;
mod revocations;
mod route;
pub mod server;
mod shelf;
mod store;
mod tag;
mod upstream;
mod view;

pub use config::{ConfigError, GateConfig, UpstreamConfig};
pub use follow::{Follower, FollowerConfig, FollowerError, KeptError};
pub use gate::Gate;
pub use store::{StoreError, StoreOptions, StoreOptionsError, StoreUrl, StoreUrlError};
pub use view::{SnapshotError, SnapshotSender, ViewError};
