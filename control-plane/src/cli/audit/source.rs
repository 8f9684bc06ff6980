//! Which audit log is meant: that of a control plane, or the one in a database at hand.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use terminal::output::say;
use terminal::{ControlPlane, Exit, Failure};

use crate::cli::profiles::Profiles;
use crate::cli::remote::Remote;
use crate::settings::{Config, Given};

/// What names a log at hand, and what names a control plane.
const HERE: [&str; 3] = ["data", "database_url", "config"];
const THERE: [&str; 2] = ["server", "profile"];

/// Where the log is, as it was told.
#[derive(Debug)]
pub struct Source {
    given: Box<Given>,
    remote: Remote,
    here: Named,
    there: Named,
}

/// How something was named.
#[derive(Debug, Clone, Copy, Default)]
struct Named {
    by_option: bool,
    by_variable: bool,
}

/// A log.
pub enum Log {
    /// In a database that this process opens itself.
    Here(Box<Config>),
    /// A control plane's.
    There(ControlPlane),
}

/// What clap reads of [`Source`].
#[derive(Args)]
struct Where {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    given: Box<Given>,
}

impl Args for Source {
    fn augment_args(command: Command) -> Command {
        Where::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Where::augment_args_for_update(command)
    }
}

impl FromArgMatches for Source {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        // Asked first: reading a value takes it out of the matches.
        let here = Named::any(matches, &HERE);
        let there = Named::any(matches, &THERE);
        let Where { remote, given } = Where::from_arg_matches_mut(matches)?;
        Ok(Self {
            given,
            remote,
            here,
            there,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Named {
    fn any(matches: &ArgMatches, names: &[&str]) -> Self {
        let by = |source| {
            let mut names = names.iter();
            names.any(|name| matches.value_source(name) == Some(source))
        };
        Self {
            by_option: by(ValueSource::CommandLine),
            by_variable: by(ValueSource::EnvVariable),
        }
    }
}

impl Source {
    /// Whether the answer is for machines.
    pub fn json(&self) -> bool {
        self.remote.json
    }

    /// The log that is meant, which is said on standard error where another one could be.
    pub fn log(self) -> anyhow::Result<Log> {
        if is_there(self.here, self.there)? {
            let control_plane = self.remote.control_plane()?;
            say(&format!("the audit log of {}", control_plane.url()))?;
            return Ok(Log::There(control_plane));
        }
        let config = self.given.load()?.0;
        // Without a profile there is no other log that could be meant.
        if !Profiles::load().is_ok_and(|profiles| profiles.current.is_some()) {
            return Ok(Log::Here(Box::new(config)));
        }
        let text = if config.database_url.is_some() {
            "the audit log in the database of `database-url`".to_owned()
        } else {
            let dir = config.data.display();
            format!("the audit log in the data directory `{dir}`")
        };
        say(&text)?;
        Ok(Log::Here(Box::new(config)))
    }
}

/// Whether a control plane's log is meant. An option counts before a variable, and a variable
/// before the current profile.
fn is_there(here: Named, there: Named) -> anyhow::Result<bool> {
    match (here.by_option, there.by_option) {
        (true, true) => {
            return Err(both(
                "an option names a database, and another a control plane",
            ));
        }
        (here, there) if here != there => return Ok(there),
        _ => {}
    }
    match (here.by_variable, there.by_variable) {
        (true, true) => Err(both(
            "one variable names a database, and another a control plane",
        )),
        (here, there) if here != there => Ok(there),
        _ => Ok(Profiles::load()?.current.is_some()),
    }
}

fn both(text: &str) -> anyhow::Error {
    Failure::new(Exit::Usage, text)
        .hint("give `--server` or `--profile` for a control plane's log, or `--data` or `--database-url` for a database's")
        .into()
}
