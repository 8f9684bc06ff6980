//! What runs on a customer's machine: activate the license, point npm to the gate.

pub mod activate;
pub mod files;
pub mod npmrc;
