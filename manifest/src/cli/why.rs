//! `manifest why`: what brings a package into a tier, or which tier would have it.

use std::fmt::Write;

use anyhow::Context;
use manifest::{Chain, PackageName, Tier, TierSets, nearest};
use serde_json::{Value, json};

use super::sets::{Format, no_tier};
use super::source::{load, read};
use super::{Outcome, print, print_json};

/// The question.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// The package; without its scope when that is the manifest's.
    package: String,
    /// The tier; without it, the lowest that has the package.
    #[arg(long)]
    tier: Option<String>,
    /// The manifest.
    #[arg(long, value_name = "FILE", default_value = "tiers.toml")]
    manifest: String,
    /// How to answer.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Why {
    /// Good when the tier has the package.
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let tiers = load(&read(&self.manifest)?, &self.manifest)?.tiers;
        let package = find(&self.package, &tiers)?;
        let asked = match &self.tier {
            Some(name) => Some(tiers.tier(name).with_context(|| no_tier(name, &tiers))?),
            None => None,
        };
        let lowest = tiers.lowest_tier_with(package.as_str());
        let tier = asked.or(lowest);
        let has = tier.is_some_and(|tier| tier.packages().contains(package.as_str()));
        // Absent from the tier asked for, the package is explained where it does occur.
        let explained = if has { tier } else { lowest };
        let chain = explained.and_then(|tier| tiers.reasons(tier).why(package.as_str()));
        match self.format {
            Format::Human => print(&in_words(package, asked, explained, chain.as_ref(), has)),
            Format::Json => print_json(&json!({
                "package": package,
                "tier": tier.map(Tier::name),
                "has": has,
                "lowestTier": lowest.map(Tier::name),
                "chain": chain.as_ref().map(links),
            })),
        }
        Ok(has.into())
    }
}

/// The declared package meant by a text.
fn find<'s>(text: &str, tiers: &'s TierSets) -> anyhow::Result<&'s PackageName> {
    let full = if text.contains('/') {
        text.to_owned()
    } else {
        format!("{}/{text}", tiers.scope())
    };
    let package = tiers.package(&full).with_context(|| {
        let names = tiers.packages().map(|package| package.name().as_str());
        let near = nearest(&full, names).map(|near| format!("\ndid you mean `{near}`?"));
        format!(
            "the manifest does not declare `{full}`{}",
            near.unwrap_or_default()
        )
    })?;
    Ok(package.name())
}

fn in_words(
    package: &PackageName,
    asked: Option<&Tier>,
    explained: Option<&Tier>,
    chain: Option<&Chain<'_>>,
    has: bool,
) -> String {
    let verdict = match (asked, explained) {
        (_, None) => format!("no tier has {package}\n"),
        (Some(asked), Some(lowest)) if !has => {
            format!(
                "{} does not have {package}; it comes with {}\n",
                asked.name(),
                lowest.name()
            )
        }
        (_, Some(tier)) => format!("{} has {package}\n", tier.name()),
    };
    format!("{verdict}{}", chain.map(steps).unwrap_or_default())
}

/// One line for each package on the way.
fn steps(chain: &Chain<'_>) -> String {
    let mut text = format!(
        "\n  {}  {}\n",
        chain.first,
        in_brackets(&chain.root.to_string())
    );
    for (depth, (edge, package)) in chain.links.iter().enumerate() {
        let indent = "   ".repeat(depth);
        let _ = writeln!(text, "  {indent}└─ {edge} {package}");
    }
    text
}

fn in_brackets(text: &str) -> String {
    format!("({text})")
}

/// The way as a list, for programs.
pub(crate) fn links(chain: &Chain<'_>) -> Value {
    let first = json!({ "package": chain.first, "by": chain.root.to_string() });
    let rest = chain
        .links
        .iter()
        .map(|(edge, package)| json!({ "package": package, "by": edge.to_string() }));
    std::iter::once(first).chain(rest).collect()
}
