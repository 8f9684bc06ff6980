//! Shell completions and man pages, generated from the command line itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::print;

/// Which shell completes.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the completions of a command line.
    pub fn run(&self, mut command: Command) -> anyhow::Result<()> {
        let name = command.get_name().to_owned();
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}

/// Where man pages go.
#[derive(Debug, Args)]
pub struct ManPages {
    /// The folder to write them to, one page for each subcommand
    dir: PathBuf,
}

impl ManPages {
    /// Writes the man pages of a command line.
    pub fn run(&self, command: Command) -> anyhow::Result<()> {
        let dir: &Path = &self.dir;
        fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        clap_mangen::generate_to(command, dir)
            .with_context(|| format!("cannot write to `{}`", dir.display()))
    }
}
