//! `manifest graph`: what brings what, as a picture or as text for other tools.

mod layout;
mod picture;
mod svg;
mod text;

use anyhow::{Context, bail};

use super::sets::no_tier;
use super::source::{load, read};
use super::{Outcome, print};
use picture::Picture;

/// Packages in a picture at most: more take long to lay out, and nobody can read them.
const DRAWN_MAX: usize = 600;

/// What to draw, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Graph {
    /// Only the packages of this tier.
    #[arg(long)]
    tier: Option<String>,
    /// The language of the picture.
    #[arg(long, value_enum)]
    format: Format,
    /// The manifest.
    #[arg(long, value_name = "FILE", default_value = "tiers.toml")]
    manifest: String,
}

/// The language of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For graphviz: every edge.
    Dot,
    /// For pages that render Mermaid: without edges that go without saying.
    Mermaid,
    /// A finished picture: without edges that go without saying.
    Svg,
}

impl Graph {
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let tiers = load(&read(&self.manifest)?, &self.manifest)?.tiers;
        let tier = match &self.tier {
            Some(name) => Some(tiers.tier(name).with_context(|| no_tier(name, &tiers))?),
            None => None,
        };
        let picture = Picture::of(&tiers, tier);
        if self.format != Format::Dot && picture.nodes.len() > DRAWN_MAX {
            bail!(
                "{} packages are too many to draw\nuse `--tier`, or `--format dot`",
                picture.nodes.len()
            );
        }
        print(&match self.format {
            Format::Dot => text::dot(&picture),
            Format::Mermaid => text::mermaid(&picture.simplified()),
            Format::Svg => svg::draw(&picture.simplified()),
        });
        Ok(Outcome::Good)
    }
}
