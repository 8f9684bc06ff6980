//! `box`: activates a license on a customer's machine and installs what it covers.

use std::path::PathBuf;
use std::process::ExitCode;

use box_cli::commands::activate::Activate;
use box_cli::commands::deactivate::Deactivate;
use box_cli::commands::packages::Packages;
use box_cli::commands::renew::Renew;
use box_cli::commands::status::Status;
use box_cli::commands::token::Token;
use box_cli::commands::watch::Watch;
use box_cli::project::Project;
use clap::{Parser, Subcommand};

/// Activate a license and install what it covers
#[derive(Parser)]
#[command(name = "box", version, propagate_version = true)]
struct Cli {
    /// The project's folder [default: the nearest one upwards that was activated, else this one]
    #[arg(long, global = true, value_name = "DIR", env = "BOX_PROJECT")]
    project: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Exchange the license key for a token and point this project to the gate
    ///
    /// Sets the scope's registry and its token in .npmrc and leaves every other line alone, tells
    /// in box.json what was activated, and keeps the license key in .box/credentials.json. The key
    /// is taken from --key-file, from `BOX_LICENSE_KEY`, or asked for.
    #[command(visible_alias = "auth")]
    Activate(Activate),
    /// Show what this box may install, and until when
    ///
    /// Asks nobody. Exits with 1 where the token is over.
    Status(Status),
    /// Renew the token when less than half of its life is left
    ///
    /// May be called as often as you like and by several at once: one of them asks.
    Renew(Renew),
    /// Print a token that is good now
    ///
    /// In a project that was not activated, `BOX_CONTROL_PLANE` and `BOX_LICENSE_KEY` give one that is
    /// kept nowhere, for instance in CI.
    Token(Token),
    /// Keep the token fresh until stopped
    Watch(Watch),
    /// List what may be installed
    Packages(Packages),
    /// Give the seat back and take the token away
    Deactivate(Deactivate),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => terminal::exit::report(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let project = Project::find(cli.project.as_deref())?;
    match cli.command {
        Command::Activate(command) => command.run(&project).await?,
        Command::Status(command) => command.run(&project)?,
        Command::Renew(command) => command.run(&project).await?,
        Command::Token(command) => command.run(&project).await?,
        Command::Watch(command) => command.run(&project).await?,
        Command::Packages(command) => command.run(&project).await?,
        Command::Deactivate(command) => command.run(&project).await?,
    }
    Ok(ExitCode::SUCCESS)
}
