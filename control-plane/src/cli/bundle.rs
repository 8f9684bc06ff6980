//! `tollgate bundle`: all packages of a license in one signed file, for a gate without a network.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use activation_token::clock::{Clock, SystemClock};
use anyhow::{Context, bail};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use registry_gate::bundle::{Layout, Wanted};
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use terminal::output::{print, print_json, say};
use terminal::{Exit, Failure, progress};
use url::Url;

use super::remote::{Remote, escaped};
use super::when::When;

/// So many files are read from the gate at a time.
const READS_AT_ONCE: usize = 4;
/// The longest package document and tarball, in bytes.
const BYTES_MAX: usize = 256 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_mins(15);

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
    registry_url: Url,
}

/// The gate, as this license's packages are read from it.
struct Gate<'b> {
    bundle: &'b Bundle,
    client: Client,
    url: String,
    token: tokio::sync::Mutex<Token>,
}

/// A token, and when it is to be replaced.
struct Token {
    secret: SecretString,
    renew_at: Timestamp,
}

impl Bundle {
    /// Makes it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let source = self.prepare().await?;
        let (layout, missing) = self.gather(&source).await?;
        let contents = layout.contents()?;
        let path = format!("/v1/licenses/{}/bundles", escaped(&self.license));
        let body = json!({
            "contentsSha256": Layout::contents_sha256(&contents),
            "expiresAt": self.expires_at.map(|When(at)| at),
        });
        let signed = self.remote.write(Method::POST, &path, Some(body)).await?;
        let head = signed.pointer("/head").and_then(Value::as_str);
        let head = head.context("the answer has no `head`")?;
        let root_key = signed
            .pointer("/rootKey")
            .context("the answer has no `rootKey`")?;
        let bytes = write_whole(&self.output, |to| {
            Ok(layout.pack(&root_key.to_string(), head, &contents, to)?)
        })?;
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
        let beside = beside(&self.output, "parts");
        let layout = Layout::new(&beside)?;
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()?;
        let gate = Gate {
            bundle: self,
            client,
            url: source
                .registry_url
                .as_str()
                .trim_end_matches('/')
                .to_owned(),
            token: tokio::sync::Mutex::new(Token::of(source)),
        };
        let all = u64::try_from(source.packages.len()).unwrap_or(u64::MAX);
        let bar = progress::bar("reading packages", all);
        let missing = stream::iter(&source.packages)
            .map(|name| async {
                let found = gate.package(name, &layout).await;
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

impl Token {
    fn of(source: &Source) -> Self {
        let half = SignedDuration::from_secs(source.expires_in / 2);
        let now = SystemClock.now();
        Self {
            secret: SecretString::from(source.token.as_str()),
            renew_at: now.saturating_add(half).unwrap_or(now),
        }
    }
}

impl Gate<'_> {
    /// Lays out a package, if there is one of that name.
    async fn package(&self, name: &PackageName, layout: &Layout) -> anyhow::Result<bool> {
        let url = format!("{}/{}", self.url, name.as_str().replace('/', "%2f"));
        let Some(document) = self.read(&url).await? else {
            return Ok(false);
        };
        let wanted = Layout::wanted(name, &document)?.into_iter();
        let wanted = wanted.filter(|wanted| wanted.is_tagged || !self.bundle.tagged_only);
        stream::iter(wanted.map(Ok))
            .try_for_each(|wanted| self.release(wanted, layout))
            .await?;
        Ok(true)
    }

    async fn release(&self, wanted: Wanted, layout: &Layout) -> anyhow::Result<()> {
        let url = &wanted.tarball_url;
        // The token is for this gate alone.
        if !url.starts_with(&format!("{}/", self.url)) {
            bail!("the gate at {} names a tarball elsewhere: {url}", self.url);
        }
        let tarball = self.read(url).await?;
        let tarball = tarball.with_context(|| format!("{url} is not there"))?;
        layout.add(&wanted, &tarball)?;
        Ok(())
    }

    /// The bytes at an address; none where there is nothing.
    async fn read(&self, url: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let token = self.token().await?;
        let request = self.client.get(url).bearer_auth(token.expose_secret());
        let unreachable = |error: reqwest::Error| {
            Failure::new(Exit::Unreachable, format!("cannot read {url}: {error}"))
        };
        let mut response = request
            .header("accept", "application/json")
            .send()
            .await
            .map_err(|error| unreachable(error.without_url()))?;
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            status if !status.is_success() => {
                let text = response.text().await.unwrap_or_default();
                let told: Option<Value> = serde_json::from_str(&text).ok();
                let told = told.as_ref().and_then(|told| told.pointer("/error"));
                let told = told.and_then(Value::as_str).unwrap_or_default();
                let exit = if status.is_server_error() {
                    Exit::Unreachable
                } else {
                    Exit::Refused
                };
                let text = format!("the gate answered {status} for {url}: {told}");
                return Err(Failure::new(exit, text).into());
            }
            _ => {}
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| unreachable(error.without_url()))?
        {
            if bytes.len() + piece.len() > BYTES_MAX {
                bail!("{url} is longer than {BYTES_MAX} bytes");
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }

    /// A token that is good for a while: many packages may take longer than one lives.
    async fn token(&self) -> anyhow::Result<SecretString> {
        let mut token = self.token.lock().await;
        if SystemClock.now() >= token.renew_at {
            *token = Token::of(&self.bundle.prepare().await?);
        }
        Ok(token.secret.clone())
    }
}

/// Writes a file beside, and puts it in place when it is whole. Returns its length in bytes.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let beside = beside(path, "new");
    let replace = || -> anyhow::Result<u64> {
        let mut to = BufWriter::new(File::create(&beside)?);
        write(&mut to)?;
        let file = to
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        Ok(file.metadata()?.len())
    };
    let written = replace();
    if written.is_err() {
        // A full disk would stay full.
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{ending}", std::process::id()))
}
