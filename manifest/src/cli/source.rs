//! Where manifests come from: files, and files as they were in a revision of git.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use manifest::{Loaded, Manifest};

use super::{coloured, tell};

/// A manifest as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A path.
    File(String),
    /// `git:REV` or `git:REV:PATH`. Without a path, the file it is compared with.
    Git {
        revision: String,
        path: Option<String>,
    },
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("git:") else {
            return Ok(Self::File(text.to_owned()));
        };
        let (revision, path) = match rest.split_once(':') {
            Some((revision, path)) => (revision, Some(path.to_owned())),
            None => (rest, None),
        };
        if revision.is_empty() || revision.starts_with('-') {
            return Err("write `git:` and a revision, such as `git:main`".to_owned());
        }
        Ok(Self::Git {
            revision: revision.to_owned(),
            path,
        })
    }
}

impl Source {
    /// Reads the text, with the name to call it by; `None` when git had no such file then.
    /// `other` is the path of the file that this one is compared with.
    pub(crate) fn read(&self, other: &str) -> anyhow::Result<Option<(String, String)>> {
        match self {
            Self::File(path) => Ok(Some((read(path)?, path.clone()))),
            Self::Git { revision, path } => {
                let path = path.as_deref().unwrap_or(other);
                let text = read_from_git(revision, path)?;
                Ok(text.map(|text| (text, format!("{path} at {revision}"))))
            }
        }
    }

    /// Whether it names a file by itself.
    pub(crate) fn has_path(&self) -> bool {
        !matches!(self, Self::Git { path: None, .. })
    }
}

/// Reads a manifest, or anything else that is text.
pub(crate) fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))
}

/// Compiles a manifest that has to be good for the question to make sense.
pub(crate) fn load(text: &str, origin: &str) -> anyhow::Result<Loaded> {
    Manifest::load(text, origin).map_err(|problems| {
        tell(&problems.render(coloured()));
        anyhow::anyhow!("`{origin}` cannot be used")
    })
}

fn read_from_git(revision: &str, path: &str) -> anyhow::Result<Option<String>> {
    let path = Path::new(path);
    let name = path
        .file_name()
        .with_context(|| format!("`{}` is no file", path.display()))?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let git = |arguments: &[&str]| {
        Command::new("git")
            .arg("-C")
            .arg(folder.unwrap_or(Path::new(".")))
            .args(arguments)
            .output()
            .context("cannot run git")
    };

    let commit = format!("{revision}^{{commit}}");
    let found = git(&[
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &commit,
    ])?;
    if !found.status.success() {
        bail!("git knows no revision `{revision}` here");
    }
    let object = format!("{revision}:./{}", name.to_string_lossy());
    let listed = git(&["cat-file", "-e", &object])?;
    if !listed.status.success() {
        return Ok(None);
    }
    let shown = git(&["cat-file", "blob", &object])?;
    if !shown.status.success() {
        bail!("git cannot show `{object}`");
    }
    Ok(Some(
        String::from_utf8(shown.stdout).context("the file in git is not UTF-8")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_or_a_revision() {
        assert_eq!(
            "tiers.toml".parse(),
            Ok(Source::File("tiers.toml".to_owned()))
        );
        let git = |revision: &str, path: Option<&str>| Source::Git {
            revision: revision.to_owned(),
            path: path.map(str::to_owned),
        };
        assert_eq!("git:main".parse(), Ok(git("main", None)));
        assert_eq!(
            "git:HEAD~1:old/tiers.toml".parse(),
            Ok(git("HEAD~1", Some("old/tiers.toml")))
        );
        assert!("git:".parse::<Source>().is_err() && "git:--help".parse::<Source>().is_err());
    }
}
