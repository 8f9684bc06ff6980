//! Git, where the machine has it and the project is in a repository of it.

use std::path::Path;
use std::process::{Command, Stdio};

/// What git answers about these files; none where there is no git.
pub fn ask(root: &Path, arguments: &[&str], files: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(arguments).arg("--");
    let output = command.args(files).stderr(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Those of these files that git has.
pub fn tracked(root: &Path, files: &[&str]) -> Vec<String> {
    let tracked = ask(root, &["ls-files"], files).unwrap_or_default();
    tracked.lines().map(str::to_owned).collect()
}
