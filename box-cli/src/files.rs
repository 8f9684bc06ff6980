//! What an activation leaves in the project, and what a deactivation takes out again. Everything
//! is read, and tried to be written, before the server is asked: no seat is taken in vain.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
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
/// The mode of a new file without secrets.
const MODE: u32 = 0o644;
/// What git must not take: each line, and other lines that say the same.
const SECRETS: [(&str, &[&str]); 2] = [
    (
        ".box/credentials.json",
        &["/.box/credentials.json", ".box", ".box/", "/.box", "/.box/"],
    ),
    (NPMRC, &["/.npmrc"]),
];

/// The project's files, to be changed while the [`Turn`](crate::project::Turn) is held.
pub struct Files<'p> {
    project: &'p Project,
}

impl<'p> Files<'p> {
    /// Fails where one of them could not be read or changed later.
    pub fn open(project: &'p Project) -> anyhow::Result<Self> {
        let files = Self { project };
        files.read(NPMRC)?;
        files.read(GITIGNORE)?;
        files.box_json()?;
        for folder in [project.root(), &project.private("")] {
            try_to_write_in(folder).map_err(|error| Unwritable::new(project, &error.into()))?;
        }
        Ok(files)
    }

    /// Keeps what was activated: the secrets only after git ignores them, and the credentials
    /// last, so that whoever has them has all. Each file is read just before it is changed: asking
    /// takes time, and people edit.
    pub fn activated(self, before: Option<&Credentials>, new: &Credentials) -> anyhow::Result<()> {
        let lines = self.read(NPMRC)?;
        let is_secret = !names_a_variable(&lines, new);
        let gitignore = self.read(GITIGNORE)?;
        let ignoring = ignoring(&gitignore, is_secret);
        if ignoring != gitignore {
            self.write_public(GITIGNORE, &ignoring)?;
        }
        let lines = self.read(NPMRC)?;
        let laid_out = laid_out(&lines, before, new);
        if laid_out != lines {
            self.write_private(NPMRC, &laid_out)?;
        }
        let mut box_json = self.box_json()?;
        if box_json.activated(new)? {
            self.write_public(box_json::FILE, &box_json.to_text()?)?;
        }
        new.save(self.project)
    }

    /// Whether npm is told what it has to be told.
    pub fn are_laid_out(project: &'p Project, known: &Credentials) -> anyhow::Result<bool> {
        let lines = Self { project }.read(NPMRC)?;
        Ok(laid_out(&lines, Some(known), known) == lines)
    }

    /// Takes out what is ours. A fingerprint that was made up stays as long as its seat does.
    pub fn deactivated(self, before: &Credentials, seat_is_free: bool) -> anyhow::Result<()> {
        let project = self.project;
        let lines = self.read(NPMRC)?;
        let left = npmrc::without(&lines, &our_keys(&lines, before));
        if left.is_empty() {
            remove(&project.path(NPMRC))?;
        } else if left != lines {
            self.write_private(NPMRC, &left)?;
        }
        let mut box_json = self.box_json()?;
        if box_json.deactivated() {
            self.write_public(box_json::FILE, &box_json.to_text()?)?;
        }
        remove(&project.private(credentials::FILE))?;
        if seat_is_free {
            remove(&project.private(fingerprint::FILE))?;
        }
        project.clear()
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        Ok(private_file::read(&self.project.path(name))?.unwrap_or_default())
    }

    fn box_json(&self) -> anyhow::Result<BoxJson> {
        BoxJson::parse(&self.read(box_json::FILE)?)
    }

    /// Writes what others may read. It keeps its mode.
    fn write_public(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.project.path(name);
        let before = fs::metadata(&path).map(|before| before.permissions().mode());
        self.project.write(&path, text, before.unwrap_or(MODE))
    }

    fn write_private(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.project.path(name);
        self.project.write(&path, text, private_file::MODE)
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

/// The files with secrets that are there.
pub fn secrets(project: &Project, known: Option<&Credentials>) -> Vec<&'static str> {
    let lines = private_file::read(&project.path(NPMRC)).ok().flatten();
    let is_committable = |known| names_a_variable(&lines.unwrap_or_default(), known);
    let is_committable = known.is_some_and(is_committable);
    let files = SECRETS.into_iter().map(|(name, _)| name);
    files
        .filter(|name| project.path(name).exists() && !(*name == NPMRC && is_committable))
        .collect()
}

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

/// The text of an `.npmrc` with what npm is told.
fn laid_out(lines: &str, before: Option<&Credentials>, new: &Credentials) -> String {
    let mut pairs = pairs(new);
    if names_a_variable(lines, new) {
        pairs.retain(|(key, _)| !key.starts_with("//"));
    }
    let mut gone = before.map_or_else(Vec::new, |before| our_keys(lines, before));
    gone.retain(|gone| !pairs.iter().any(|(key, _)| key == gone));
    npmrc::set(&npmrc::without(lines, &gone), &pairs)
}

/// Whether the token's line names a variable. Such an `.npmrc` may be committed, and its lines are
/// the project's own.
fn names_a_variable(lines: &str, credentials: &Credentials) -> bool {
    let (_, token_key) = registry(credentials);
    npmrc::get(lines, &token_key).is_some_and(|token| token.starts_with("${"))
}

/// The keys in an `.npmrc` that an activation set. A scope that points elsewhere by now is
/// somebody else's.
fn our_keys(lines: &str, credentials: &Credentials) -> Vec<String> {
    if names_a_variable(lines, credentials) {
        return Vec::new();
    }
    let (registry, token_key) = registry(credentials);
    let is_ours = |(key, _): &(String, String)| {
        *key == token_key || npmrc::get(lines, key) == Some(registry.as_str())
    };
    let set = pairs(credentials).into_iter().filter(is_ours);
    set.map(|(key, _)| key).collect()
}

/// The text of a `.gitignore` that names the secrets as well.
fn ignoring(text: &str, npmrc_is_secret: bool) -> String {
    let mut text = text.to_owned();
    for (line, same) in SECRETS {
        if line == NPMRC && !npmrc_is_secret {
            continue;
        }
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
    match File::create_new(&path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        // It was made, or a crash had left it.
        _ => fs::remove_file(path),
    }
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
        assert_eq!(ignoring("", true), both);
        assert_eq!(ignoring(both, true), both);
        assert_eq!(ignoring("/.box/\n dist", true), "/.box/\n dist\n.npmrc\n");
        assert_eq!(ignoring("", false), ".box/credentials.json\n");
        assert_eq!(ignoring("!.npmrc", true), format!("!.npmrc\n{both}"));
    }
}
