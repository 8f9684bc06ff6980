//! `box packages`.

use std::collections::BTreeSet;

use clap::Args;
use manifest::PackageName;
use terminal::output::{print, print_json};
use terminal::private_file;

use crate::box_json::{self, BoxJson};
use crate::project::Project;
use crate::session::{self, Renewal};

/// What is listed.
#[derive(Debug, Args)]
pub struct Packages {
    /// Ask the control plane now, and print what came (`+`) and went (`-`) since `box.json` was
    /// written
    #[arg(long)]
    diff: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Packages {
    /// Prints what may be installed.
    pub async fn run(self, project: &Project) -> anyhow::Result<()> {
        if self.diff {
            return self.print_diff(project).await;
        }
        let packages = session::kept(project)?.packages;
        if self.json {
            return print_json(&packages);
        }
        let lines: Vec<String> = packages.iter().map(|name| format!("{name}\n")).collect();
        print(&lines.concat())
    }

    async fn print_diff(self, project: &Project) -> anyhow::Result<()> {
        // Read first: the renewal writes the file.
        let text = private_file::read(&project.path(box_json::FILE))?.unwrap_or_default();
        let license = BoxJson::parse(&text)?.license();
        let before: BTreeSet<PackageName> = license
            .map(|license| license.packages.into_iter().collect())
            .unwrap_or_default();
        let now = match session::renew(project, true).await? {
            Renewal::Kept(_, error) => return Err(error),
            renewal => renewal.into_session().packages,
        };
        let now: BTreeSet<PackageName> = now.into_iter().collect();
        let (added, removed): (Vec<_>, Vec<_>) = (
            now.difference(&before).collect(),
            before.difference(&now).collect(),
        );
        if self.json {
            return print_json(&serde_json::json!({ "added": added, "removed": removed }));
        }
        let signed = |sign: char, names: &[&PackageName]| -> String {
            let lines: Vec<String> = names
                .iter()
                .map(|name| format!("{sign} {name}\n"))
                .collect();
            lines.concat()
        };
        print(&(signed('+', &added) + &signed('-', &removed)))
    }
}
