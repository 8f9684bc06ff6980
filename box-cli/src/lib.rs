//! What runs on a customer's machine: activate the license, keep its token fresh, point the
//! package manager to the gate.

pub mod activate;
pub mod credentials;
pub mod npmrc;
pub mod project;
