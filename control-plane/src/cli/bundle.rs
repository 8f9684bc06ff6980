//! `tollgate bundle`: all packages of a license in one signed file, for a gate without a network.

use std::path::PathBuf;
use std::process::ExitCode;

use activation_token::clock::{Clock, SystemClock};
use anyhow::Context;
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use registry_gate::bundle::Layout;
use registry_gate::server::stop_signal;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use terminal::output::{print, print_json, say};
use terminal::{Exit, Failure, progress};
use tokio::sync::Mutex;
use url::Url;

use super::gate::Gate;
use super::remote::{Remote, escaped};
use super::when::When;
use super::whole_file::{WholeFile, beside};

/// So many files are read from the gate at a time.
const READS_AT_ONCE: usize = 4;

/// What goes into a bundle, and where it goes.
#[derive(Debug, Args)]
pub struct Bundle {
    /// The license's id
    #[arg(long, value_name = "LICENSE")]
    license: String,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Only versions that a dist-tag points to, in place of all
    #[arg(long)]
    tagged_only: bool,
    /// When a gate stops serving it: a time, a day, or a span from now, at most 400 days [default:
    /// in a year, or with the license]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<When>,
    #[command(flatten)]
    remote: Remote,
}

/// What the control plane says that goes into it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    token: String,
    expires_in: i64,
    packages: Vec<PackageName>,
    packages_digest: String,
    registry_url: Url,
}

/// The gate, as this license's packages are read from it.
struct Reader<'b> {
    bundle: &'b Bundle,
    gate: Mutex<Renewed>,
}

/// A gate with a token, and when that is to be replaced: many packages may take longer than one
/// lives.
struct Renewed {
    gate: Gate,
    renew_at: Timestamp,
}

impl Bundle {
    /// Makes it. Whoever ends it on the way finds nothing of it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let stop = stop_signal().context("cannot wait for signals")?;
        tokio::select! {
            ended = self.make() => ended,
            () = stop => Err(Failure::new(Exit::Interrupted, "interrupted; nothing was written").into()),
        }
    }

    async fn make(&self) -> anyhow::Result<ExitCode> {
        let source = self.prepare().await?;
        let (layout, missing) = self.gather(&source).await?;
        let contents = layout.contents()?;
        let path = format!("/v1/licenses/{}/bundles", escaped(&self.license));
        let body = json!({
            "contentsSha256": Layout::contents_sha256(&contents),
            "packagesDigest": source.packages_digest,
            "expiresAt": self.expires_at.map(|When(at)| at),
        });
        let signed = self.remote.write(Method::POST, &path, Some(body)).await?;
        let head = signed.pointer("/head").and_then(Value::as_str);
        let head = head.context("the answer has no `head`")?;
        let root_key = signed
            .pointer("/rootKey")
            .context("the answer has no `rootKey`")?;
        let mut file = WholeFile::new(&self.output)?;
        layout.pack(&root_key.to_string(), head, &contents, &mut file)?;
        let bytes = file.finish()?;
        for name in &missing {
            say(&format!(
                "warning: {name} is covered by the license and was never published"
            ))?;
        }
        let packages = source.packages.len() - missing.len();
        let expires_at = signed.pointer("/expiresAt");
        if self.remote.json {
            print_json(&json!({
                "file": self.output,
                "bytes": bytes,
                "packages": packages,
                "missing": missing,
                "createdAt": signed.pointer("/createdAt"),
                "expiresAt": expires_at,
            }))?;
        } else {
            let expires_at = expires_at.and_then(Value::as_str).unwrap_or("-");
            print(&format!(
                "{}: {packages} packages, {} KiB, served until {expires_at}\n",
                self.output.display(),
                bytes.div_ceil(1024),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn prepare(&self) -> anyhow::Result<Source> {
        let path = format!("/v1/licenses/{}/bundles/prepare", escaped(&self.license));
        let control_plane = self.remote.control_plane()?;
        Ok(control_plane.write(Method::POST, &path, None).await?)
    }

    /// Reads every package from the gate and lays it out; names those that it has not.
    async fn gather(&self, source: &Source) -> anyhow::Result<(Layout, Vec<PackageName>)> {
        let layout = Layout::new(&beside(&self.output, "parts"))?;
        let reader = Reader {
            bundle: self,
            gate: Mutex::new(Renewed::of(source, &self.remote)?),
        };
        let all = u64::try_from(source.packages.len()).unwrap_or(u64::MAX);
        let bar = progress::bar("reading packages", all);
        let missing = stream::iter(&source.packages)
            .map(|name| async {
                let found = reader.package(name, &layout).await;
                bar.step();
                found.map(|found| (!found).then(|| name.clone()))
            })
            .buffered(READS_AT_ONCE)
            .try_filter_map(async |missing| Ok(missing))
            .try_collect()
            .await?;
        drop(bar);
        Ok((layout, missing))
    }
}

impl Renewed {
    fn of(source: &Source, remote: &Remote) -> anyhow::Result<Self> {
        let half = SignedDuration::from_secs(source.expires_in / 2);
        let now = SystemClock.now();
        let token = SecretString::from(source.token.as_str());
        Ok(Self {
            gate: remote.gate(source.registry_url.clone(), token)?,
            renew_at: now.saturating_add(half).unwrap_or(now),
        })
    }
}

impl Reader<'_> {
    /// Lays out a package, if there is one of that name.
    async fn package(&self, name: &PackageName, layout: &Layout) -> anyhow::Result<bool> {
        let Some(document) = self.gate().await?.whole_document(name).await? else {
            return Ok(false);
        };
        let wanted = Layout::wanted(name, &document)?.into_iter();
        for wanted in wanted.filter(|wanted| wanted.is_tagged || !self.bundle.tagged_only) {
            let tarball = self.gate().await?.named(&wanted.tarball_url).await?;
            layout.add(&wanted, &tarball)?;
        }
        Ok(true)
    }

    /// The gate, with a token that is good for a while.
    async fn gate(&self) -> anyhow::Result<Gate> {
        let mut renewed = self.gate.lock().await;
        if SystemClock.now() >= renewed.renew_at {
            *renewed = Renewed::of(&self.bundle.prepare().await?, &self.bundle.remote)?;
        }
        Ok(renewed.gate.clone())
    }
}
