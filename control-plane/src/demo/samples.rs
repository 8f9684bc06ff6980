//! Small packages with the names and dependencies of a manifest, as npm would publish them.

use data_encoding::{BASE64, HEXLOWER};
use flate2::Compression;
use flate2::write::GzEncoder;
use manifest::{PackageName, TierSets};
use serde_json::{Map, Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha512};

/// The version of every sample.
pub const VERSION: &str = "1.0.0";

/// A package that can be published.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its name.
    pub name: PackageName,
    package_json: Value,
    tarball: Vec<u8>,
}

/// One sample for each package that the manifest declares.
pub fn all(tiers: &TierSets) -> std::io::Result<Vec<Sample>> {
    tiers
        .packages()
        .map(|package| sample(package.name(), package.requires()))
        .collect()
}

fn sample<'a>(
    name: &PackageName,
    requires: impl Iterator<Item = &'a PackageName>,
) -> std::io::Result<Sample> {
    let dependencies: Map<String, Value> = requires
        .map(|name| (name.to_string(), json!(format!("^{VERSION}"))))
        .collect();
    let package_json = json!({
        "name": name,
        "version": VERSION,
        "description": format!("A sample of {name}"),
        "license": "UNLICENSED",
        "main": "index.js",
        "dependencies": dependencies,
    });
    let tarball = tarball(&[
        ("package/package.json", package_json.to_string().as_bytes()),
        (
            "package/index.js",
            format!("module.exports = '{name}';\n").as_bytes(),
        ),
    ])?;
    Ok(Sample {
        name: name.clone(),
        package_json,
        tarball,
    })
}

/// A gzipped tar archive of the given files, the same bytes each time.
fn tarball(files: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, *content)?;
    }
    archive.into_inner()?.finish()
}

impl Sample {
    /// The document that `npm publish` would send for it.
    pub fn publish_document(&self, gate_url: &str) -> Value {
        let name = self.name.as_str();
        let file = format!("{}-{VERSION}.tgz", self.name.base());
        let mut version = self.package_json.clone();
        if let Some(version) = version.as_object_mut() {
            version.insert("_id".into(), json!(format!("{name}@{VERSION}")));
            version.insert(
                "dist".into(),
                json!({
                    "integrity": integrity(&self.tarball),
                    "shasum": HEXLOWER.encode(&Sha1::digest(&self.tarball)),
                    "tarball": format!("{gate_url}/{name}/-/{file}"),
                }),
            );
        }
        json!({
            "_id": name,
            "name": name,
            "description": self.package_json.get("description"),
            "dist-tags": { "latest": VERSION },
            "versions": { VERSION: version },
            "access": null,
            "_attachments": {
                format!("{name}-{VERSION}.tgz"): {
                    "content_type": "application/octet-stream",
                    "data": BASE64.encode(&self.tarball),
                    "length": self.tarball.len(),
                }
            },
        })
    }
}

/// What npm checks a download by.
pub fn integrity(bytes: &[u8]) -> String {
    format!("sha512-{}", BASE64.encode(&Sha512::digest(bytes)))
}
