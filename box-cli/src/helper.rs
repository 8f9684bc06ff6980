//! pnpm's token helper: a program that pnpm runs for each install, and that prints the token.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, absolute};

use anyhow::Context;
use terminal::{Exit, Failure, private_file};
use url::Url;

use crate::files;
use crate::project::Project;

/// Everybody may run it: it holds no secret.
const MODE: u32 = 0o755;
/// How a helper begins, and how it ends: no other file is written over.
const BEGINS: &str = "#!/bin/sh\nexec ";
const ENDS: &str = " token --header\n";

/// Writes a helper that asks this program for the project's token, and returns the line that has
/// pnpm run it.
pub fn write(project: &Project, path: &Path, registry: &Url) -> anyhow::Result<String> {
    let path = absolute(path).context("the current folder is gone")?;
    let told = path.to_string_lossy();
    // pnpm hands it to a shell as it stands.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !told.chars().all(is_plain) {
        let text = format!("pnpm cannot run `{told}`");
        return Err(Failure::new(Exit::Usage, text)
            .hint("take a path of letters, digits, `.`, `_`, `-` and `+`")
            .into());
    }
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let root = project.root().canonicalize();
    let root = root.with_context(|| format!("cannot read `{}`", project.root().display()))?;
    let (program, root) = (quoted(&program), quoted(&root));
    let script = format!("{BEGINS}{program} --project {root}{ENDS}");
    let there = private_file::read(&path)?;
    if there.is_some_and(|there| !(there.starts_with(BEGINS) && there.ends_with(ENDS))) {
        let failure = Failure::new(Exit::Failed, format!("`{told}` is there already"));
        return Err(failure.hint("name a file that is not there yet").into());
    }
    private_file::write(&path, &script)?;
    fs::set_permissions(&path, Permissions::from_mode(MODE))
        .with_context(|| format!("cannot make `{told}` a program"))?;
    Ok(line(registry, &path))
}

/// The setting in pnpm's words.
fn line(registry: &Url, path: &Path) -> String {
    let key = files::token_key(registry).replace(":_authToken", ":tokenHelper");
    format!("{key}={}", path.display())
}

/// A word that a shell takes as it is.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_path_as_it_is() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
        let registry = "https://npm.example.com/packages/".parse().unwrap();
        assert_eq!(
            line(&registry, Path::new("/home/me/helper")),
            "//npm.example.com/packages/:tokenHelper=/home/me/helper"
        );
    }
}
