//! `manifest diff`: what an edit changes in each tier, and through which edge.

use std::fmt::Write;

use anyhow::Context;
use manifest::{Chain, Edit, EntryEdit, PackageEdit, Standing, TierEdit};
use serde_json::{Value, json};

use super::source::{Source, load};
use super::why::links;
use super::{Outcome, print, print_json};

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The older state: a file, `git:REV`, or `git:REV:PATH`.
    old: Source,
    /// The newer state, named likewise.
    new: Source,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Whom the comparison is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// People.
    #[default]
    Human,
    /// Programs.
    Json,
    /// A comment on a pull request.
    Markdown,
}

impl Diff {
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let path = |source: &Source| match source {
            Source::File(path)
            | Source::Git {
                path: Some(path), ..
            } => Some(path.clone()),
            Source::Git { path: None, .. } => None,
        };
        let shared = path(&self.new).or_else(|| path(&self.old));
        let shared = shared.context("name a file\nwrite `git:REV:PATH`")?;
        let load = |source: &Source| {
            let (text, origin) = source
                .read(&shared)?
                .with_context(|| format!("`{shared}` did not exist then"))?;
            load(&text, &origin)
        };
        let (old, new) = (load(&self.old)?, load(&self.new)?);
        let edit = Edit::between(&old.tiers, &new.tiers);
        match self.format {
            Format::Human => print(&human(&edit)),
            Format::Json => print_json(&as_json(&edit)),
            Format::Markdown => print(&markdown(&edit)),
        }
        Ok(Outcome::Good)
    }
}

/// Above the entries that belong to no tier.
const BEYOND: &str = "beyond the tiers";
const NO_CHANGE: &str = "no tier changes\n";

fn human(edit: &Edit<'_>) -> String {
    if edit.is_empty() {
        return NO_CHANGE.to_owned();
    }
    let mut text = String::new();
    for tier in edit.tiers.iter().filter(|tier| !tier.is_empty()) {
        let _ = writeln!(text, "{}{}", tier.tier, standing(tier.standing));
        for line in lines(tier) {
            let _ = writeln!(text, "  {} {:<32} {}", line.sign, line.what, line.how);
        }
        text.push('\n');
    }
    if !edit.entries.is_empty() {
        let _ = writeln!(text, "{BEYOND}");
        for line in edit.entries.iter().map(entry) {
            let _ = writeln!(text, "  {} {:<32} {}", line.sign, line.what, line.how);
        }
        text.push('\n');
    }
    text
}

fn markdown(edit: &Edit<'_>) -> String {
    if edit.is_empty() {
        return format!("**{}**\n", NO_CHANGE.trim_end());
    }
    let mut text = String::new();
    for tier in edit.tiers.iter().filter(|tier| !tier.is_empty()) {
        let (gained, lost) = (tier.gained.len(), tier.lost.len());
        let _ = writeln!(
            text,
            "#### {}{}: {gained} gained, {lost} lost\n\n| | | |\n|---|---|---|",
            tier.tier,
            standing(tier.standing)
        );
        for line in lines(tier) {
            let _ = writeln!(text, "| {} | `{}` | {} |", line.sign, line.what, line.how);
        }
        text.push('\n');
    }
    if !edit.entries.is_empty() {
        let _ = writeln!(text, "#### {BEYOND}\n\n| | | |\n|---|---|---|");
        for line in edit.entries.iter().map(entry) {
            let how = line.how.replace('|', "\\|");
            let _ = writeln!(text, "| {} | `{}` | {how} |", line.sign, line.what);
        }
        text.push('\n');
    }
    text
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Kept => "",
        Standing::Added => " (new tier)",
        Standing::Removed => " (tier is gone)",
    }
}

/// One change, in the words of any format.
struct Line {
    sign: char,
    what: String,
    how: String,
}

fn lines(tier: &TierEdit<'_>) -> Vec<Line> {
    let packages = |sign, edits: &[PackageEdit<'_>]| -> Vec<Line> {
        let line = |edit: &PackageEdit<'_>| Line {
            sign,
            what: edit.name.to_string(),
            how: way(&edit.chain),
        };
        edits.iter().map(line).collect()
    };
    let features = |sign, names: &[&str]| -> Vec<Line> {
        let line = |name: &&str| Line {
            sign,
            what: (*name).to_owned(),
            how: "feature".to_owned(),
        };
        names.iter().map(line).collect()
    };
    let limits = tier.limits.iter().map(|limit| Line {
        sign: if limit.to > limit.from { '+' } else { '-' },
        what: limit.name.to_owned(),
        how: format!("limit, from {} to {}", limit.from, limit.to),
    });
    let mut lines = packages('-', &tier.lost);
    lines.extend(packages('+', &tier.gained));
    lines.extend(features('-', &tier.features_lost));
    lines.extend(features('+', &tier.features_gained));
    lines.extend(limits);
    lines
}

fn entry(edit: &EntryEdit) -> Line {
    let (sign, how) = match (edit.from.as_deref(), edit.to.as_deref()) {
        (None, to) => ('+', to.unwrap_or_default().to_owned()),
        (Some(from), None) => ('-', from.to_owned()),
        (Some(from), Some(to)) => ('~', format!("{to} (was {from})")),
    };
    Line {
        sign,
        what: format!("{} {}", edit.what, edit.name),
        how,
    }
}

/// The way a package comes in: the edge that brings it, and where that starts.
fn way(chain: &Chain<'_>) -> String {
    let mut text = String::new();
    for name in std::iter::once(&chain.first).chain(chain.links.iter().map(|(_, name)| name)) {
        if !text.is_empty() {
            text.push_str(" → ");
        }
        text.push_str(name.base());
    }
    match chain.links.as_slice() {
        [] => chain.root.to_string(),
        _ => format!("{text} ({} is {})", chain.first.base(), chain.root),
    }
}

fn as_json(edit: &Edit<'_>) -> Value {
    let packages = |edits: &[PackageEdit<'_>]| -> Vec<Value> {
        let one =
            |edit: &PackageEdit<'_>| json!({ "package": edit.name, "chain": links(&edit.chain) });
        edits.iter().map(one).collect()
    };
    let tiers = edit
        .tiers
        .iter()
        .filter(|tier| !tier.is_empty())
        .map(|tier| {
            let limits: Vec<Value> = tier
                .limits
                .iter()
                .map(|limit| json!({ "name": limit.name, "from": limit.from, "to": limit.to }))
                .collect();
            json!({
                "tier": tier.tier,
                "standing": match tier.standing {
                    Standing::Kept => "kept",
                    Standing::Added => "added",
                    Standing::Removed => "removed",
                },
                "packages": { "gained": packages(&tier.gained), "lost": packages(&tier.lost) },
                "features": { "gained": tier.features_gained, "lost": tier.features_lost },
                "limits": limits,
            })
        });
    let entry = |edit: &EntryEdit| json!({ "kind": edit.what, "name": &*edit.name, "from": edit.from, "to": edit.to });
    json!({
        "tiers": tiers.collect::<Vec<_>>(),
        "entries": edit.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}
