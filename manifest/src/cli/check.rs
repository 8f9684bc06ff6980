//! `manifest check`: whether manifests can be used.

use manifest::{Diagnostics, Loaded, Manifest, TierSets};

use super::{Outcome, coloured, print, read, tell};

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The manifests.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Refuse a manifest that has warnings.
    #[arg(long)]
    deny_warnings: bool,
}

impl Check {
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::Good;
        for file in &self.files {
            let text = read(file)?;
            match Manifest::load(&text, file) {
                Ok(Loaded {
                    tiers, warnings, ..
                }) => {
                    report(&warnings);
                    if self.deny_warnings && !warnings.is_empty() {
                        outcome = Outcome::Refused;
                    } else {
                        print(&summary(file, &tiers));
                    }
                }
                Err(problems) => {
                    report(&problems);
                    outcome = Outcome::Refused;
                }
            }
        }
        Ok(outcome)
    }
}

fn report(diagnostics: &Diagnostics) {
    tell(&diagnostics.render(coloured()));
}

/// One line that shows the manifest says what was meant.
fn summary(file: &str, tiers: &TierSets) -> String {
    let sizes: Vec<String> = tiers
        .tiers()
        .map(|tier| format!("{} {}", tier.name(), tier.packages().len()))
        .collect();
    format!(
        "{file}: good; {} packages: {}\n",
        tiers.packages().len(),
        sizes.join(", ")
    )
}
