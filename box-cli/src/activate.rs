//! Exchange the license key for a token and lay it where npm finds it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use manifest::PackageName;
use serde::Deserialize;
use serde_json::json;
use terminal::private_file;
use url::Url;

use crate::npmrc;

/// What an activation answers, as far as a box needs it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// The activation token.
    pub token: String,
    /// How long it is good, in seconds.
    pub expires_in: u64,
    /// The tier.
    pub tier: String,
    /// What may be installed.
    pub packages: Vec<PackageName>,
    /// Where it is installed from.
    pub registry_url: Url,
}

/// Asks the control plane for an activation. Its refusal becomes the error.
pub async fn activate(
    control_plane: &Url,
    key: &str,
    fingerprint: &str,
) -> anyhow::Result<Activation> {
    let url = format!(
        "{}/v1/activate",
        control_plane.as_str().trim_end_matches('/')
    );
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(30))
        .build()?;
    let body = json!({ "key": key, "box": { "fingerprint": fingerprint } });
    let response = client
        .post(&url)
        .json(&body)
        .send()
        .await
        .with_context(|| format!("cannot reach the control plane at {control_plane}"))?;
    let status = response.status();
    let text = response.text().await?;
    if !status.is_success() {
        #[derive(Deserialize)]
        struct Problem {
            detail: String,
        }
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => bail!("{}", problem.detail),
            Err(_) => bail!("{control_plane} answered {status}; is it a Tollgate control plane?"),
        }
    }
    serde_json::from_str(&text).context("the control plane's answer cannot be read")
}

/// This box's fingerprint: random, made once, kept in the project. It says nothing about the
/// machine or its people.
pub fn fingerprint(project: &Path) -> anyhow::Result<String> {
    let dir = project.join(".box");
    let path = dir.join("fingerprint");
    let kept = private_file::read(&path)?.unwrap_or_default();
    if !kept.trim().is_empty() {
        return Ok(kept.trim().to_owned());
    }
    let mut random = [0; 16];
    #[expect(
        clippy::disallowed_methods,
        reason = "the one random value a box makes"
    )]
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let fingerprint = HEXLOWER.encode(&random);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    private_file::write(&path, &format!("{fingerprint}\n"))?;
    Ok(fingerprint)
}

/// Points npm to the gate for the scopes that the activation covers.
pub fn write_npmrc(project: &Path, activation: &Activation) -> anyhow::Result<()> {
    let registry = activation.registry_url.as_str();
    let registry = format!("{}/", registry.trim_end_matches('/'));
    let place = registry.split_once(':').map_or("", |(_, place)| place);
    let scopes: BTreeSet<&str> = activation
        .packages
        .iter()
        .filter_map(PackageName::scope)
        .collect();
    let mut pairs: Vec<(String, String)> = scopes
        .iter()
        .map(|scope| (format!("{scope}:registry"), registry.clone()))
        .collect();
    pairs.push((format!("{place}:_authToken"), activation.token.clone()));
    let path = project.join(".npmrc");
    let text = private_file::read(&path)?.unwrap_or_default();
    private_file::write(&path, &npmrc::set(&text, &pairs))
}
