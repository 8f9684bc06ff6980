//! `box`: activates a license on a customer's machine.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use box_cli::activate::{activate, fingerprint, write_npmrc};
use clap::{Args, Parser, Subcommand};
use url::Url;

/// Activate a license and install what it covers
#[derive(Parser)]
#[command(name = "box", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Exchange the license key for a token and point this project's npm to the gate
    ///
    /// Sets the scope's registry and its token in .npmrc and leaves every other line alone.
    Activate(Activate),
}

#[derive(Args)]
struct Activate {
    /// The vendor's control plane
    #[arg(long, value_name = "URL", env = "BOX_CONTROL_PLANE")]
    control_plane: Url,
    /// The license key; safer in a file or in the variable than in a shell history
    #[arg(
        long,
        value_name = "KEY",
        env = "BOX_LICENSE_KEY",
        hide_env_values = true
    )]
    key: Option<String>,
    /// A file with the license key
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// What this box is known by [default: a random value kept in .box/fingerprint]
    #[arg(long, value_name = "TEXT", env = "BOX_FINGERPRINT")]
    fingerprint: Option<String>,
    /// The project's folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    project: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Command::Activate(options) = Cli::parse().command;
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => terminal::exit::report(&error),
    }
}

async fn run(options: Activate) -> anyhow::Result<()> {
    let key = match (options.key, options.key_file) {
        (Some(key), _) => key,
        (None, Some(file)) => std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read the license key in `{}`", file.display()))?,
        (None, None) => bail!(
            "no license key is given\n  \
             hint: put it in a file and name that with `--key-file`, or set BOX_LICENSE_KEY"
        ),
    };
    let fingerprint = match options.fingerprint {
        Some(fingerprint) => fingerprint,
        None => fingerprint(&options.project)?,
    };
    let activation = activate(&options.control_plane, key.trim(), &fingerprint).await?;
    write_npmrc(&options.project, &activation)?;
    writeln!(
        std::io::stdout(),
        "activated: tier {}, {} packages from {}, for {} minutes",
        activation.tier,
        activation.packages.len(),
        activation.registry_url,
        activation.expires_in / 60
    )?;
    Ok(())
}
