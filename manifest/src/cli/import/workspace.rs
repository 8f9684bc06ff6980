//! Packages of a workspace: every package.json in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use manifest::FoundPackage;

use super::{Npm, progress};

/// Folders that hold no packages of one's own.
const SKIPPED: [&str; 4] = ["node_modules", "dist", "build", "target"];

/// Finds the packages of the scope. Links are not followed: a workspace may link to itself.
pub(super) fn find(folder: &str, scope: &str) -> anyhow::Result<Vec<FoundPackage>> {
    let bar = progress("package.json files", 0);
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read `{}`", folder.display()))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !name.starts_with('.') && !SKIPPED.contains(&&*name) {
                    folders.push(entry.path());
                }
            } else if name == "package.json" {
                found.extend(read(&entry.path())?.in_scope(scope));
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    found.sort_by(|a: &FoundPackage, b| a.name.cmp(&b.name));
    if let Some([twice, _]) = found
        .windows(2)
        .find(|pair| matches!(pair, [a, b] if a.name == b.name))
    {
        anyhow::bail!("two package.json files are named `{}`", twice.name);
    }
    Ok(found)
}

fn read(path: &Path) -> anyhow::Result<Npm> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` is no package.json", path.display()))
}
