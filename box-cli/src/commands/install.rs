//! `box install` and `box update`: the project's package manager, with a fresh token.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use manifest::PackageName;
use terminal::output::say;
use terminal::{private_file, progress};

use crate::child;
use crate::manager::{self, Manager, Name, YARNRC};
use crate::project::Project;
use crate::session::{self, Given, Session};

/// Installs.
#[derive(Debug, Args)]
pub struct Install {
    #[command(flatten)]
    with: With,
    /// Install what the lockfile says, and nothing else
    #[arg(long)]
    frozen: bool,
    /// Packages to add, and whatever else the package manager takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Updates.
#[derive(Debug, Args)]
pub struct Update {
    #[command(flatten)]
    with: With,
    /// What to update, and whatever else the package manager takes [default: what the box covers]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// With which package manager, and which token.
#[derive(Debug, Args)]
struct With {
    #[command(flatten)]
    given: Given,
    /// The package manager [default: the one of packageManager or of the lockfile, else npm]
    #[arg(long, value_name = "NAME")]
    manager: Option<Name>,
}

impl Install {
    /// Becomes the package manager; its exit code is ours.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let ready = self.with.ready(project).await?;
        let arguments = if self.frozen {
            ready.manager.install_frozen(&self.arguments)
        } else {
            ready.manager.install(&self.arguments)
        };
        Ok(ready.go(&arguments))
    }
}

impl Update {
    /// Becomes the package manager, unless there is nothing to update.
    pub async fn run(mut self, project: &Project) -> anyhow::Result<ExitCode> {
        let ready = self.with.ready(project).await?;
        if self.arguments.is_empty() {
            self.arguments = covered(&ready.folder, &ready.session.packages)?;
            if self.arguments.is_empty() {
                say("nothing to update: the project depends on nothing that this box covers")?;
                return Ok(ExitCode::SUCCESS);
            }
        }
        Ok(ready.go(&ready.manager.update(&self.arguments)))
    }
}

/// A package manager that only waits for its arguments.
struct Ready {
    manager: Manager,
    folder: PathBuf,
    session: Session,
}

impl With {
    async fn ready(&self, project: &Project) -> anyhow::Result<Ready> {
        let folder = folder(project)?;
        let found = manager::find(&folder, self.manager)?;
        let manager = found.manager;
        if !found.beside.is_empty() {
            say(&format!(
                "note: taking {}, though {} is here as well; `--manager` names another",
                manager.program(),
                found.beside.join(", ")
            ))?;
        }
        let waiting = progress::spinner("getting a token");
        let session = session::fresh(project, &self.given).await?;
        drop(waiting);
        if manager == Manager::YarnBerry {
            warn_of_yarnrc(&folder, &session)?;
        }
        Ok(Ready {
            manager,
            folder,
            session,
        })
    }
}

impl Ready {
    fn go(&self, arguments: &[OsString]) -> ExitCode {
        let program = OsString::from(self.manager.program());
        child::become_program(&program, arguments, Some(&self.folder), &self.session)
    }
}

/// Where to install: here, if that is in the project, else in the project's folder.
fn folder(project: &Project) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder is gone")?;
    let root = project.root();
    let root = root
        .canonicalize()
        .with_context(|| format!("cannot read `{}`", root.display()))?;
    Ok(if here.starts_with(&root) { here } else { root })
}

/// The dependencies of the project that are in the box's set.
fn covered(folder: &Path, packages: &[PackageName]) -> anyhow::Result<Vec<OsString>> {
    let mut names = manager::dependencies(folder)?;
    names.retain(|name| packages.iter().any(|package| package.as_str() == name));
    Ok(names.into_iter().map(OsString::from).collect())
}

/// Yarn 2 and later reads no `.npmrc`, and takes no scope from the environment.
fn warn_of_yarnrc(folder: &Path, session: &Session) -> anyhow::Result<()> {
    for folder in manager::folders(folder) {
        let text = private_file::read(&folder.join(YARNRC))?;
        if text.is_some_and(|text| text.contains("BOX_TOKEN")) {
            return Ok(());
        }
    }
    let scope = session.packages.iter().find_map(PackageName::scope);
    let scope = scope.unwrap_or_default().trim_start_matches('@');
    let registry = session.registry_url.as_str().trim_end_matches('/');
    say(&format!(
        "warning: yarn finds the token by {YARNRC} alone\n  hint: put this there, as it stands\n\n\
         npmScopes:\n  {scope}:\n    npmRegistryServer: \"{registry}\"\n    \
         npmAuthToken: \"${{BOX_TOKEN-}}\"\n"
    ))
}
