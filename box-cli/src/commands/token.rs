//! `box token`: print a token that is good.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use secrecy::ExposeSecret;
use terminal::output::{print, say};

use crate::helper;
use crate::project::Project;
use crate::session::{self, Given};

/// Prints the token.
#[derive(Debug, Args)]
pub struct Token {
    #[command(flatten)]
    given: Given,
    /// Print `Bearer` before it, as an HTTP header has it
    #[arg(long)]
    header: bool,
    /// Print no token, but write a program for pnpm's `tokenHelper` that does
    ///
    /// Prints the line for your own .npmrc: pnpm takes no helper from a project's. The program
    /// holds no secret, and asks this project's box each time.
    #[arg(long, value_name = "FILE", conflicts_with = "header")]
    helper: Option<PathBuf>,
}

impl Token {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let session = session::fresh(project, &self.given).await?;
        if let Some(path) = &self.helper {
            let line = helper::write(project, path, &session.registry_url)?;
            print(&format!("{line}\n"))?;
            say("next: put that line into your own .npmrc, in your home folder")?;
            return Ok(ExitCode::SUCCESS);
        }
        let token = session.token.expose_secret();
        let scheme = if self.header { "Bearer " } else { "" };
        print(&format!("{scheme}{token}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
