//! The control plane: licenses, activations, keys and the audit log.
//!
//! A request passes [`api`] (extract and render), runs one verb of [`operations`] (one write
//! transaction, one audit row), which asks [`domain`] for the rules and [`store`] for the rows.
//! [`serve`] puts the parts together with the gate's library, in one process.

pub mod api;
pub mod billing;
pub mod changes;
pub mod cli;
pub mod data_dir;
pub mod demo;
pub mod domain;
pub mod embedded;
pub mod entropy;
pub mod head_note;
pub mod key_dir;
pub mod keyring;
pub mod metrics;
pub mod operations;
pub mod seal;
mod secret_file;
pub mod serve;
pub mod settings;
pub mod signing;
pub mod store;
pub mod telemetry;
pub mod webhooks;
