//! `tollgate publish`: tarballs to the gate. All are checked before the first is sent.

mod plan;
pub(super) mod publisher;
mod report;
mod tarballs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use registry_gate::server::stop_signal;
use secrecy::SecretString;
use semver::Version;
use serde::Deserialize;
use terminal::output::say;
use terminal::{Exit, Failure, progress};
use url::Url;

use super::gate::{self, Gate, Sent, Versions};
use super::remote::Remote;
use crate::settings::secret;
use publisher::Publisher;
use report::{Outcome, Report, Row};
use tarballs::{Bad, Tarball};

/// What `tollgate publish` takes.
#[derive(Debug, Args)]
pub struct Publish {
    /// Tarballs, and folders that are searched for `*.tgz`
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The dist-tag for the highest of each package's new versions
    ///
    /// `latest` never goes back, and to a prerelease only where there is no stable version; any
    /// other tag goes where it is sent. The other versions take no tag.
    #[arg(long, value_name = "TAG", default_value = plan::LATEST, value_parser = tag)]
    tag: String,
    /// The gate [default: what the control plane tells boxes]
    #[arg(long, value_name = "URL")]
    gate: Option<Url>,
    /// A file with a publisher token [default: one is made for this run, and revoked]
    ///
    /// The token itself may stand in `TOLLGATE_PUBLISHER_TOKEN`. With it and `--gate`, no operator
    /// token is needed; the manifest is then not looked at.
    #[arg(long, value_name = "FILE", env = "TOLLGATE_PUBLISHER_TOKEN_FILE")]
    publisher_token_file: Option<PathBuf>,
    /// Check everything and send nothing; the gate is asked where a publisher token is given
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What the control plane tells of the manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    scope: String,
    registry_url: Option<Url>,
}

#[derive(Deserialize)]
struct Packages {
    packages: BTreeSet<String>,
}

impl Publish {
    /// Checks, sends, and says what became of each.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut report = Report::default();
        let ended = self.publish(&mut report).await;
        if !report.tarballs.is_empty() {
            report.print(self.remote.json)?;
        }
        ended?;
        let refused = report.count(Outcome::Refused);
        if refused > 0 {
            let text = format!("the gate does not have {refused} of these versions");
            return Err(Failure::new(Exit::Refused, text).into());
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn publish(&self, report: &mut Report) -> anyhow::Result<()> {
        let files = tarballs::find(&self.paths)?;
        if files.is_empty() {
            let failure = Failure::new(Exit::Failed, "there are no tarballs")
                .hint("`npm pack --pack-destination DIR` makes one of the package in this folder");
            return Err(failure.into());
        }
        let (mut good, mut bad) = tarballs::check(files);
        let token = self.given_token()?;
        let control_plane = match self.remote.control_plane() {
            Ok(control_plane) => Some(control_plane),
            Err(_) if self.gate.is_some() && token.is_some() => None,
            Err(error) => return Err(error),
        };
        let mut url = self.gate.clone();
        if let Some(control_plane) = &control_plane {
            let manifest: Manifest = control_plane.get("/v1/manifest").await?;
            let all: Packages = control_plane.get("/v1/manifest/packages").await?;
            let (known, unknown) = tarballs::check_names(good, &manifest.scope, &all.packages);
            good = known;
            bad.extend(unknown);
            url = url.or(manifest.registry_url);
        }
        let url =
            url.context("the control plane does not tell where its gate is\n  hint: `--gate URL`")?;
        report.gate = Some(url.as_str().trim_end_matches('/').to_owned());
        let good = plan::order(good);
        report.tarballs = good.iter().map(Row::of).collect();
        unless_bad(report, &bad)?;
        // From here on nobody ends it before it has tidied up.
        let stop = stop_signal().context("cannot wait for signals")?;
        match (token, control_plane) {
            (Some(token), _) => {
                let gate = self.remote.gate(url, token)?;
                let sending = self.send(&gate, gate::GIVEN_TIMEOUT, &good, report);
                until(stop, sending).await
            }
            (None, _) if self.dry_run => {
                self.plan(report, &good, &BTreeMap::new())?;
                say("no publisher token is given, so the gate was not asked what it has")
            }
            (None, Some(control_plane)) => {
                let publisher = Publisher::make(&control_plane, "tollgate publish").await?;
                let ended = match self.remote.gate(url, publisher.token.clone()) {
                    Ok(gate) => {
                        let sending = self.send(&gate, gate::NEWS_TIMEOUT, &good, report);
                        until(stop, sending).await
                    }
                    Err(error) => Err(error),
                };
                publisher.revoke().await?;
                ended
            }
            (None, None) => Ok(()),
        }
    }

    fn given_token(&self) -> anyhow::Result<Option<SecretString>> {
        let Some(file) = &self.publisher_token_file else {
            return Ok(secret("TOLLGATE_PUBLISHER_TOKEN"));
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the token file `{}`", file.display()))?;
        Ok(Some(SecretString::from(text.trim())))
    }

    /// Looks what the gate has, and sends what it lacks.
    async fn send(
        &self,
        gate: &Gate,
        patience: Duration,
        tarballs: &[Tarball],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let there = look(gate, patience, tarballs).await?;
        self.plan(report, tarballs, &there)?;
        if self.dry_run {
            return Ok(());
        }
        let count = report.count(Outcome::Planned);
        for row in &mut report.tarballs {
            if row.outcome == Outcome::Planned {
                row.outcome = Outcome::NotSent;
            }
        }
        let bar = progress::bar("publishing", count as u64);
        let mut refused: BTreeSet<&str> = BTreeSet::new();
        for (tarball, row) in tarballs.iter().zip(&mut report.tarballs) {
            if row.outcome != Outcome::NotSent {
                continue;
            }
            bar.now(format!("{} {}", tarball.name, tarball.version));
            let lacking = |name: &&String| refused.contains(name.as_str());
            if let Some(name) = tarball.requires.iter().find(lacking) {
                let why = format!("it requires {name}, which was refused");
                row.is(Outcome::NotSent, why);
                refused.insert(tarball.name.as_str());
            } else {
                // Until the answer is there.
                row.outcome = Outcome::Unknown;
                let (outcome, why) = match send_one(gate, tarball, row.tag.as_deref()).await {
                    Ok(done) => done,
                    Err(error) => {
                        if is_answered(&error) {
                            row.outcome = Outcome::NotSent;
                        }
                        return Err(error);
                    }
                };
                row.is(outcome, why);
                if outcome == Outcome::Refused {
                    refused.insert(tarball.name.as_str());
                }
            }
            bar.step();
        }
        Ok(())
    }

    /// Puts down what is to be done with each, beside what the gate has. Fails when it has one
    /// with other bytes.
    fn plan(
        &self,
        report: &mut Report,
        tarballs: &[Tarball],
        there: &BTreeMap<&str, Versions>,
    ) -> anyhow::Result<()> {
        let of = |tarball: &Tarball| there.get(tarball.name.as_str());
        let mut new: BTreeMap<&str, BTreeSet<&Version>> = BTreeMap::new();
        let mut bad = false;
        for (tarball, row) in tarballs.iter().zip(&mut report.tarballs) {
            match of(tarball).and_then(|versions| versions.get(&tarball.version)) {
                None => {
                    let versions = new.entry(tarball.name.as_str()).or_default();
                    versions.insert(&tarball.version);
                    row.outcome = Outcome::Planned;
                }
                Some(integrity) if *integrity == tarball.integrity => {
                    row.outcome = Outcome::Present;
                }
                Some(_) => {
                    row.is(Outcome::Refused, OTHER_BYTES.to_owned());
                    bad = true;
                }
            }
        }
        if bad {
            for row in &mut report.tarballs {
                if row.outcome == Outcome::Planned {
                    row.outcome = Outcome::NotSent;
                }
            }
            return Err(nothing_published(report, Exit::Refused));
        }
        for (tarball, row) in tarballs.iter().zip(&mut report.tarballs) {
            let Some(new) = new.get(tarball.name.as_str()) else {
                continue;
            };
            let there = of(tarball).into_iter().flat_map(BTreeMap::keys);
            let tagged = plan::tagged(&self.tag, new, &there.cloned().collect());
            if row.outcome == Outcome::Planned && tagged == Some(&tarball.version) {
                row.tag = Some(self.tag.clone());
            }
        }
        Ok(())
    }
}

/// Does the work, unless somebody ends it on the way.
pub(super) async fn until<T>(
    stop: impl Future<Output = ()>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        ended = work => ended,
        () = stop => Err(Failure::new(Exit::Interrupted, "interrupted")
            .hint("the same command goes on where it ended")
            .into()),
    }
}

const OTHER_BYTES: &str = "the gate has this version with other bytes";

/// What the gate has of each package.
async fn look<'t>(
    gate: &Gate,
    patience: Duration,
    tarballs: &'t [Tarball],
) -> anyhow::Result<BTreeMap<&'t str, Versions>> {
    let waiting = progress::spinner("asking the gate what it has");
    gate.knows_token(patience).await?;
    let mut there = BTreeMap::new();
    for tarball in tarballs {
        if !there.contains_key(tarball.name.as_str()) {
            waiting.now(format!("asking the gate for {}", tarball.name));
            there.insert(tarball.name.as_str(), gate.versions(&tarball.name).await?);
        }
    }
    Ok(there)
}

/// Sends one, read anew: what was checked is what is sent.
async fn send_one(
    gate: &Gate,
    tarball: &Tarball,
    tag: Option<&str>,
) -> anyhow::Result<(Outcome, Option<String>)> {
    let (file, integrity) = (tarball.file.clone(), tarball.integrity.clone());
    let (tag, url) = (tag.map(ToOwned::to_owned), gate.url().to_owned());
    let made = tokio::task::spawn_blocking(move || {
        let (now, packed, bytes) = tarballs::read(&file)?;
        if now.integrity != integrity {
            anyhow::bail!("has changed since it was checked");
        }
        let document = tarballs::document(packed, &bytes, tag.as_deref(), &url);
        Ok(serde_json::to_vec(&document)?)
    });
    let document = match made.await? {
        Ok(document) => document,
        Err(error) => return Ok((Outcome::Refused, Some(format!("{error:#}")))),
    };
    match gate.publish(&tarball.name, document).await? {
        Sent::Published => Ok((Outcome::Published, None)),
        Sent::Refused(why) => Ok((Outcome::Refused, Some(why))),
        // Somebody else's, or ours whose answer got lost.
        Sent::Exists(why) => match gate.versions(&tarball.name).await?.get(&tarball.version) {
            Some(there) if *there == tarball.integrity => Ok((Outcome::Published, None)),
            Some(_) => Ok((Outcome::Refused, Some(OTHER_BYTES.to_owned()))),
            None => Ok((Outcome::Refused, Some(why))),
        },
    }
}

/// Whether the gate said no, rather than nothing.
fn is_answered(error: &anyhow::Error) -> bool {
    let failure = error.downcast_ref::<Failure>();
    failure.is_some_and(|failure| failure.exit != Exit::Unreachable)
}

fn unless_bad(report: &mut Report, bad: &[Bad]) -> anyhow::Result<()> {
    match report.note_bad(bad) {
        None => Ok(()),
        Some(exit) => Err(nothing_published(report, exit)),
    }
}

fn nothing_published(report: &Report, exit: Exit) -> anyhow::Error {
    let (bad, all) = (report.count(Outcome::Refused), report.tarballs.len());
    let text = format!("nothing was published: {bad} of {all} tarballs cannot be");
    Failure::new(exit, text).into()
}

fn tag(text: &str) -> Result<String, String> {
    let checked = registry_gate::check_tag(text).map_err(|error| error.to_string());
    checked.map(|()| text.to_owned())
}
