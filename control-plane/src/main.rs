//! `tollgate`: the control plane and, in one process with it, the gate.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use control_plane::demo;
use control_plane::serve::Server;
use control_plane::settings::Settings;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// License activation and package gating for vendors of self-hosted software
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged to standard error, for example `info` or `control_plane=debug`
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "TOLLGATE_LOG",
        default_value = "warn"
    )]
    log: String,
    /// Log one JSON object a line
    #[arg(long, global = true, env = "TOLLGATE_LOG_JSON")]
    log_json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane and the registry gate
    ///
    /// Every option is also a key of the configuration file and a TOLLGATE_… variable; an option
    /// wins over a variable, and a variable over the file. At the first start,
    /// `TOLLGATE_OPERATOR_TOKEN` is taken as the first operator's token; without it, one is made,
    /// printed once, and kept in the data directory.
    Serve {
        #[command(flatten)]
        settings: Box<Settings>,
        /// A configuration file (TOML)
        #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
        config: Option<PathBuf>,
    },
    /// See it work: sell, activate, install and refuse, on example packages
    ///
    /// Needs neither Node nor a network. Goes on serving afterwards, so that you can try it with
    /// npm.
    Demo(demo::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    start_log(&cli.log, cli.log_json)?;
    let stop = stop_signal().context("cannot wait for signals")?;
    match cli.command {
        Command::Serve { settings, config } => {
            let file = config.as_deref().map(Settings::from_file).transpose()?;
            let config = settings.or(file.unwrap_or_default()).resolve()?;
            let server = Server::open(config, operator_token()).await?;
            announce(&server);
            server.run(stop).await
        }
        Command::Demo(options) => demo::run(options, stop).await,
    }
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

fn operator_token() -> Option<SecretString> {
    let value = std::env::var("TOLLGATE_OPERATOR_TOKEN").ok()?;
    (!value.is_empty()).then(|| SecretString::from(value))
}

fn start_log(filter: &str, json: bool) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.init();
    }
    Ok(())
}

/// SIGINT or SIGTERM, from now on: one that comes before anybody waits for it is not lost.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where a failed command says why"
)]
fn print_error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {cause}");
    }
}
