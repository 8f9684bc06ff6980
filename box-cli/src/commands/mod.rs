//! One command a file: what it takes from the command line, and what it says.

pub mod activate;
pub mod token;
