//! The commands, one module each, and what they share: printing and exit codes.

mod check;
mod diff;
mod graph;
mod import;
mod init;
mod report;
mod schema;
mod sets;
mod source;
mod tidy;
mod why;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;

/// Exit code when a manifest, or an edit to it, is refused; or when the answer is no.
const REFUSED: u8 = 1;
/// Exit code when the question could not be asked: usage, unreadable files.
const TROUBLE: u8 = 2;

/// Compile, explain and edit tiers.toml.
///
/// Exit codes: 0 good, 1 refused, 2 could not be done.
#[derive(Debug, clap::Parser)]
#[command(name = "manifest", version, arg_required_else_help = true)]
pub(crate) enum Command {
    /// Write a commented tiers.toml to start from.
    Init(init::Init),
    /// Check manifests against every invariant, and against an older state.
    Check(check::Check),
    /// Show what an edit changes in each tier, and through which edge.
    Diff(diff::Diff),
    /// Explain why a tier has a package, or which tier would have it.
    #[command(visible_alias = "why-not")]
    Why(why::Why),
    /// Print the packages of the tiers.
    Sets(sets::Sets),
    /// Draw what brings what.
    Graph(graph::Graph),
    /// Read [package] entries from real packages.
    Import(import::Import),
    /// Sort and align a manifest, keeping its comments.
    Fmt(tidy::Tidy),
    /// Print the JSON Schema of tiers.toml, for editors.
    Schema(schema::Schema),
}

/// How a command ended when nothing got in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Refused,
}

impl From<bool> for Outcome {
    fn from(good: bool) -> Self {
        if good { Self::Good } else { Self::Refused }
    }
}

/// Runs a command and turns its end into an exit code.
pub(crate) fn run(command: &Command) -> ExitCode {
    let outcome = match command {
        Command::Init(init) => init.run(),
        Command::Check(check) => check.run(),
        Command::Diff(diff) => diff.run(),
        Command::Why(why) => why.run(),
        Command::Sets(sets) => sets.run(),
        Command::Graph(graph) => graph.run(),
        Command::Import(import) => import.run(),
        Command::Fmt(tidy) => tidy.run(),
        Command::Schema(schema) => schema.run(),
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

/// Writes to standard output. A reader that went away is no problem of ours.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes to standard error.
fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Replaces a file whole: an interrupted write leaves the old one.
fn write(path: &str, text: &str) -> anyhow::Result<()> {
    let beside = format!("{path}.new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write `{path}`"))
}

/// Whether messages may be coloured: on a terminal, unless `NO_COLOR` is set.
fn coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !refused
}

/// Writes a value as JSON.
fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}\n"));
}
