//! `manifest sets`: the packages of the tiers, as computed.

use anyhow::Context;
use manifest::{PackageName, Tier};
use serde_json::json;

use super::source::{load, read};
use super::{Outcome, print, print_json};

/// Which sets, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Sets {
    /// Only this tier: one name per line, nothing else.
    #[arg(long)]
    tier: Option<String>,
    /// The manifest.
    #[arg(long, value_name = "FILE", default_value = "tiers.toml")]
    manifest: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Whom the answer is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// People.
    #[default]
    Human,
    /// Programs.
    Json,
}

impl Sets {
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let tiers = load(&read(&self.manifest)?, &self.manifest)?.tiers;
        let chosen: Vec<&Tier> = match &self.tier {
            Some(name) => vec![tiers.tier(name).with_context(|| no_tier(name, &tiers))?],
            None => tiers.tiers().collect(),
        };
        match (self.format, self.tier.is_some()) {
            (Format::Human, true) => chosen.iter().for_each(|tier| print(&names(tier))),
            (Format::Human, false) => chosen.iter().for_each(|tier| print(&with_heading(tier))),
            (Format::Json, _) => {
                let sets: Vec<_> = chosen.into_iter().map(as_json).collect();
                print_json(&json!({ "digest": tiers.digest(), "tiers": sets }));
            }
        }
        Ok(Outcome::Good)
    }
}

/// What to say about a tier that does not exist.
pub(crate) fn no_tier(name: &str, tiers: &manifest::TierSets) -> String {
    let names: Vec<String> = tiers
        .tiers()
        .map(|tier| format!("`{}`", tier.name()))
        .collect();
    format!(
        "there is no tier `{name}`\nthe tiers are {}",
        names.join(", ")
    )
}

fn names(tier: &Tier) -> String {
    tier.packages()
        .iter()
        .flat_map(|name| [name.as_str(), "\n"])
        .collect()
}

fn with_heading(tier: &Tier) -> String {
    let names: String = tier
        .packages()
        .iter()
        .flat_map(|name| ["  ", name.as_str(), "\n"])
        .collect();
    let set = tier.packages();
    format!(
        "{} ({} packages, {})\n{names}\n",
        tier.name(),
        set.len(),
        set.digest()
    )
}

fn as_json(tier: &Tier) -> serde_json::Value {
    let limits: serde_json::Map<_, _> = tier
        .limits()
        .map(|(name, limit)| (name.to_owned(), json!(limit)))
        .collect();
    json!({
        "tier": tier.name(),
        "digest": tier.packages().digest(),
        "packages": tier.packages().iter().map(PackageName::as_str).collect::<Vec<_>>(),
        "features": tier.features().collect::<Vec<_>>(),
        "limits": limits,
    })
}
