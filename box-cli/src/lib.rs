//! What runs on a customer's machine: activate the license, keep its token fresh, point the
//! package manager to the gate.
//!
//! ```text
//! commands ──► session ──► activation ──► control plane
//!                 │
//!                 └──► files: .npmrc, box.json, .box/credentials.json
//! ```
//!
//! [`session`] alone decides whether a token is good enough or a new one is asked for; every
//! command that needs one asks it. What must stay absent: any server.

pub mod activation;
pub mod box_json;
pub mod child;
pub mod commands;
pub mod credentials;
pub mod doctor;
pub mod files;
pub mod fingerprint;
pub mod git;
pub mod helper;
pub mod manager;
pub mod npmrc;
pub mod offline;
pub mod project;
pub mod session;
pub mod words;
