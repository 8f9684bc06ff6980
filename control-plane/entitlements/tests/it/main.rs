//! What needs a database: the same on both.

mod databases;
mod statements;
