//! What an activation lays down in the project, and what a deactivation takes away.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use anyhow::Context;
use manifest::PackageName;
use terminal::private_file;

use crate::box_json::{self, BoxJson};
use crate::credentials::{self, Credentials};
use crate::npmrc;
use crate::project::Project;

/// The project's files that hold secrets (POT-59).
const SECRET: [&str; 2] = [".box/credentials.json", ".npmrc"];

/// Writes everything that follows from an activation. `before` is what the box had until now.
pub fn lay_down(
    project: &Project,
    before: Option<&Credentials>,
    now: &Credentials,
) -> anyhow::Result<()> {
    // The license key first: whatever happens next, it can be renewed from here.
    now.save(project)?;
    ignore_secrets(project)?;
    let path = project.path(".npmrc");
    let mut text = private_file::read(&path)?.unwrap_or_default();
    if let Some(before) = before {
        let now: Vec<String> = keys(now);
        let gone: Vec<String> = keys(before)
            .into_iter()
            .filter(|key| !now.contains(key))
            .collect();
        text = npmrc::without(&text, &gone);
    }
    private_file::write(&path, &npmrc::set(&text, &lines(now)))?;
    edit_box_json(project, |file| file.activated(now))
}

/// Takes away everything that an activation laid down. Files in which nothing else stands go.
pub fn take_away(project: &Project, had: &Credentials) -> anyhow::Result<()> {
    let path = project.path(".npmrc");
    if let Some(text) = private_file::read(&path)? {
        let rest = npmrc::without(&text, &keys(had));
        if rest.trim().is_empty() {
            remove(&path)?;
        } else if rest != text {
            private_file::write(&path, &rest)?;
        }
    }
    edit_box_json(project, |file| {
        file.deactivated();
        Ok(())
    })?;
    remove(&project.private(credentials::FILE))
}

/// What stands in `.npmrc` for an activation: the gate of each scope, and the token there.
pub fn lines(credentials: &Credentials) -> Vec<(String, String)> {
    let registry = registry(credentials);
    let scopes: BTreeSet<&str> = credentials
        .packages
        .iter()
        .filter_map(PackageName::scope)
        .collect();
    let mut lines: Vec<(String, String)> = scopes
        .into_iter()
        .map(|scope| (format!("{scope}:registry"), registry.clone()))
        .collect();
    lines.push((token_key(credentials), credentials.npm_token.clone()));
    lines
}

/// The key in `.npmrc` under which the gate's token stands.
pub fn token_key(credentials: &Credentials) -> String {
    let registry = registry(credentials);
    let place = registry.split_once(':').map_or("", |(_, place)| place);
    format!("{place}:_authToken")
}

/// The gate's address, as npm wants it: with a slash at the end.
fn registry(credentials: &Credentials) -> String {
    let url = credentials.registry_url.as_str();
    format!("{}/", url.trim_end_matches('/'))
}

fn keys(credentials: &Credentials) -> Vec<String> {
    let lines = lines(credentials).into_iter();
    lines.map(|(key, _)| key).collect()
}

/// Has git ignore the files with secrets, whatever else it ignores.
fn ignore_secrets(project: &Project) -> anyhow::Result<()> {
    let path = project.path(".gitignore");
    let text = private_file::read(&path)?.unwrap_or_default();
    let missing: Vec<&str> = SECRET
        .into_iter()
        .filter(|name| {
            !text
                .lines()
                .any(|line| line.trim().trim_start_matches('/') == *name)
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut text = text;
    if !text.is_empty() && !text.ends_with('\n') {
        text += ending;
    }
    for name in missing {
        text += name;
        text += ending;
    }
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

fn edit_box_json(
    project: &Project,
    edit: impl FnOnce(&mut BoxJson) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = project.path(box_json::FILE);
    let before = private_file::read(&path)?;
    let mut file = BoxJson::parse(before.as_deref().unwrap_or_default())?;
    let told = file.to_text()?;
    edit(&mut file)?;
    let after = file.to_text()?;
    // An edit that says the same changes nothing, not even how the file is laid out.
    if after == told {
        return Ok(());
    }
    fs::write(&path, after).with_context(|| format!("cannot write `{}`", path.display()))
}

fn remove(path: &std::path::Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
