//! `box packages`: what may be installed, and what another activation would change.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use manifest::PackageName;
use terminal::output::{print, print_json};
use terminal::private_file;

use crate::box_json::{self, BoxJson};
use crate::credentials::Credentials;
use crate::project::Project;
use crate::session::{self, Given};
use crate::words;

/// Lists the packages.
#[derive(Debug, Args)]
pub struct Packages {
    #[command(flatten)]
    given: Given,
    /// Ask the control plane now, and show what is new (+) and gone (-) against box.json
    #[arg(long)]
    diff: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "diff")]
    json: bool,
}

impl Packages {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let known = Credentials::load(project)?;
        let known = known.ok_or_else(|| session::not_activated(project))?;
        if self.diff {
            let now = session::preview(project, &self.given).await?.packages;
            print(&diff(&noted(project, known)?, &now))?;
        } else if self.json {
            print_json(&known.packages)?;
        } else {
            print(&words::lines(&known.packages))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The packages that `box.json` names, else those of the activation.
fn noted(project: &Project, known: Credentials) -> anyhow::Result<Vec<PackageName>> {
    let text = private_file::read(&project.path(box_json::FILE))?;
    let box_json = BoxJson::parse(&text.unwrap_or_default())?;
    let license = box_json.license();
    Ok(license.map_or(known.packages, |license| license.packages))
}

/// A line for each package that only one of the sets has, by name.
fn diff(before: &[PackageName], now: &[PackageName]) -> String {
    let before: BTreeSet<&PackageName> = before.iter().collect();
    let now: BTreeSet<&PackageName> = now.iter().collect();
    let changed = before.symmetric_difference(&now);
    let lines = changed.map(|name| {
        let sign = if now.contains(name) { '+' } else { '-' };
        format!("{sign} {name}")
    });
    let lines = words::lines(lines);
    if lines.is_empty() {
        return "nothing changed\n".to_owned();
    }
    lines
}
