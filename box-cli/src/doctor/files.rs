//! The files: that secrets are their owner's alone, and that git does not take them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use terminal::checks::{Check, Checks};

use crate::box_json;
use crate::credentials::Credentials;
use crate::project::Project;
use crate::{files, git};

const FILES: &str = "files";
const GIT: &str = "git";

pub(super) fn look(project: &Project, known: Option<&Credentials>, checks: &mut Checks) {
    let there = files::secrets(project, known);
    if there.is_empty() {
        return checks.push(Check::skipped(FILES, "there are none with secrets"));
    }
    checks.push(modes(project, &there, known));
    checks.push(ignored(project.root(), &there));
}

fn modes(project: &Project, there: &[&str], known: Option<&Credentials>) -> Check {
    let is_open = |name: &&&str| {
        let about = fs::metadata(project.path(name));
        about.is_ok_and(|about| about.permissions().mode() & 0o077 != 0)
    };
    let open: Vec<&str> = there.iter().filter(is_open).copied().collect();
    if !open.is_empty() {
        let open = open.join(" ");
        let seen = format!("others on this machine may read {open}");
        return Check::failed(FILES, seen, format!("keep them out: `chmod 600 {open}`"));
    }
    if known.is_some_and(|known| tells_a_secret(project, known)) {
        let seen = format!("there is a secret in {}", box_json::FILE);
        let fix = "take it out; if the file was ever shared, have the vendor rotate the key";
        return Check::failed(FILES, seen, fix);
    }
    Check::ok(
        FILES,
        format!("{} can be read by you alone", there.join(" and ")),
    )
}

/// Whether what may be committed holds a secret.
fn tells_a_secret(project: &Project, known: &Credentials) -> bool {
    let text = fs::read_to_string(project.path(box_json::FILE)).unwrap_or_default();
    let secrets = [known.license_key.as_deref(), Some(known.npm_token.as_str())];
    let mut secrets = secrets.into_iter().flatten();
    secrets.any(|secret| text.contains(secret))
}

fn ignored(root: &Path, there: &[&str]) -> Check {
    let ask = |arguments: &[&str]| git::ask(root, arguments, there);
    let is_in = ask(&["rev-parse", "--is-inside-work-tree"]);
    if !is_in.is_some_and(|told| told.starts_with("true")) {
        return Check::skipped(GIT, "this is no git repository");
    }
    let tracked = git::tracked(root, there).join(" ");
    if !tracked.is_empty() {
        let seen = format!("git has {tracked}, with what is secret in it");
        let fix =
            format!("`git rm --cached {tracked}`, and have the vendor rotate the license key");
        return Check::failed(GIT, seen, fix);
    }
    let lines = ask(&["check-ignore"]).unwrap_or_default();
    let is_ignored = |name: &&str| lines.lines().any(|line| line == *name);
    let open: Vec<&str> = there
        .iter()
        .copied()
        .filter(|name| !is_ignored(name))
        .collect();
    if !open.is_empty() {
        let seen = format!("git does not ignore {}", open.join(" and "));
        let fix = "add a line for each to .gitignore";
        return Check::warning(GIT, seen, fix);
    }
    Check::ok(GIT, format!("ignores {}", there.join(" and ")))
}
