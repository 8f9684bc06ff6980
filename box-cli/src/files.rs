//! What an activation leaves in the project, and what a deactivation takes out again. Everything
//! is read, and tried to be written, before the server is asked: no seat is taken in vain.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use manifest::PackageName;
use terminal::private_file;
use url::Url;

use crate::box_json::{self, BoxJson};
use crate::credentials::{self, Credentials};
use crate::fingerprint;
use crate::npmrc;
use crate::project::Project;

/// The file's name.
pub const NPMRC: &str = ".npmrc";
const GITIGNORE: &str = ".gitignore";
/// What git must not take: each line, and other lines that say the same.
const SECRETS: [(&str, &[&str]); 2] = [
    (
        ".box/credentials.json",
        &["/.box/credentials.json", ".box", ".box/", "/.box", "/.box/"],
    ),
    (NPMRC, &["/.npmrc"]),
];

/// The project's files as they were read, to be changed while the [`Turn`](crate::project::Turn)
/// is held.
pub struct Files<'p> {
    project: &'p Project,
    npmrc: String,
    gitignore: String,
    /// `box.json`.
    pub box_json: BoxJson,
}

impl<'p> Files<'p> {
    /// Reads them. Fails where one of them could not be changed later.
    pub fn open(project: &'p Project) -> anyhow::Result<Self> {
        let read = |name| -> anyhow::Result<String> {
            Ok(private_file::read(&project.path(name))?.unwrap_or_default())
        };
        let files = Self {
            project,
            npmrc: read(NPMRC)?,
            gitignore: read(GITIGNORE)?,
            box_json: BoxJson::parse(&read(box_json::FILE)?)?,
        };
        for folder in [project.root(), &project.private("")] {
            try_to_write_in(folder).map_err(|error| Unwritable::new(project, &error.into()))?;
        }
        Ok(files)
    }

    /// Keeps what was activated: the secrets only after git ignores them.
    pub fn activated(
        mut self,
        before: Option<&Credentials>,
        new: &Credentials,
    ) -> anyhow::Result<()> {
        let gitignore = ignoring(&self.gitignore);
        if gitignore != self.gitignore {
            write_public(self.project, GITIGNORE, &gitignore)?;
        }
        new.save(self.project)?;
        let mut lines = self.npmrc.clone();
        if let Some(before) = before {
            let stays: Vec<String> = pairs(new).into_iter().map(|(key, _)| key).collect();
            let mut gone = our_keys(&lines, before);
            gone.retain(|key| !stays.contains(key));
            lines = npmrc::without(&lines, &gone);
        }
        let lines = npmrc::set(&lines, &pairs(new));
        if lines != self.npmrc {
            private_file::write(&self.project.path(NPMRC), &lines)?;
        }
        if self.box_json.activated(new)? {
            write_public(self.project, box_json::FILE, &self.box_json.to_text()?)?;
        }
        Ok(())
    }

    /// Takes out what is ours. A fingerprint that was made up stays as long as its seat does.
    pub fn deactivated(mut self, before: &Credentials, seat_is_free: bool) -> anyhow::Result<()> {
        let project = self.project;
        let lines = npmrc::without(&self.npmrc, &our_keys(&self.npmrc, before));
        if lines.is_empty() {
            remove(&project.path(NPMRC))?;
        } else if lines != self.npmrc {
            private_file::write(&project.path(NPMRC), &lines)?;
        }
        if self.box_json.deactivated() {
            write_public(project, box_json::FILE, &self.box_json.to_text()?)?;
        }
        remove(&project.private(credentials::FILE))?;
        if seat_is_free {
            remove(&project.private(fingerprint::FILE))?;
        }
        project.clear()
    }
}

/// The project's folder cannot be written.
#[derive(Debug)]
pub struct Unwritable {
    root: String,
    why: String,
}

impl Unwritable {
    /// By what it is seen.
    pub fn new(project: &Project, why: &anyhow::Error) -> Self {
        Self {
            root: project.root().display().to_string(),
            why: format!("{why:#}"),
        }
    }
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, why } = self;
        write!(
            f,
            "cannot write in `{root}`: {why}\n  \
             hint: nothing was asked of the control plane; where nothing may be written, \
             `box token` and `box exec` do with BOX_LICENSE_KEY and BOX_CONTROL_PLANE"
        )
    }
}

impl std::error::Error for Unwritable {}

/// What npm is told: the gate for each scope, and the token for the gate.
pub fn pairs(credentials: &Credentials) -> Vec<(String, String)> {
    let (registry, token_key) = registry(credentials);
    let packages = credentials.packages.iter();
    let scopes: BTreeSet<&str> = packages.filter_map(PackageName::scope).collect();
    let mut pairs: Vec<(String, String)> = scopes
        .into_iter()
        .map(|scope| (format!("{scope}:registry"), registry.clone()))
        .collect();
    pairs.push((token_key, credentials.npm_token.clone()));
    pairs
}

/// The registry as npm spells it, and the key of its token.
fn registry(credentials: &Credentials) -> (String, String) {
    let url = &credentials.registry_url;
    let registry = format!("{}/", url.as_str().trim_end_matches('/'));
    (registry, token_key(url))
}

/// The key of a registry's token.
pub fn token_key(registry: &Url) -> String {
    let registry = registry.as_str().trim_end_matches('/');
    let place = registry.split_once(':').map_or("", |(_, place)| place);
    format!("{place}/:_authToken")
}

/// The keys in an `.npmrc` that an activation set. A scope that points elsewhere by now is
/// somebody else's.
fn our_keys(lines: &str, credentials: &Credentials) -> Vec<String> {
    let (registry, token_key) = registry(credentials);
    let is_ours = |(key, _): &(String, String)| {
        *key == token_key || npmrc::get(lines, key) == Some(registry.as_str())
    };
    let set = pairs(credentials).into_iter().filter(is_ours);
    set.map(|(key, _)| key).collect()
}

/// The text of a `.gitignore` that names the secrets as well.
fn ignoring(text: &str) -> String {
    let mut text = text.to_owned();
    for (line, same) in SECRETS {
        let says_it = |there: &str| there.trim() == line || same.contains(&there.trim());
        if text.lines().any(says_it) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Tries whether files can be made in a folder.
fn try_to_write_in(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".box.{}.try", std::process::id()));
    fs::write(&path, "")?;
    fs::remove_file(path)
}

/// Writes beside, then renames: a file of the project is never half there. It keeps its mode.
fn write_public(project: &Project, name: &str, text: &str) -> anyhow::Result<()> {
    let path = project.path(name);
    let beside = project.path(&format!("{name}.{}.new", std::process::id()));
    let replace = || {
        fs::write(&beside, text)?;
        if let Ok(before) = fs::metadata(&path) {
            fs::set_permissions(&beside, before.permissions())?;
        }
        fs::rename(&beside, &path)
    };
    let written: std::io::Result<()> = replace();
    if written.is_err() {
        // That it was not even made is fine.
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_ignores_each_secret_once() {
        let both = ".box/credentials.json\n.npmrc\n";
        assert_eq!(ignoring(""), both);
        assert_eq!(ignoring(both), both);
        assert_eq!(ignoring("/.box/\n dist"), "/.box/\n dist\n.npmrc\n");
        assert_eq!(ignoring("!.npmrc"), format!("!.npmrc\n{both}"));
    }
}
