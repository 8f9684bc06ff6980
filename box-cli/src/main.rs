//! `box`: what a customer's machine does with its license. Each command is a file in `commands`.

use std::path::PathBuf;
use std::process::ExitCode;

use box_cli::commands::{activate, token};
use box_cli::project::Project;
use clap::{Parser, Subcommand};

/// Activate a license and install what it covers
#[derive(Parser)]
#[command(name = "box", version)]
struct Cli {
    /// The project's folder [default: the nearest one upwards that is activated, else this one]
    #[arg(long, global = true, value_name = "DIR", env = "BOX_PROJECT")]
    project: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Exchange the license key for a token and point this project's npm to the gate
    ///
    /// Sets the scope's registry and its token in .npmrc and leaves every other line alone.
    /// Without a key it is asked for, on a terminal; once activated, the key is kept.
    #[command(visible_alias = "auth")]
    Activate(activate::Activate),
    /// Print a token that is good, renewed if it is due
    Token(token::Token),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { project, command } = Cli::parse();
    let ended = match Project::find(project.as_deref()) {
        Ok(project) => run(command, &project).await,
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| terminal::exit::report(&error))
}

async fn run(command: Command, project: &Project) -> anyhow::Result<ExitCode> {
    match command {
        Command::Activate(command) => command.run(project).await,
        Command::Token(command) => command.run(project).await,
    }
}
