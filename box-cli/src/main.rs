//! `box`: what a customer's machine does with its license. Each command is a file in `commands`.

use std::path::PathBuf;
use std::process::ExitCode;

use box_cli::commands::{
    activate, deactivate, doctor, exec, install, packages, renew, request, status, token, watch,
};
use box_cli::project::Project;
use clap::{CommandFactory, Parser, Subcommand};
use terminal::manual::{Completions, ManPages};

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
    /// Show tier, packages, seat and expiry, as the last activation told them
    ///
    /// Asks no server. Ends with 1 when nothing is activated or the token is over.
    Status(status::Status),
    /// Get another token when less than half of its life is left
    ///
    /// Safe from cron and from several processes at once: one renews, the others find it done.
    Renew(renew::Renew),
    /// Print what a vendor signs for a box that has no network
    ///
    /// It holds no secret: what this box is known by, and the time. The license file that comes
    /// back is taken by `box activate --from`.
    Request(request::Request),
    /// Print a token that is good, renewed if it is due
    Token(token::Token),
    /// Run a command with a fresh token in its environment
    ///
    /// The command takes this one's place: terminal, signals and exit code are its own. The token
    /// is in `BOX_TOKEN`, and where npm and pnpm look for it.
    Exec(exec::Exec),
    /// Install with the project's package manager and a fresh token
    ///
    /// Without arguments, what package.json says; with names, these as well.
    Install(install::Install),
    /// Update with the project's package manager and a fresh token
    Update(install::Update),
    /// Renew in time until a signal ends it
    Watch(watch::Watch),
    /// List what may be installed
    Packages(packages::Packages),
    /// Look whether packages can be installed here, and say what to do if not
    ///
    /// Looks at the control plane, the gate, TLS, the clock, files, settings and the token, and
    /// downloads a package. It changes nothing. Ends with 1 when a check failed.
    Doctor(doctor::Doctor),
    /// Free the seat and take out what the activation left
    ///
    /// Other lines of .npmrc and other members of box.json stay.
    Deactivate(deactivate::Deactivate),
    /// Print completions for a shell
    Completions(Completions),
    /// Write man pages, one for each subcommand
    Man(ManPages),
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
        Command::Status(command) => command.run(project),
        Command::Renew(command) => command.run(project).await,
        Command::Request(command) => command.run(project).await,
        Command::Token(command) => command.run(project).await,
        Command::Exec(command) => command.run(project).await,
        Command::Install(command) => command.run(project).await,
        Command::Update(command) => command.run(project).await,
        Command::Watch(command) => command.run(project).await,
        Command::Packages(command) => command.run(project).await,
        Command::Doctor(command) => command.run(project).await,
        Command::Deactivate(command) => command.run(project).await,
        Command::Completions(command) => command.run(Cli::command()).map(|()| ExitCode::SUCCESS),
        Command::Man(command) => command.run(Cli::command()).map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_says_what_it_is_for() {
        Cli::command().debug_assert();
        assert_eq!(terminal::manual::faults(Cli::command()), [""; 0]);
    }
}
