//! `tollgate demo`: the whole path on example packages, told for a newcomer.
//!
//! It starts the real server on a data directory and then speaks to it over HTTP alone, as the
//! vendor's tools and the customers' boxes do.

mod actors;
pub mod samples;

use std::fs;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use actors::{Activation, Box_, Vendor};
use anyhow::{Context, anyhow, ensure};
use clap::Args;
use manifest::{Manifest, TierSets};
use secrecy::SecretString;

use crate::serve::{Secrets, Server};
use crate::settings::{Config, Settings};

const MANIFEST: &str = include_str!("../../../manifest/examples/commerce.toml");
/// In basic, and needs others.
const ENTITLED: &str = "@acme/order";
/// In growth only.
const NOT_ENTITLED: &str = "@acme/loyalty";

/// What can be chosen about the demo.
#[derive(Debug, Args)]
pub struct Options {
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = "tollgate-demo-data")]
    data: PathBuf,
    /// Where the control plane listens; port 0 takes any
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,
    /// Where the gate listens; port 0 takes any
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7401")]
    gate_listen: SocketAddr,
    /// Stop after the tour instead of serving on
    #[arg(long)]
    once: bool,
    /// What is logged to standard error, for example `info` or `control_plane=debug`
    #[arg(long, value_name = "FILTER", env = "TOLLGATE_LOG")]
    log: Option<String>,
}

impl Options {
    /// The settings that the demo serves with.
    pub fn config(&self) -> anyhow::Result<Config> {
        let settings = Settings {
            data: Some(self.data.clone()),
            manifest: Some(manifest_file(&self.data)),
            listen: Some(self.listen),
            gate_listen: Some(self.gate_listen),
            log: self.log.clone(),
            ..Settings::default()
        };
        settings.resolve()
    }
}

/// Gives the tour and serves on until `shutdown`. Fails when any step of the tour does.
pub async fn run(
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let manifest = keep_manifest(&options.data)?;
    let server = Server::open(options.config()?, Secrets::default()).await?;
    let (control_plane, gate) = (
        trimmed(&server.control_plane_url),
        trimmed(&server.gate_url),
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = tokio::spawn(server.run(async {
        // An error means that the sender is gone, which is the end as well.
        let _ = stopped.await;
    }));

    tokio::pin!(shutdown);
    let tour = tokio::select! {
        tour = tour(&options, &manifest, &control_plane, &gate) => tour,
        () = &mut shutdown => Err(anyhow!("stopped before the tour was over")),
    };
    if tour.is_ok() && !options.once {
        tokio::select! {
            ended = &mut serving => return ended?,
            () = shutdown => {}
        }
    }
    let _ = stop.send(());
    serving.await??;
    tour
}

fn trimmed(url: &url::Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn manifest_file(data: &Path) -> PathBuf {
    data.join("tiers.toml")
}

/// Lays the example manifest into the data directory, once: an edited one stays.
fn keep_manifest(data: &Path) -> anyhow::Result<PathBuf> {
    let path = manifest_file(data);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("cannot make the data directory `{}`", data.display()))?;
    if !path.exists() {
        fs::write(&path, MANIFEST).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(path)
}

async fn tour(
    options: &Options,
    manifest: &Path,
    control_plane: &str,
    gate: &str,
) -> anyhow::Result<()> {
    let tiers = read_tiers(manifest)?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let token = fs::read_to_string(options.data.join("operator-token"))
        .context("cannot read the operator token of the data directory")?;
    let vendor = Vendor {
        client: client.clone(),
        control_plane: control_plane.to_owned(),
        gate: gate.to_owned(),
        operator_token: SecretString::from(token.trim_end().to_owned()),
    };

    say("Tollgate demo: a vendor sells the packages of a commerce platform in tiers.")?;
    say(&format!(
        "  control plane {control_plane}\n  gate          {gate}\n"
    ))?;

    say(&format!(
        "1. The manifest says what each tier holds ({})",
        manifest.display()
    ))?;
    for tier in tiers.tiers() {
        say(&format!(
            "     {:<11} {:>3} packages",
            tier.name(),
            tier.packages().len()
        ))?;
    }

    let samples = samples::all(&tiers)?;
    say(&format!(
        "\n2. The vendor publishes {} sample packages to the gate",
        samples.len()
    ))?;
    let new = vendor.publish(&samples).await?;
    say(&format!(
        "     {new} published, {} were there already",
        samples.len() - new
    ))?;

    say("\n3. The vendor sells two licenses")?;
    let basic_key = sell(&vendor, "corner-shop", "basic").await?;
    let growth_key = sell(&vendor, "night-market", "growth").await?;

    say("\n4. Each customer's box activates its license")?;
    let basic = activate(&vendor, &client, "corner-shop", &basic_key).await?;
    let growth = activate(&vendor, &client, "night-market", &growth_key).await?;

    say(&format!(
        "\n5. The basic box downloads {ENTITLED} and all that it needs"
    ))?;
    let closure = basic.download_closure(ENTITLED).await?;
    ensure!(
        closure.len() > 1,
        "{ENTITLED} came without its dependencies"
    );
    say(&format!(
        "     {} packages, each with the right checksum:",
        closure.len()
    ))?;
    say(&format!("     {}", closure.join(", ")))?;

    say(&format!(
        "\n6. The basic box asks for {NOT_ENTITLED}, which it did not buy"
    ))?;
    let (status, text) = basic.refusal(NOT_ENTITLED).await?;
    ensure!(status == 403, "expected status 403, got {status}: {text}");
    say(&format!("     refused: {status}, \"{text}\""))?;
    let (status, _) = basic.refusal(&actors::tarball_path(NOT_ENTITLED)).await?;
    ensure!(
        status == 403,
        "the tarball itself was not refused: {status}"
    );
    say("     and so is the tarball behind it")?;

    say("\n7. The growth box asks for the same")?;
    let closure = growth.download_closure(NOT_ENTITLED).await?;
    say(&format!("     allowed: {}", closure.join(", ")))?;

    if options.once {
        return say("\nEverything worked.");
    }
    invite(options, &basic, &growth)
}

fn read_tiers(path: &Path) -> anyhow::Result<TierSets> {
    let text = fs::read_to_string(path)?;
    // `Server::open` has loaded it already; it is good.
    let loaded = Manifest::load(&text, &path.display().to_string());
    Ok(loaded
        .map_err(|diagnostics| anyhow::anyhow!("{diagnostics}"))?
        .tiers)
}

async fn sell(vendor: &Vendor, customer: &str, tier: &str) -> anyhow::Result<String> {
    let key = vendor.issue_license(customer, tier).await?;
    say(&format!("     {tier:<7} to {customer:<13} key {key}"))?;
    Ok(key)
}

async fn activate(
    vendor: &Vendor,
    client: &reqwest::Client,
    customer: &str,
    key: &str,
) -> anyhow::Result<Box_> {
    let activation: Activation = vendor.activate(customer, key).await?;
    say(&format!(
        "     {customer:<13} gets a token for {} packages, good for {} minutes",
        activation.packages.len(),
        activation.expires_in / 60
    ))?;
    Ok(Box_ {
        client: client.clone(),
        activation,
    })
}

/// Lays out a project for each box and prints the lines to try in it.
fn invite(options: &Options, basic: &Box_, growth: &Box_) -> anyhow::Result<()> {
    let basic_dir = lay_out_project(&options.data, "basic-box", basic)?;
    let growth_dir = lay_out_project(&options.data, "growth-box", growth)?;
    say(&format!(
        "\nNow you, with npm, in another terminal (the tokens are in each folder's .npmrc):\n\n  \
         cd {}\n  \
         npm install {ENTITLED}     # works, with all that it needs\n  \
         npm install {NOT_ENTITLED}   # E403, and the reason\n\n  \
         cd {}\n  \
         npm install {NOT_ENTITLED}   # works\n\n\
         Serving until you press Ctrl-C. To serve your own packages, see README.",
        basic_dir.display(),
        growth_dir.display(),
    ))
}

fn lay_out_project(data: &Path, name: &str, owner: &Box_) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt;
    let dir = fs::canonicalize(data)?.join(name);
    fs::create_dir_all(&dir)?;
    let package_json = serde_json::json!({ "name": name, "version": "1.0.0", "private": true });
    fs::write(dir.join("package.json"), format!("{package_json:#}\n"))?;
    let mut npmrc = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(dir.join(".npmrc"))?;
    npmrc.write_all(owner.npmrc("@acme").as_bytes())?;
    Ok(dir)
}

/// Tells the newcomer.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
