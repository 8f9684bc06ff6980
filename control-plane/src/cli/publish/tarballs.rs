//! The tarballs that are to be published: found, read whole, and checked as the gate will.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use manifest::PackageName;
use registry_gate::Packed;
use semver::Version;
use serde_json::Value;
use terminal::Exit;

/// No tarball is larger: a gate takes far less.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The members of a `package.json` that name what a package requires.
const REQUIREMENTS: [&str; 3] = ["dependencies", "optionalDependencies", "peerDependencies"];

/// A tarball that the gate could take.
#[derive(Debug, Clone)]
pub(super) struct Tarball {
    pub(super) file: PathBuf,
    pub(super) name: PackageName,
    pub(super) version: Version,
    /// By which the gate knows its bytes.
    pub(super) integrity: String,
    /// The packages that it requires.
    pub(super) requires: BTreeSet<String>,
}

/// A file that cannot be published, and why.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) file: PathBuf,
    pub(super) why: String,
    pub(super) exit: Exit,
}

/// The files: those that are named, and all `*.tgz` in folders that are named and below. What
/// is hidden or in `node_modules` is not looked at, and links to folders are not followed.
pub(super) fn find(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let cannot = || format!("cannot read `{}`", path.display());
        if fs::metadata(path).with_context(cannot)?.is_dir() {
            search(path, &mut found).with_context(cannot)?;
        } else {
            found.push(path.clone());
        }
    }
    // Named twice, or named and found.
    let mut seen = BTreeSet::new();
    found.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    Ok(found)
}

fn search(dir: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<fs::DirEntry> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if hidden || name == "node_modules" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            search(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "tgz") {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads every file, and sorts out what cannot be published whatever the gate has.
pub(super) fn check(files: Vec<PathBuf>) -> (Vec<Tarball>, Vec<Bad>) {
    let (mut good, mut bad): (Vec<Tarball>, _) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<(PackageName, Version), PathBuf> = BTreeMap::new();
    for file in files {
        let (tarball, why) = match read(&file) {
            Ok((tarball, ..)) => (Some(tarball), None),
            Err(why) => (None, Some(format!("{why:#}"))),
        };
        let twin = tarball.as_ref().and_then(|tarball| {
            let id = (tarball.name.clone(), tarball.version.clone());
            let before = seen.insert(id, file.clone())?;
            Some(format!("is the same version as `{}`", before.display()))
        });
        match (tarball, why.or(twin)) {
            (_, Some(why)) => bad.push(Bad {
                file,
                why,
                exit: Exit::Failed,
            }),
            (tarball, None) => good.extend(tarball),
        }
    }
    (good, bad)
}

/// Reads a tarball; its bytes and its whole manifest are for who sends it.
pub(super) fn read(file: &Path) -> anyhow::Result<(Tarball, Packed, Vec<u8>)> {
    let size = fs::metadata(file).context("cannot be read")?.len();
    anyhow::ensure!(size <= FILE_BYTES_MAX, "is over {FILE_BYTES_MAX} bytes");
    let bytes = fs::read(file).context("cannot be read")?;
    let packed = Packed::read(&bytes)?;
    let text = |at: &str| packed.manifest.get("dist")?.get(at)?.as_str();
    let integrity = text("integrity").unwrap_or_default().to_owned();
    let requires = REQUIREMENTS
        .iter()
        .filter_map(|member| packed.manifest.get(*member)?.as_object())
        .flat_map(|members| members.keys().cloned())
        .collect();
    let tarball = Tarball {
        file: file.to_owned(),
        name: packed.name.clone(),
        version: packed.version.clone(),
        integrity,
        requires,
    };
    Ok((tarball, packed, bytes))
}

/// Sorts out what the manifest does not know: no license could ever name it.
pub(super) fn check_names(
    tarballs: Vec<Tarball>,
    scope: &str,
    known: &BTreeSet<String>,
) -> (Vec<Tarball>, Vec<Bad>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for tarball in tarballs {
        let name = &tarball.name;
        let why = if name.scope() != Some(scope) {
            format!("{name} is not in the scope {scope} that the gate serves")
        } else if known.contains(name.as_str()) {
            good.push(tarball);
            continue;
        } else {
            format!("{name} is not in the manifest: declare it in tiers.toml first")
        };
        bad.push(Bad {
            file: tarball.file,
            why,
            exit: Exit::Refused,
        });
    }
    (good, bad)
}

/// The document that `npm publish` sends.
pub(super) fn document(packed: Packed, bytes: &[u8], tag: Option<&str>, gate: &str) -> Value {
    let (name, version) = (packed.name, packed.version.to_string());
    let mut manifest = packed.manifest;
    let file = format!("{}-{version}.tgz", name.base());
    if let Some(dist) = manifest.get_mut("dist").and_then(Value::as_object_mut) {
        dist.insert("tarball".into(), format!("{gate}/{name}/-/{file}").into());
    }
    if let Some((file, text)) = packed.readme {
        manifest.insert("readmeFilename".into(), file.into());
        manifest.insert("readme".into(), text.into());
    }
    let tags: serde_json::Map<String, Value> = tag
        .map(|tag| (tag.to_owned(), Value::from(version.clone())))
        .into_iter()
        .collect();
    let attachment = serde_json::json!({
        "content_type": "application/octet-stream",
        "data": data_encoding::BASE64.encode(bytes),
        "length": bytes.len(),
    });
    serde_json::json!({
        "_id": &name,
        "name": &name,
        "description": manifest.get("description"),
        "dist-tags": tags,
        "access": null,
        "_attachments": { (format!("{name}-{version}.tgz")): attachment },
        "versions": { (version): manifest },
    })
}
