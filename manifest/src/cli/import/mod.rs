//! `manifest import`: [package] entries from packages that exist, in a workspace or a registry.

mod registry;
mod workspace;

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use manifest::{FoundPackage, Merged, PackageName, merge};
use serde::Deserialize;

use super::source::read;
use super::tidy::changes;
use super::{Outcome, coloured, print, tell};

/// Where to look, and what to write.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("place").required(true).args(["folder", "registry"])))]
pub(crate) struct Import {
    /// A folder with package.json files, at any depth.
    folder: Option<String>,
    /// A running registry. Starts from the packages of the manifest and those given by
    /// `--package`, and follows what they require.
    #[arg(long, value_name = "URL")]
    registry: Option<url::Url>,
    /// The token for the registry.
    #[arg(long, env = "NPM_TOKEN", hide_env_values = true, requires = "registry")]
    token: Option<String>,
    /// A package of the registry to start from.
    #[arg(long = "package", value_name = "NAME", requires = "registry")]
    packages: Vec<PackageName>,
    /// The npm scope. Without it, the one of the manifest.
    #[arg(long)]
    scope: Option<String>,
    /// Remove edges that the packages found do not have. Without it they stay: people may know
    /// more than a package.json says.
    #[arg(long)]
    prune: bool,
    /// Show what would change, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// The manifest to write or update.
    #[arg(long, value_name = "FILE", default_value = "tiers.toml")]
    manifest: String,
}

impl Import {
    pub(crate) fn run(&self) -> anyhow::Result<Outcome> {
        let old = match std::fs::exists(&self.manifest) {
            Ok(true) => Some(read(&self.manifest)?),
            _ => None,
        };
        let scope = self.scope(old.as_deref())?;
        let found = match (&self.folder, &self.registry) {
            (Some(folder), _) => workspace::find(folder, &scope)?,
            (None, Some(url)) => {
                let start = self.start(old.as_deref());
                registry::find(url, self.token.as_deref(), &scope, start)?
            }
            (None, None) => bail!("name a folder, or `--registry`"),
        };
        if found.is_empty() {
            bail!("no package of the scope `{scope}` was found");
        }
        let text = old.clone().unwrap_or_else(|| new_manifest(&scope));
        let merged = merge(&text, &self.manifest, &found, self.prune).map_err(|problems| {
            tell(&problems.render(coloured()));
            anyhow::anyhow!("`{}` cannot be changed", self.manifest)
        })?;
        self.report(&merged, found.len());
        if self.dry_run {
            print(&changes(
                &self.manifest,
                &old.unwrap_or_default(),
                &merged.text,
            ));
        } else if old.as_ref() != Some(&merged.text) {
            super::write(&self.manifest, &merged.text)?;
        }
        Ok(Outcome::Good)
    }

    fn scope(&self, old: Option<&str>) -> anyhow::Result<String> {
        let scope = match (&self.scope, old) {
            (Some(scope), _) => scope.clone(),
            (None, Some(text)) => scope_of(text)
                .with_context(|| format!("`{}` has no scope\nuse `--scope`", self.manifest))?,
            (None, None) => bail!("a new manifest needs `--scope`"),
        };
        if !scope.starts_with('@') || PackageName::parse(&format!("{scope}/x")).is_err() {
            bail!("`{scope}` is not an npm scope");
        }
        Ok(scope)
    }

    fn start(&self, old: Option<&str>) -> BTreeSet<PackageName> {
        let declared = old.into_iter().flat_map(packages_of);
        declared.chain(self.packages.iter().cloned()).collect()
    }

    fn report(&self, merged: &Merged, found: usize) {
        let mut text = format!(
            "{found} packages found: {} new, {} changed\n",
            merged.added.len(),
            merged.changed.len()
        );
        for name in &merged.not_found {
            let _ = writeln!(
                text,
                "note: {name} is required but not found; declared empty"
            );
        }
        for (name, edge) in merged.only_in_manifest.iter().filter(|_| !self.prune) {
            let _ = writeln!(
                text,
                "note: only the manifest says that {name} requires {edge}; `--prune` removes that"
            );
        }
        tell(&text);
    }
}

/// What is read from a package.json or from one version of a packument.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Npm {
    name: String,
    dependencies: serde_json::Map<String, serde_json::Value>,
    peer_dependencies: serde_json::Map<String, serde_json::Value>,
    peer_dependencies_meta: serde_json::Map<String, serde_json::Value>,
}

impl Npm {
    /// The package, when it is of the scope; optional peers are not required.
    fn in_scope(&self, scope: &str) -> Option<FoundPackage> {
        let ours = |text: &str| {
            let name = PackageName::parse(text).ok()?;
            (name.scope() == Some(scope)).then_some(name)
        };
        let name = ours(&self.name)?;
        let optional = |peer: &str| {
            let meta = self.peer_dependencies_meta.get(peer);
            meta.and_then(|meta| meta.get("optional")) == Some(&serde_json::Value::Bool(true))
        };
        let peers = self.peer_dependencies.keys().filter(|peer| !optional(peer));
        let requires = self
            .dependencies
            .keys()
            .chain(peers)
            .filter_map(|name| ours(name));
        let requires = requires.filter(|required| *required != name).collect();
        Some(FoundPackage { requires, name })
    }
}

/// A manifest with nothing in it but one tier.
fn new_manifest(scope: &str) -> String {
    format!(
        "# Written by `manifest import`. Next: name the leaves of each tier, then `manifest check`.\n\n\
         [manifest]\nscope = \"{scope}\"\ndefault-tier = \"basic\"\ntiers = [\"basic\"]\n\n\
         [tier.basic]\nleaves = []\n"
    )
}

/// The scope that a manifest declares, whatever else is wrong with it.
fn scope_of(text: &str) -> Option<String> {
    let file: toml::Table = text.parse().ok()?;
    Some(file.get("manifest")?.get("scope")?.as_str()?.to_owned())
}

fn packages_of(text: &str) -> Vec<PackageName> {
    let file: toml::Table = text.parse().unwrap_or_default();
    let packages = file.get("package").and_then(toml::Value::as_table);
    packages
        .into_iter()
        .flat_map(toml::Table::keys)
        .filter_map(|name| name.parse().ok())
        .collect()
}

/// A progress bar on standard error; only a terminal sees it. A `total` of 0 is not known yet.
fn progress(what: &'static str, total: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
    let template = match total {
        0 => "{spinner} {pos} {msg} {elapsed}",
        _ => "{spinner} {bar:40} {pos}/{len} {msg} {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}
