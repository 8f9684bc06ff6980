//! `manifest fmt`: the one layout of a manifest.

use similar::TextDiff;

use super::source::read;
use super::{Outcome, coloured, print, tell};

/// What to lay out.
#[derive(Debug, clap::Args)]
pub(crate) struct Tidy {
    /// The manifests.
    #[arg(default_value = "tiers.toml", value_name = "FILE")]
    files: Vec<String>,
    /// Change nothing; show what would change, and refuse if anything would.
    #[arg(long)]
    check: bool,
}

impl Tidy {
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let mut good = true;
        for file in &self.files {
            let text = read(file)?;
            match manifest::tidy(&text, file) {
                Ok(tidied) if tidied == text => {}
                Ok(tidied) if self.check => {
                    print(&changes(file, &text, &tidied));
                    good = false;
                }
                Ok(tidied) => {
                    super::write(file, &tidied)?;
                    tell(&format!("laid out {file}\n"));
                }
                Err(problems) => {
                    tell(&problems.render(coloured()));
                    good = false;
                }
            }
        }
        Ok(good.into())
    }
}

/// The changed lines, as `diff -u` shows them.
pub(crate) fn changes(file: &str, old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .header(file, file)
        .to_string()
}
