//! A download, as boxes do it, but with a publisher's token: no box and no seat is taken.

use anyhow::Context;
use manifest::PackageName;
use registry_gate::Packed;
use registry_gate::server::stop_signal;
use serde::Deserialize;
use terminal::ControlPlane;
use terminal::checks::Check;

use super::Manifest;
use crate::cli::gate::NEWS_TIMEOUT;
use crate::cli::publish::publisher::Publisher;
use crate::cli::publish::until;
use crate::cli::remote::Remote;

const NAME: &str = "download";

#[derive(Deserialize)]
struct Packages {
    packages: Vec<PackageName>,
}

pub(super) async fn look(
    remote: &Remote,
    control_plane: &ControlPlane,
    manifest: &Manifest,
) -> Check {
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => return Check::skipped(NAME, format!("cannot wait for signals: {error}")),
    };
    let made = Publisher::make(control_plane, "tollgate doctor").await;
    let publisher = match made {
        Ok(publisher) => publisher,
        Err(error) => return Check::skipped(NAME, format!("{:#}", error.root_cause())),
    };
    let done = until(stop, download(remote, control_plane, manifest, &publisher)).await;
    let revoked = publisher.revoke().await;
    match done.and_then(|seen| revoked.map(|()| seen)) {
        Ok(Some(seen)) => Check::ok(NAME, seen),
        Ok(None) => Check::warning(
            NAME,
            "nothing of the lowest tier is published",
            "publish it: `tollgate publish FOLDER`",
        ),
        Err(error) => Check::failed(
            NAME,
            format!("{error:#}"),
            "boxes cannot install: the gate's log says more",
        ),
    }
}

/// Downloads the first package of the lowest tier that is there.
async fn download(
    remote: &Remote,
    control_plane: &ControlPlane,
    manifest: &Manifest,
    publisher: &Publisher<'_>,
) -> anyhow::Result<Option<String>> {
    let url = manifest.registry_url.clone();
    let url = url.context("the server does not tell where the gate is")?;
    let gate = remote.gate(url, publisher.token.clone())?;
    gate.knows_token(NEWS_TIMEOUT).await?;
    let tier = manifest.tiers.first().context("there is no tier")?;
    let path = format!("/v1/tiers/{}/packages", tier.name);
    let all: Packages = control_plane.get(&path).await?;
    for name in &all.packages {
        let versions = gate.versions(name).await?;
        let Some((version, integrity)) = versions.last_key_value() else {
            continue;
        };
        let bytes = gate.tarball(name, version).await?;
        let packed = Packed::read(&bytes)?;
        let found = packed
            .manifest
            .get("dist")
            .and_then(|dist| dist.get("integrity"));
        anyhow::ensure!(
            found.and_then(|found| found.as_str()) == Some(integrity),
            "the tarball of {name} {version} is not what its document says"
        );
        let size = bytes.len();
        return Ok(Some(format!(
            "{name} {version}, {size} bytes, as its hash says"
        )));
    }
    Ok(None)
}
