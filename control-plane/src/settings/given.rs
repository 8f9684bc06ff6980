//! What was given on the command line, in the environment and in the configuration file, and
//! where each setting that holds comes from.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Value, json};

use super::{Config, Settings};

/// What flags and variables say, and the file that says the rest.
#[derive(Debug, Default)]
pub struct Given {
    pub(super) settings: Settings,
    pub(super) origins: Origins,
    config: Option<PathBuf>,
}

/// What clap reads of [`Given`].
#[derive(Args)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
    /// A configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    config: Option<PathBuf>,
}

/// Which settings came from a variable; the other ones that are given came from a flag.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeSet<&'static str>);

/// The content of a configuration file.
#[derive(Debug, Default)]
pub(super) struct FileSettings {
    pub(super) settings: Settings,
    pub(super) name: PathBuf,
}

/// A setting as it holds.
#[derive(Debug, Clone)]
pub struct Row {
    key: String,
    pub(super) value: Option<String>,
    pub(super) origin: Origin,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// This configuration file.
    File(PathBuf),
    /// This variable.
    Environment(&'static str),
    /// This flag.
    Flag(String),
}

impl Given {
    /// The settings that hold, not checked yet, and a row for each.
    pub fn load(self) -> anyhow::Result<(Config, Vec<Row>)> {
        let file = match &self.config {
            Some(path) => FileSettings {
                settings: read(path)?,
                name: path.clone(),
            },
            None => FileSettings::default(),
        };
        Settings::hold(self, file)
    }

    /// The settings that hold, checked.
    pub fn config(self) -> anyhow::Result<Config> {
        self.load()?.0.checked()
    }
}

impl From<Settings> for Given {
    fn from(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        Flags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args_for_update(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        // Asked first: reading a value takes it out of the matches.
        let from_environment = Settings::NAMES
            .iter()
            .copied()
            .filter(|name| matches.value_source(name) == Some(ValueSource::EnvVariable))
            .collect();
        let Flags { settings, config } = Flags::from_arg_matches_mut(matches)?;
        Ok(Self {
            settings,
            origins: Origins(from_environment),
            config,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Origins {
    pub(super) fn of(&self, name: &'static str, variable: &'static str) -> Origin {
        if self.0.contains(name) {
            Origin::Environment(variable)
        } else {
            Origin::Flag(format!("--{}", kebab(name)))
        }
    }
}

impl Row {
    pub(super) fn new(name: &str) -> Self {
        Self {
            key: kebab(name),
            value: None,
            origin: Origin::Default,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// The rows for people, in columns.
pub fn table(rows: &[Row]) -> String {
    let value = |row: &Row| row.value.clone().unwrap_or_else(|| "-".to_owned());
    let width = |cell: &dyn Fn(&Row) -> usize| rows.iter().map(cell).max().unwrap_or_default();
    let keys = width(&|row| row.key.chars().count());
    let values = width(&|row| value(row).chars().count());
    let mut text = String::new();
    for row in rows {
        let (key, value, origin) = (&row.key, value(row), &row.origin);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:keys$}  {value:values$}  {origin}");
    }
    text
}

/// The rows for machines.
pub fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let origin = match &row.origin {
            Origin::Default => json!({ "kind": "default" }),
            Origin::File(path) => json!({ "kind": "file", "name": path.display().to_string() }),
            Origin::Environment(name) => json!({ "kind": "environment", "name": name }),
            Origin::Flag(name) => json!({ "kind": "flag", "name": name }),
        };
        json!({ "key": row.key, "value": row.value, "origin": origin })
    };
    rows.iter().map(row).collect()
}

fn kebab(name: &str) -> String {
    name.replace('_', "-")
}

/// Reads a configuration file; an unknown key is an error that names its line.
fn read(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration `{}`", path.display()))?;
    parse(&text).with_context(|| format!("the configuration `{}` is not right", path.display()))
}

/// The line itself is not shown: it can hold a password.
fn parse(text: &str) -> anyhow::Result<Settings> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        match before.map(|before| before.matches('\n').count() + 1) {
            Some(line) => anyhow!("line {line}: {}", error.message()),
            None => anyhow!("{}", error.message()),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        given: Given,
    }

    fn given(arguments: &[&str]) -> Given {
        let arguments = std::iter::once(&"x").chain(arguments);
        Cli::try_parse_from(arguments).unwrap().given
    }

    #[test]
    fn each_setting_names_its_origin_and_a_flag_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tollgate.toml");
        std::fs::write(&file, "issuer = 'file'\naudience = 'file'\nlog-json = true").unwrap();
        let file = file.to_str().unwrap();
        let (config, rows) = given(&["--issuer", "flag", "--config", file])
            .load()
            .unwrap();
        assert_eq!((&*config.issuer, &*config.audience), ("flag", "file"));
        assert_eq!((config.token_life, config.log_json), (3600, true));
        let origin = |key: &str| {
            rows.iter()
                .find(|row| row.key == key)
                .unwrap()
                .origin
                .clone()
        };
        assert_eq!(origin("issuer").to_string(), "flag --issuer");
        assert_eq!(origin("audience").to_string(), format!("file {file}"));
        assert_eq!(origin("token-life").to_string(), "default");
    }

    #[test]
    fn the_table_is_aligned() {
        let (_, rows) = given(&["--issuer", "x"]).load().unwrap();
        let text = table(&rows);
        let column = |line: &str| line.rfind("default").or(line.rfind("flag"));
        let columns: BTreeSet<_> = text.lines().map(column).collect();
        assert_eq!(columns.len(), 1, "{text}");
        assert_eq!(json(&rows).as_array().unwrap().len(), rows.len());
    }

    #[test]
    fn an_error_in_the_file_names_the_line_and_does_not_show_it() {
        for (text, part) in [
            ("\nisuer = 'x'", "line 2: unknown field `isuer`"),
            ("database-url = ['postgres://u:hunter2@h/db']", "line 1: "),
            ("database-url = 'postgres://u:hunter2@h/db", "line 1: "),
            ("database-url.x = 'postgres://u:hunter2@h/db'", "line 1: "),
            ("database-url = postgres://u:hunter2@h/db", "line 1: "),
            ("trusted-proxies = ['10.0.0.0/33']", "10.0.0.0/33"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
