//! `manifest schema`: the JSON Schema of tiers.toml.

use super::{Outcome, print_json};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {}

impl Schema {
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "commands have one signature"
    )]
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        print_json(&manifest::schema());
        Ok(Outcome::Good)
    }
}
