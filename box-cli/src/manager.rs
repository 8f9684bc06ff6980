//! The package manager of a project: which one it is, and how it is told to install and update.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Deserialize;
use terminal::{Exit, Failure, private_file};

/// Those that boxes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// npm.
    Npm,
    /// pnpm.
    Pnpm,
    /// yarn 1.
    YarnClassic,
    /// yarn 2 and later.
    YarnBerry,
    /// bun.
    Bun,
}

/// Those that can be named: which yarn it is, the project says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// npm
    Npm,
    /// pnpm
    Pnpm,
    /// yarn, of whichever kind the project has
    Yarn,
    /// bun
    Bun,
}

/// What a project is installed with.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The package manager.
    pub manager: Manager,
    /// Lockfiles of others that lie beside its own.
    pub beside: Vec<&'static str>,
}

/// Lockfiles, in the order in which they count.
const LOCKFILES: [(&str, Name); 6] = [
    ("pnpm-lock.yaml", Name::Pnpm),
    ("yarn.lock", Name::Yarn),
    ("bun.lock", Name::Bun),
    ("bun.lockb", Name::Bun),
    ("package-lock.json", Name::Npm),
    ("npm-shrinkwrap.json", Name::Npm),
];
/// In the lockfiles of yarn 2 and later, and in no others.
const BERRY: &str = "__metadata:";
/// The settings of yarn 2 and later.
pub const YARNRC: &str = ".yarnrc.yml";

/// What is read of a `package.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PackageJson {
    package_manager: Option<String>,
    dependencies: serde_json::Map<String, serde_json::Value>,
    dev_dependencies: serde_json::Map<String, serde_json::Value>,
    optional_dependencies: serde_json::Map<String, serde_json::Value>,
}

/// The package manager that is named, else that of the nearest `packageManager` or lockfile, from
/// the folder upwards to the root of the repository, else npm.
pub fn find(folder: &Path, named: Option<Name>) -> anyhow::Result<Found> {
    let folders = folders(folder);
    if let Some(name) = named {
        return Ok(Found {
            manager: name.of(&folders),
            beside: Vec::new(),
        });
    }
    for here in &folders {
        if let Some(told) = package_json(here)?.package_manager {
            let manager = told_manager(&told)?;
            let beside = Vec::new();
            return Ok(Found { manager, beside });
        }
        let mut there = LOCKFILES
            .iter()
            .filter(|(file, _)| here.join(file).is_file());
        if let Some((_, name)) = there.next() {
            let others = there.filter(|(_, other)| other != name);
            return Ok(Found {
                manager: name.of(&folders),
                beside: others.map(|(file, _)| *file).collect(),
            });
        }
    }
    Ok(Found {
        manager: Manager::Npm,
        beside: Vec::new(),
    })
}

/// The folder and those above it, up to the root of the repository.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for here in folder.ancestors() {
        folders.push(here.to_owned());
        if here.join(".git").exists() {
            break;
        }
    }
    folders
}

/// The names of everything that the project of a folder depends on: as package managers do it, that
/// of the nearest `package.json` upwards.
pub fn dependencies(folder: &Path) -> anyhow::Result<Vec<String>> {
    let folders = folders(folder);
    let nearest = folders
        .iter()
        .find(|folder| folder.join("package.json").exists());
    let all = package_json(nearest.map_or(folder, PathBuf::as_path))?;
    let kinds = [
        all.dependencies,
        all.dev_dependencies,
        all.optional_dependencies,
    ];
    let names = kinds.into_iter().flatten().map(|(name, _)| name);
    Ok(names.collect())
}

fn package_json(folder: &Path) -> anyhow::Result<PackageJson> {
    let path = folder.join("package.json");
    let Some(text) = private_file::read(&path)? else {
        return Ok(PackageJson::default());
    };
    serde_json::from_str(&text).map_err(|error| {
        let text = format!("`{}` cannot be read: {error}", path.display());
        Failure::new(Exit::Failed, text).into()
    })
}

/// What `packageManager` says: a name and, after `@`, a version.
fn told_manager(told: &str) -> anyhow::Result<Manager> {
    let (name, version) = told.split_once('@').unwrap_or((told, ""));
    Ok(match name {
        "npm" => Manager::Npm,
        "pnpm" => Manager::Pnpm,
        "yarn" if version == "1" || version.starts_with("1.") => Manager::YarnClassic,
        "yarn" => Manager::YarnBerry,
        "bun" => Manager::Bun,
        _ => {
            let text = format!("`packageManager` names `{name}`, which is not known here");
            return Err(Failure::new(Exit::Failed, text)
                .hint("name one with `--manager`, or run yours by `box exec`")
                .into());
        }
    })
}

impl Name {
    fn of(self, folders: &[PathBuf]) -> Manager {
        match self {
            Self::Npm => Manager::Npm,
            Self::Pnpm => Manager::Pnpm,
            Self::Bun => Manager::Bun,
            Self::Yarn if folders.iter().any(|folder| is_berrys(folder)) => Manager::YarnBerry,
            Self::Yarn => Manager::YarnClassic,
        }
    }
}

fn is_berrys(folder: &Path) -> bool {
    let lockfile = fs::read_to_string(folder.join("yarn.lock"));
    folder.join(YARNRC).is_file() || lockfile.is_ok_and(|text| text.contains(BERRY))
}

impl Manager {
    /// What it is run by.
    pub fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::YarnClassic | Self::YarnBerry => "yarn",
            Self::Bun => "bun",
        }
    }

    /// Its arguments for installing: what the project says, or what is named.
    pub fn install(self, more: &[OsString]) -> Vec<OsString> {
        let adds = self != Self::Npm && more.iter().any(is_name);
        after(&[if adds { "add" } else { "install" }], more)
    }

    /// Its arguments for installing what the lockfile says, and nothing else.
    pub fn install_frozen(self, more: &[OsString]) -> Vec<OsString> {
        let first: &[&str] = match self {
            Self::Npm => &["ci"],
            Self::YarnBerry => &["install", "--immutable"],
            Self::Pnpm | Self::YarnClassic | Self::Bun => &["install", "--frozen-lockfile"],
        };
        after(first, more)
    }

    /// Its arguments for updating as `package.json` allows.
    pub fn update(self, more: &[OsString]) -> Vec<OsString> {
        let plain = more.iter().all(|one| is_name(one) && !has_range(one));
        let first: &[&str] = match self {
            Self::Npm | Self::Pnpm | Self::Bun => &["update"],
            Self::YarnClassic => &["upgrade"],
            // Without it, yarn takes the latest and writes it into `package.json`.
            Self::YarnBerry if plain => &["up", "--recursive"],
            Self::YarnBerry => &["up"],
        };
        after(first, more)
    }
}

fn after(first: &[&str], more: &[OsString]) -> Vec<OsString> {
    let first = first.iter().map(OsString::from);
    first.chain(more.iter().cloned()).collect()
}

fn is_name(argument: &OsString) -> bool {
    !argument.to_string_lossy().starts_with('-')
}

/// Whether a version stands after the name.
fn has_range(argument: &OsString) -> bool {
    argument.to_string_lossy().rfind('@').unwrap_or(0) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of a repository, with files in it and in the folder above.
    fn found(files: &[(&str, &str)], named: Option<Name>) -> anyhow::Result<Found> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        let folder = dir.path().join("packages/shop");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        find(&folder, named)
    }

    fn manager(files: &[(&str, &str)]) -> Manager {
        let found = found(files, None).unwrap();
        assert_eq!(found.beside, [""; 0]);
        found.manager
    }

    #[test]
    fn the_package_manager_is_that_of_package_json_then_of_the_lockfile_else_npm() {
        let pnpm = ("package.json", r#"{ "packageManager": "pnpm@10.1.0" }"#);
        assert_eq!(manager(&[pnpm, ("yarn.lock", "")]), Manager::Pnpm);
        let yarn = |version: &str| format!(r#"{{ "packageManager": "yarn@{version}" }}"#);
        let told = |version| manager(&[("package.json", &yarn(version))]);
        assert_eq!(told("1.22.22"), Manager::YarnClassic);
        assert_eq!(told("4.1.0+sha512.0"), Manager::YarnBerry);
        let nothing = ("package.json", "{}");
        assert_eq!(manager(&[nothing]), Manager::Npm);
        for (lockfile, text, expected) in [
            ("pnpm-lock.yaml", "", Manager::Pnpm),
            ("yarn.lock", "# yarn lockfile v1\n", Manager::YarnClassic),
            (
                "yarn.lock",
                "__metadata:\n  version: 8\n",
                Manager::YarnBerry,
            ),
            ("bun.lock", "", Manager::Bun),
            ("bun.lockb", "", Manager::Bun),
            ("package-lock.json", "", Manager::Npm),
            ("npm-shrinkwrap.json", "", Manager::Npm),
            ("../../pnpm-lock.yaml", "", Manager::Pnpm),
        ] {
            assert_eq!(
                manager(&[nothing, (lockfile, text)]),
                expected,
                "{lockfile}"
            );
        }
        assert_eq!(
            manager(&[("yarn.lock", ""), (YARNRC, "")]),
            Manager::YarnBerry
        );
    }

    #[test]
    fn a_folder_has_the_dependencies_of_the_package_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("src/deep");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        assert_eq!(dependencies(&inner).unwrap(), [""; 0]);
        let text = r#"{ "dependencies": { "a": "1" }, "devDependencies": { "b": "1" } }"#;
        fs::write(dir.path().join("package.json"), text).unwrap();
        assert_eq!(dependencies(&inner).unwrap(), ["a", "b"]);
    }

    #[test]
    fn of_two_lockfiles_it_is_said_which_was_not_taken() {
        let files = [("package-lock.json", ""), ("yarn.lock", "")];
        let expected = Found {
            manager: Manager::YarnClassic,
            beside: vec!["package-lock.json"],
        };
        assert_eq!(found(&files, None).unwrap(), expected);
        let named = found(&files, Some(Name::Npm)).unwrap();
        assert_eq!((named.manager, named.beside.len()), (Manager::Npm, 0));
        let unknown = [("package.json", r#"{ "packageManager": "ied@2" }"#)];
        assert!(found(&unknown, None).is_err());
    }

    #[test]
    fn each_package_manager_is_told_in_its_own_words() {
        let order = [OsString::from("@acme/order")];
        let said = |arguments: Vec<OsString>| {
            let words = arguments.iter().map(|word| word.to_string_lossy());
            words.collect::<Vec<_>>().join(" ")
        };
        let all = [
            Manager::Npm,
            Manager::Pnpm,
            Manager::YarnClassic,
            Manager::YarnBerry,
            Manager::Bun,
        ];
        let told = all.map(|manager| {
            [
                said(manager.install(&[])),
                said(manager.install(&order)),
                said(manager.install_frozen(&["--prefer-offline".into()])),
                said(manager.update(&order)),
            ]
            .join(", ")
        });
        let expected = [
            "install, install @acme/order, ci --prefer-offline, update @acme/order",
            "install, add @acme/order, install --frozen-lockfile --prefer-offline, \
             update @acme/order",
            "install, add @acme/order, install --frozen-lockfile --prefer-offline, \
             upgrade @acme/order",
            "install, add @acme/order, install --immutable --prefer-offline, \
             up --recursive @acme/order",
            "install, add @acme/order, install --frozen-lockfile --prefer-offline, \
             update @acme/order",
        ];
        assert_eq!(told, expected);
        let to_a_version = [OsString::from("@acme/order@2")];
        let up = Manager::YarnBerry.update(&to_a_version);
        assert_eq!(said(up), "up @acme/order@2");
    }
}
