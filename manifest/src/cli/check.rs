//! `manifest check`: whether manifests can be used, and whether an edit takes something away.

use anyhow::bail;
use manifest::{Diagnostics, Loaded, Manifest, TierSets};

use super::report::{Format, Report};
use super::source::{Source, load, read};
use super::{Outcome, tell};

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The manifests.
    #[arg(default_value = "tiers.toml", value_name = "FILE")]
    files: Vec<String>,
    /// An older state: a file, `git:REV`, or `git:REV:PATH`. Whatever it gave to a tier must still
    /// be there, or a [[removal]] entry must say why not.
    #[arg(long, value_name = "OLD")]
    against: Option<Source>,
    /// Refuse a manifest that has warnings.
    #[arg(long)]
    deny_warnings: bool,
    /// How to report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Check {
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        if self.files.len() > 1 && self.against.as_ref().is_some_and(Source::has_path) {
            bail!("several files cannot be checked against one\nuse `--against git:REV`");
        }
        let reports: Vec<Report> = self
            .files
            .iter()
            .map(|file| self.check(file))
            .collect::<Result<_, _>>()?;
        self.format.print(&reports);
        Ok(reports.iter().all(|report| report.good).into())
    }

    fn check(&self, file: &str) -> anyhow::Result<Report> {
        let text = read(file)?;
        let loaded = match Manifest::load(&text, file) {
            Ok(loaded) => loaded,
            Err(problems) => return Ok(Report::refused(file, vec![problems])),
        };
        let losses = self.losses(file, &loaded)?;
        let Loaded {
            tiers, warnings, ..
        } = loaded;
        let good = losses.is_empty() && (warnings.is_empty() || !self.deny_warnings);
        let summary = good.then(|| summary(&tiers));
        Ok(Report {
            file: file.to_owned(),
            good,
            summary,
            problems: vec![warnings, losses],
        })
    }

    fn losses(&self, file: &str, loaded: &Loaded) -> anyhow::Result<Diagnostics> {
        let Some(against) = &self.against else {
            return Ok(Diagnostics::default());
        };
        let Some((text, origin)) = against.read(file)? else {
            tell(&format!(
                "note: `{file}` is new; there is nothing to compare it with\n"
            ));
            return Ok(Diagnostics::default());
        };
        Ok(loaded.against(&load(&text, &origin)?))
    }
}

/// One line that shows the manifest says what was meant.
fn summary(tiers: &TierSets) -> String {
    let sizes: Vec<String> = tiers
        .tiers()
        .map(|tier| format!("{} {}", tier.name(), tier.packages().len()))
        .collect();
    format!("{} packages; {}", tiers.packages().len(), sizes.join(", "))
}
