//! `manifest init`: a commented manifest to start from.

use std::fs::OpenOptions;
use std::io::Write;

use anyhow::Context;
use manifest::PackageName;

use super::{Outcome, print};

/// Where, and for whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The file to write; it must not exist yet.
    #[arg(default_value = "tiers.toml", value_name = "FILE")]
    file: String,
    /// The npm scope of the packages.
    #[arg(long, default_value = "@acme", value_parser = scope)]
    scope: String,
}

fn scope(text: &str) -> Result<String, String> {
    let good = text.starts_with('@') && PackageName::parse(&format!("{text}/x")).is_ok();
    good.then(|| text.to_owned())
        .ok_or_else(|| "a scope looks like `@acme`".to_owned())
}

const TEMPLATE: &str = include_str!("init.toml");
/// The scope that the template is written for.
const TEMPLATE_SCOPE: &str = "@acme";

impl Init {
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let text = TEMPLATE.replace(TEMPLATE_SCOPE, &self.scope);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.file)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write `{}`", self.file))?;
        print(&format!("wrote {0}\nnext: manifest check {0}\n", self.file));
        Ok(Outcome::Good)
    }
}
