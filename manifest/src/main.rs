//! The `manifest` command.
fn main() {}
