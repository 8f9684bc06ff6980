//! The commands, one module each, and what they share: reading files, printing, exit codes.

mod check;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;

/// Exit code when a manifest, or an edit to it, is refused.
const REFUSED: u8 = 1;
/// Exit code when the question could not be asked: usage, unreadable files.
const TROUBLE: u8 = 2;

/// Compile, explain and edit tiers.toml.
#[derive(Debug, clap::Parser)]
#[command(name = "manifest", version, arg_required_else_help = true)]
pub(crate) enum Command {
    /// Check manifests against every invariant.
    Check(check::Check),
}

/// How a command ended when nothing got in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Refused,
}

/// Runs a command and turns its end into an exit code.
pub(crate) fn run(command: &Command) -> ExitCode {
    let outcome = match command {
        Command::Check(check) => check.run(),
    };
    match outcome {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => REFUSED.into(),
        Err(error) => {
            tell(&format!("error: {error:#}\n"));
            TROUBLE.into()
        }
    }
}

/// Reads a manifest, or anything else that is text.
fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))
}

/// Writes to standard output. A reader that went away is no problem of ours.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes to standard error.
fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Whether messages may be coloured: on a terminal, unless `NO_COLOR` is set.
fn coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
