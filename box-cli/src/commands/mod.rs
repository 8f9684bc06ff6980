//! One file for each command: what it takes, what it prints.

pub mod activate;
pub mod deactivate;
pub mod packages;
pub mod renew;
pub mod status;
pub mod token;
pub mod watch;
