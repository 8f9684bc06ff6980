//! The people of the demo, each with the credential that is theirs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, bail, ensure};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::samples::{Sample, VERSION, integrity};

/// The vendor: an operator at the control plane and a publisher at the gate.
pub(super) struct Vendor {
    pub(super) client: Client,
    pub(super) control_plane: String,
    pub(super) gate: String,
    pub(super) operator_token: SecretString,
}

impl Vendor {
    /// Publishes the samples and returns how many were new.
    pub(super) async fn publish(&self, samples: &[Sample]) -> anyhow::Result<usize> {
        let body = json!({ "kind": "publisher", "name": "demo" });
        let credential = self.post("/v1/credentials", &body).await?;
        let secret = text(&credential, "secret")?;
        let mut new = 0;
        for sample in samples {
            let response = self
                .client
                .put(format!("{}/{}", self.gate, sample.name))
                .bearer_auth(secret)
                .json(&sample.publish_document(&self.gate))
                .send()
                .await?;
            match response.status() {
                status if status.is_success() => new += 1,
                StatusCode::CONFLICT => {}
                _ => bail!(
                    "publishing {} failed: {}",
                    sample.name,
                    describe(response).await
                ),
            }
        }
        Ok(new)
    }

    /// Issues a license and returns its key.
    pub(super) async fn issue_license(&self, customer: &str, tier: &str) -> anyhow::Result<String> {
        let body = json!({ "customerId": customer, "tier": tier });
        Ok(text(&self.post("/v1/licenses", &body).await?, "key")?.to_owned())
    }

    /// Activates a key, as the customer's box does.
    pub(super) async fn activate(&self, name: &str, key: &str) -> anyhow::Result<Activation> {
        let body =
            json!({ "key": key, "box": { "fingerprint": format!("demo-{name}"), "name": name } });
        let url = format!("{}/v1/activate", self.control_plane);
        let response = self.client.post(url).json(&body).send().await?;
        ensure!(
            response.status() == StatusCode::OK,
            "activation: {}",
            describe(response).await
        );
        Ok(response.json().await?)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let response = self
            .client
            .post(format!("{}{path}", self.control_plane))
            .bearer_auth(self.operator_token.expose_secret())
            .json(body)
            .send()
            .await?;
        ensure!(
            response.status() == StatusCode::CREATED,
            "{path}: {}",
            describe(response).await
        );
        Ok(response.json().await?)
    }
}

/// What an activation answers, as far as a box needs it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Activation {
    pub(super) token: String,
    pub(super) expires_in: i64,
    pub(super) packages: Vec<String>,
    registry_url: String,
}

/// A customer's installation, which knows its activation and nothing else.
pub(super) struct Box_ {
    pub(super) client: Client,
    pub(super) activation: Activation,
}

impl Box_ {
    /// Downloads a package and everything it depends on, and checks each tarball.
    pub(super) async fn download_closure(&self, package: &str) -> anyhow::Result<Vec<String>> {
        let mut seen = BTreeSet::from([package.to_owned()]);
        let mut waiting = VecDeque::from([package.to_owned()]);
        while let Some(name) = waiting.pop_front() {
            let packument: Packument = self.fetch(&name).await?.json().await?;
            let version = packument
                .latest()
                .with_context(|| format!("{name} has no version"))?;
            let tarball = self.fetch_url(&version.dist.tarball).await?.bytes().await?;
            ensure!(
                integrity(&tarball) == version.dist.integrity,
                "the tarball of {name} is not what its metadata says"
            );
            for dependency in version.dependencies.keys() {
                if seen.insert(dependency.clone()) {
                    waiting.push_back(dependency.clone());
                }
            }
        }
        Ok(seen.into_iter().collect())
    }

    /// Asks for something and returns the status and the gate's sentence.
    pub(super) async fn refusal(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let response = self.get(&self.url(path)).await?;
        let status = response.status().as_u16();
        let body: GateError = response.json().await?;
        Ok((status, body.error))
    }

    /// The lines that point npm to the gate for one scope.
    pub(super) fn npmrc(&self, scope: &str) -> String {
        let registry = self.url("");
        let host = registry.split_once("//").map_or("", |(_, host)| host);
        format!(
            "{scope}:registry={registry}\n//{host}:_authToken={}\n",
            self.activation.token
        )
    }

    fn url(&self, path: &str) -> String {
        format!(
            "{}/{path}",
            self.activation.registry_url.trim_end_matches('/')
        )
    }

    async fn fetch(&self, path: &str) -> anyhow::Result<Response> {
        self.fetch_url(&self.url(path)).await
    }

    async fn fetch_url(&self, url: &str) -> anyhow::Result<Response> {
        let response = self.get(url).await?;
        ensure!(
            response.status() == StatusCode::OK,
            "{url}: {}",
            describe(response).await
        );
        Ok(response)
    }

    async fn get(&self, url: &str) -> anyhow::Result<Response> {
        Ok(self
            .client
            .get(url)
            .bearer_auth(&self.activation.token)
            .send()
            .await?)
    }
}

/// A package's metadata, as far as an installation needs it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Packument {
    dist_tags: BTreeMap<String, String>,
    versions: BTreeMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    tarball: String,
    integrity: String,
}

impl Packument {
    fn latest(&self) -> Option<&Version> {
        self.versions.get(self.dist_tags.get("latest")?)
    }
}

/// What the gate says where it refuses.
#[derive(Deserialize)]
struct GateError {
    error: String,
}

/// Where a sample's tarball is.
pub(super) fn tarball_path(package: &str) -> String {
    let base = package.rsplit('/').next().unwrap_or(package);
    format!("{package}/-/{base}-{VERSION}.tgz")
}

fn text<'v>(value: &'v Value, member: &str) -> anyhow::Result<&'v str> {
    value
        .get(member)
        .and_then(Value::as_str)
        .with_context(|| format!("the answer has no `{member}`"))
}

async fn describe(response: Response) -> String {
    let status = response.status();
    format!("{status} {}", response.text().await.unwrap_or_default())
}
