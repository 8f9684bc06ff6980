//! `tollgate`: the control plane and, in one process with it, the gate.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use control_plane::serve::{Secrets, Server};
use control_plane::settings::{self, Given, secret};
use control_plane::{cli, demo, telemetry};
use registry_gate::server::stop_signal;
use secrecy::ExposeSecret;
use terminal::manual::{Completions, ManPages};

/// License activation and package gating for vendors of self-hosted software
#[derive(Parser)]
#[command(name = "tollgate", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane and the registry gate
    ///
    /// Every option is also a key of the configuration file and a TOLLGATE_… variable; an option
    /// wins over a variable, and a variable over the file. `tollgate config` tells what holds. At
    /// the first start, `TOLLGATE_OPERATOR_TOKEN` is taken as the first operator's token; without
    /// it, one is made, printed once, and kept in the data directory. `TOLLGATE_KEY_PASSPHRASE` is
    /// what the keys in the data directory are encrypted with, and `TOLLGATE_STRIPE_WEBHOOK_SECRET`
    /// what Stripe signs its events with, where no file tells it.
    ///
    /// SIGTERM and SIGINT stop it: it says at /readyz that it is not ready, lets running requests
    /// end, and exits with 0; a second signal ends it at once. SIGHUP reads the certificate again.
    Serve(Box<Given>),
    /// Print every setting, its value, and where that comes from
    ///
    /// Takes what `serve` takes. Secrets are not shown. Exits with 1, after the table, when the
    /// settings do not fit together.
    Config {
        #[command(flatten)]
        given: Box<Given>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Bring the database's schema up to date without serving
    ///
    /// `serve` does so as well when it starts. The previous release may run meanwhile.
    Migrate(Box<cli::Migrate>),
    /// Copy the database into a file, also while a server runs
    Backup(Box<cli::Backup>),
    /// Put a backup in place of the database; the server must be stopped
    ///
    /// Says first what would be lost. The database that was there is kept beside, under a dated
    /// name. Gates follow the restored one.
    Restore(Box<cli::Restore>),
    /// Follow, check, print and export the audit log
    #[command(subcommand)]
    Audit(cli::Audit),
    /// Keep a control plane's address and a token for it, for the commands that ask one
    ///
    /// The token is tried first. Profiles are kept in `tollgate/profiles.toml` of the user's
    /// configuration directory, mode 0600, or in the file that `TOLLGATE_PROFILES` names.
    Login(cli::Login),
    /// Forget a profile and its token
    Logout(cli::Logout),
    /// List profiles and choose the current one
    #[command(subcommand)]
    Profile(cli::ProfileCommand),
    /// Issue, list and change licenses
    License(Box<cli::License>),
    /// List the boxes of a license and release one
    Box(cli::Boxes),
    /// Pack all packages of a license into one signed file, for a gate without a network
    ///
    /// Reads them through the gate, checks each tarball against its release, and has the list of
    /// contents signed. `registry-gate --bundle FILE` serves it to boxes that were activated from a
    /// license file. It cannot be taken back before it ends.
    Bundle(Box<cli::Bundle>),
    /// See and change what a customer may do: its tier, overrides and usage
    Customer(Box<cli::Customer>),
    /// Make users premium
    Premium(cli::Premium),
    /// Make, list and revoke the credentials of operators, gates, publishers and applications
    Credential(cli::Credential),
    /// List, rotate and remove the keys that tokens are signed with
    Key(cli::Key),
    /// Publish tarballs to the gate, those that others require first
    ///
    /// Takes what `npm pack` made. All of it is checked before the first is sent: the tarballs, and
    /// that the manifest has their names. A version that is there with the same bytes is passed
    /// over, so a run that was cut short can be repeated. Exits with 5 when the gate refused one.
    Publish(Box<cli::Publish>),
    /// Look whether all is well with a running Tollgate, and say what to do if not
    ///
    /// Changes nothing, unless a download is asked for. Exits with 1 when something failed.
    Doctor(Box<cli::Doctor>),
    /// Print completions for a shell
    Completions(Completions),
    /// Write man pages, one for each subcommand
    Man(ManPages),
    /// See it work: sell, activate, install and refuse, on example packages
    ///
    /// Needs neither Node nor a network. Goes on serving afterwards, so that you can try it with
    /// npm.
    Demo(demo::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match Box::pin(run(cli)).await {
        Ok(code) => code,
        Err(error) => terminal::exit::report_with(&error, cli::remote::hint(&error)),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(given) => Box::pin(serve(*given)).await?,
        Command::Config { given, json } => print_settings(*given, json)?,
        Command::Migrate(command) => return command.run().await,
        Command::Backup(command) => return command.run().await,
        Command::Restore(command) => return command.run().await,
        Command::Audit(command) => return command.run().await,
        Command::Login(command) => return command.run().await,
        Command::Logout(command) => return command.run(),
        Command::Profile(command) => return command.run(),
        Command::License(command) => return command.run().await,
        Command::Box(command) => return command.run().await,
        Command::Bundle(command) => return command.run().await,
        Command::Customer(command) => return command.run().await,
        Command::Premium(command) => return command.run().await,
        Command::Credential(command) => return command.run().await,
        Command::Key(command) => return command.run().await,
        Command::Publish(command) => return command.run().await,
        Command::Doctor(command) => return command.run().await,
        Command::Completions(command) => command.run(Cli::command())?,
        Command::Man(command) => command.run(Cli::command())?,
        Command::Demo(options) => run_demo(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(given: Given) -> anyhow::Result<()> {
    let stop = stop_signal().context("cannot wait for signals")?;
    let config = given.config()?;
    let telemetry = telemetry::start(&config)?;
    let served = async {
        let secrets = Secrets {
            operator_token: secret("TOLLGATE_OPERATOR_TOKEN"),
            key_passphrase: secret(settings::KEY_PASSPHRASE),
            stripe_webhook_secret: secret(settings::STRIPE_WEBHOOK_SECRET),
        };
        let server = Server::open(config, secrets).await?;
        announce(&server);
        server.run(stop).await
    };
    let end = served.await;
    telemetry.flush().await;
    end
}

async fn run_demo(options: demo::Options) -> anyhow::Result<()> {
    let stop = stop_signal().context("cannot wait for signals")?;
    let telemetry = telemetry::start(&options.config()?)?;
    let end = demo::run(options, stop).await;
    telemetry.flush().await;
    end
}

fn print_settings(given: Given, json: bool) -> anyhow::Result<()> {
    let (config, rows) = given.load()?;
    let text = if json {
        format!("{:#}\n", settings::json(&rows))
    } else {
        settings::table(&rows)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    config.checked().map(drop)
}

/// Both listeners accept from here on; whoever waits for the first line may connect. Nobody need
/// read the rest: a closed output is no reason to stop.
fn announce(server: &Server) {
    let (control_plane, gate) = (url(&server.control_plane_url), url(&server.gate_url));
    let ready = format!("tollgate ready: control plane {control_plane}, gate {gate}\n");
    let token = server.new_operator_token.as_ref().map(|(token, file)| {
        let (token, file) = (token.expose_secret(), file.display());
        format!("operator token, shown this once and kept in {file}:\n{token}\n")
    });
    let text = ready + token.as_deref().unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot write to standard output"
        );
    }
}

fn url(url: &url::Url) -> &str {
    url.as_str().trim_end_matches('/')
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
