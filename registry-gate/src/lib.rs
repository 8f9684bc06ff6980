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
mod answer;
mod archive;
mod config;
mod document;
mod fault;
mod file_body;
mod follow;
mod gate;
mod grant;
mod hosted;
mod integrity;
mod negotiate;
mod package_sets;
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
mod tokens;
mod upstream;
mod view;

pub use config::{ConfigError, GateConfig, UpstreamConfig};
pub use follow::{Follower, FollowerConfig, FollowerError, KeptError};
pub use gate::Gate;
pub use store::StoreDirError;
pub use view::{SnapshotError, SnapshotSender, ViewError};
