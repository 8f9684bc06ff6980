//! Making a bundle: files are laid out as the store has them, listed, and packed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use manifest::PackageName;
use semver::Version;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{BundleError, CONTENTS, Contents, File, HEAD, ROOT_KEY};
use crate::archive::Readme;
use crate::integrity::Integrity;
use crate::store::{self, Record};
use crate::tag::Tag;

/// Who published what is in a bundle, as far as its gate knows.
const PUBLISHED_BY: &str = "bundle";

/// A folder in which a bundle is laid out. It goes away with this value.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    /// What is in it, by path.
    files: Mutex<BTreeMap<String, File>>,
}

/// A release that goes into a bundle once its tarball is there.
#[derive(Debug)]
pub struct Wanted {
    name: PackageName,
    version: Version,
    /// Where its tarball is.
    pub tarball_url: String,
    /// Whether a dist-tag points to it.
    pub is_tagged: bool,
    integrity: Integrity,
    record: Record,
}

/// A package document, as far as a bundle needs it.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "dist-tags", default)]
    tags: BTreeMap<Tag, Version>,
    versions: BTreeMap<Version, Box<RawValue>>,
    #[serde(default)]
    time: BTreeMap<String, Timestamp>,
    #[serde(default)]
    readme: String,
    #[serde(rename = "readmeFilename", default)]
    readme_file: String,
}

/// What is read of a release's manifest.
#[derive(Deserialize)]
struct Manifest {
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    tarball: String,
    integrity: Option<String>,
    shasum: Option<String>,
}

impl Layout {
    /// A new, empty folder, its owner's alone. What a run that was killed left there goes.
    pub fn new(dir: &Path) -> Result<Self, BundleError> {
        let make = || {
            match fs::remove_dir_all(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            DirBuilder::new().mode(0o700).create(dir)
        };
        make().map_err(|error| BundleError::file("make", dir, error))?;
        Ok(Self {
            dir: dir.to_owned(),
            files: Mutex::default(),
        })
    }

    /// The releases that a package's full document names.
    pub fn wanted(name: &PackageName, document: &[u8]) -> Result<Vec<Wanted>, BundleError> {
        let bad = |why: String| BundleError::Document {
            name: name.clone(),
            why,
        };
        let document: Document =
            serde_json::from_slice(document).map_err(|error| bad(error.to_string()))?;
        let Document {
            tags,
            versions,
            time,
            readme,
            readme_file,
        } = document;
        let latest = tags.get(&Tag::latest()).cloned();
        let of_version = |(version, manifest): (Version, Box<RawValue>)| {
            let Manifest { dist } = serde_json::from_str(manifest.get())
                .map_err(|error| bad(format!("{version}: {error}")))?;
            let integrity = Integrity::read(dist.integrity.as_deref(), dist.shasum.as_deref())
                .ok_or_else(|| bad(format!("{version} has no hash of its tarball")))?;
            let own: BTreeSet<Tag> = tags
                .iter()
                .filter(|(_, to)| **to == version)
                .map(|(tag, _)| tag.clone())
                .collect();
            let published_at = time.get(&version.to_string()).copied();
            // The document shows the readme of its latest version alone.
            let is_latest = latest.as_ref() == Some(&version) && !readme.is_empty();
            Ok(Wanted {
                name: name.clone(),
                tarball_url: dist.tarball,
                is_tagged: !own.is_empty(),
                integrity,
                record: Record {
                    published_at: published_at.unwrap_or(Timestamp::UNIX_EPOCH),
                    published_by: PUBLISHED_BY.to_owned(),
                    attempt: String::new(),
                    tags: own,
                    manifest,
                    readme: is_latest.then(|| Readme {
                        file: readme_file.clone(),
                        text: readme.clone(),
                    }),
                },
                version,
            })
        };
        versions.into_iter().map(of_version).collect()
    }

    /// Lays a release with its tarball into the folder.
    pub fn add(&self, wanted: &Wanted, tarball: &[u8]) -> Result<(), BundleError> {
        let Wanted { name, version, .. } = wanted;
        if !wanted.integrity.fits(tarball) {
            return Err(BundleError::Tarball {
                name: name.clone(),
                version: version.clone(),
            });
        }
        let record = serde_json::to_vec(&wanted.record).map_err(|error| BundleError::Document {
            name: name.clone(),
            why: error.to_string(),
        })?;
        self.write(store::blob(&wanted.integrity).as_ref(), tarball)?;
        self.write(store::release(name, version).as_ref(), &record)
    }

    /// The list of what was laid out, as it is hashed and packed.
    pub fn contents(&self) -> Result<Vec<u8>, BundleError> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let files = files.values().cloned().collect();
        serde_json::to_vec(&Contents { files })
            .map_err(|error| BundleError::Contents(error.to_string()))
    }

    /// The hash of a list of contents, which the head of a bundle is signed over.
    pub fn contents_sha256(contents: &[u8]) -> String {
        HEXLOWER.encode(&Sha256::digest(contents))
    }

    /// Writes the bundle.
    pub fn pack(
        &self,
        root_key: &str,
        head: &str,
        contents: &[u8],
        to: impl Write,
    ) -> Result<(), BundleError> {
        let list: Contents = serde_json::from_slice(contents)
            .map_err(|error| BundleError::Contents(error.to_string()))?;
        let mut tar = tar::Builder::new(to);
        let mut append = |path: &str, size: u64, data: &mut dyn Read| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(size);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, data)
        };
        append(ROOT_KEY, root_key.len() as u64, &mut root_key.as_bytes())
            .map_err(BundleError::Archive)?;
        append(HEAD, head.len() as u64, &mut head.as_bytes()).map_err(BundleError::Archive)?;
        append(CONTENTS, contents.len() as u64, &mut &*contents).map_err(BundleError::Archive)?;
        for file in &list.files {
            let path = self.dir.join(&file.path);
            let mut data =
                fs::File::open(&path).map_err(|error| BundleError::file("read", &path, error))?;
            append(&file.entry_name(), file.size, &mut data).map_err(BundleError::Archive)?;
        }
        let mut to = tar.into_inner().map_err(BundleError::Archive)?;
        to.flush().map_err(BundleError::Archive)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        let path = self.dir.join(name);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            options.open(&path)?.write_all(bytes)
        };
        write().map_err(|error| BundleError::file("write", &path, error))?;
        let file = File {
            path: name.to_owned(),
            size: bytes.len() as u64,
            sha256: HEXLOWER.encode(&Sha256::digest(bytes)),
        };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(name.to_owned(), file);
        Ok(())
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // What stays of it is in nobody's way.
        let _ = fs::remove_dir_all(&self.dir);
    }
}
