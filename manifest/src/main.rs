//! The `manifest` command: what a vendor runs on `tiers.toml`, and what CI runs too.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::run(&cli::Command::parse())
}
