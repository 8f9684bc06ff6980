//! `box token`.

use clap::Args;
use secrecy::ExposeSecret;
use terminal::output::print;

use crate::project::Project;
use crate::session::{self, Given};

/// How the token is printed.
#[derive(Debug, Args)]
pub struct Token {
    /// Print the value of an Authorization header, as pnpm's `tokenHelper` wants it
    #[arg(long)]
    header: bool,
    #[command(flatten)]
    given: Given,
}

impl Token {
    /// Prints a token that is good now, and nothing else.
    pub async fn run(self, project: &Project) -> anyhow::Result<()> {
        let session = session::fresh(project, &self.given).await?;
        let scheme = if self.header { "Bearer " } else { "" };
        print(&format!("{scheme}{}\n", session.token.expose_secret()))
    }
}
