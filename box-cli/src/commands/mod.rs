//! One command a file: what it takes from the command line, and what it says.

pub mod activate;
pub mod deactivate;
pub mod doctor;
pub mod exec;
pub mod install;
pub mod packages;
pub mod renew;
pub mod request;
pub mod status;
pub mod token;
pub mod watch;
