//! The files: that secrets are their owner's alone, and that git does not take them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use terminal::checks::{Check, Checks};

use crate::box_json;
use crate::credentials::Credentials;
use crate::files::NPMRC;
use crate::project::Project;

const FILES: &str = "files";
const GIT: &str = "git";
const CREDENTIALS: &str = ".box/credentials.json";
/// Those with secrets.
const SECRETS: [&str; 2] = [NPMRC, CREDENTIALS];

pub(super) fn look(project: &Project, known: Option<&Credentials>, checks: &mut Checks) {
    let there: Vec<&str> = SECRETS
        .into_iter()
        .filter(|name| project.path(name).exists())
        .collect();
    if there.is_empty() {
        return checks.push(Check::skipped(FILES, "there are none with secrets"));
    }
    checks.push(files(project, &there, known));
    checks.push(git(project.root(), &there));
}

fn files(project: &Project, there: &[&str], known: Option<&Credentials>) -> Check {
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

fn git(root: &Path, there: &[&str]) -> Check {
    let ask = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(root).args(arguments).arg("--");
        let output = command.args(there).stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let is_in = ask(&["rev-parse", "--is-inside-work-tree"]);
    if !is_in.is_some_and(|told| told.starts_with("true")) {
        return Check::skipped(GIT, "this is no git repository");
    }
    let tracked = ask(&["ls-files"]).unwrap_or_default();
    let tracked = tracked.lines().collect::<Vec<_>>().join(" ");
    if !tracked.is_empty() {
        let seen = format!("git has {tracked}, with what is secret in it");
        let fix =
            format!("`git rm --cached {tracked}`, and have the vendor rotate the license key");
        return Check::failed(GIT, seen, fix);
    }
    let ignored = ask(&["check-ignore"]).unwrap_or_default();
    let is_ignored = |name: &&str| ignored.lines().any(|line| line == *name);
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
