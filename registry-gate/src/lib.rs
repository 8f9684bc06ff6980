//! The registry gate: the npm registry that a box installs from.
//!
//! A request goes one way: its raw path becomes a typed route, the rule is asked whether the
//! caller may have the package that the route names, and only with the permit that the rule
//! gives are the store and the upstream looked at.
//!
//! ```text
//! raw path ──► Route ──► Rule ──► Permit ──► store, else upstream ──► answer
//!                         │              └─► outside the scope: pass-through ─┘
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
pub mod bundle;
mod cache;
mod caller;
mod config;
mod document;
mod downloads;
mod fault;
mod file_body;
mod flights;
mod follow;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod grant;
mod history;
mod hosted;
mod integrity;
mod negotiate;
mod notices;
mod observe;
mod package_sets;
mod packages;
mod packument;
mod publication;
mod range;
pub mod reach;
mod refusal;
mod revocations;
mod route;
pub mod server;
mod shelf;
mod store;
mod tag;
mod tarball;
mod tokens;
mod upstream;
mod view;
mod whole_file;

pub use cache::CacheDirError;
pub use config::{ConfigError, GateConfig, UpstreamConfig, UpstreamTimeouts};
pub use downloads::{DownloadKeeper, DownloadSink, Downloads, LedgerError, NotTaken};
pub use follow::{DownloadReporter, Follower, FollowerConfig, FollowerError, KeptError};
pub use gate::Gate;
pub use observe::MetricsPage;
pub use publication::{Packed, PackedError};
pub use store::{StoreError, StoreOptions, StoreOptionsError, StoreUrl, StoreUrlError};
pub use tag::check_tag;
pub use view::{SnapshotError, SnapshotSender, ViewError};
