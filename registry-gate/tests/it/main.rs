//! The gate from outside, over its router and over real sockets.

mod reading;
mod world;
