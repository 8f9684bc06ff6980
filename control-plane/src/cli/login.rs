//! `tollgate login`, `logout` and `profile`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::{Value, json};
use terminal::output::{plain, print, print_json, say, table};
use terminal::reach::address;
use terminal::{ControlPlane, Exit, Failure, ask};
use url::Url;

use super::profiles::{Profile, Profiles};
use super::remote::{must_be_secret, read_token};
use crate::settings::secret;

/// The profile that is meant where none is named.
const DEFAULT: &str = "default";

/// Which control plane is kept, and under which name.
#[derive(Debug, Args)]
pub struct Login {
    /// The control plane's address
    #[arg(long, value_name = "URL", env = "TOLLGATE_SERVER", value_parser = address)]
    server: Url,
    /// The name under which it is kept
    #[arg(long, value_name = "NAME", env = "TOLLGATE_PROFILE", default_value = DEFAULT)]
    profile: String,
    /// A file with the operator token, `-` for standard input; without it, `TOLLGATE_OPERATOR_TOKEN`
    /// is taken, or the token is asked for
    #[arg(long, value_name = "FILE", env = "TOLLGATE_OPERATOR_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Send the token without encryption, over `http://` to another machine
    #[arg(long)]
    insecure: bool,
}

/// Which profile is forgotten.
#[derive(Debug, Args)]
pub struct Logout {
    /// The profile [default: the current one]
    #[arg(long, value_name = "NAME", env = "TOLLGATE_PROFILE")]
    profile: Option<String>,
}

/// What `tollgate profile` can do.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// List the profiles; the current one is marked
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a profile the current one
    Use {
        /// Its name
        name: String,
    },
    /// Show a profile; its token is never shown
    Show {
        /// Its name [default: the current one]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget a profile and its token
    Remove {
        /// Its name
        name: String,
    },
}

impl Login {
    /// Tries the token, and keeps it where it is good.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.insecure {
            must_be_secret(&self.server)?;
        }
        let mut profiles = Profiles::load()?;
        let token = self.token()?;
        let control_plane = ControlPlane::new(self.server.clone(), Some(token.clone()))?;
        let who: Value = control_plane.get("/v1/credentials/self").await?;
        let at = |member| who.pointer(member).and_then(Value::as_str);
        let kind = at("/kind").unwrap_or("-");
        if kind != "operator" {
            let text = format!("this is the token of a credential for a {kind}, not an operator's");
            return Err(Failure::new(Exit::NotAllowed, text)
                .hint("`tollgate credential create operator --name NAME` makes one")
                .into());
        }
        let name = plain(at("/name").unwrap_or("-"));
        let role = at("/role").unwrap_or("-");
        let until = at("/expiresAt").map(|time| format!(", good until {time}"));
        let url = self.server;
        let text = format!(
            "logged in to {url} as `{name}` ({role}{}), profile `{}`",
            until.unwrap_or_default(),
            self.profile
        );
        profiles.current = Some(self.profile.clone());
        profiles.all.insert(self.profile, Profile { url, token });
        profiles.save()?;
        say(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn token(&self) -> anyhow::Result<SecretString> {
        if let Some(file) = &self.token_file {
            return read_token(file);
        }
        if let Some(token) = secret("TOLLGATE_OPERATOR_TOKEN") {
            return Ok(token);
        }
        ask::secret("operator token")?.ok_or_else(|| {
            Failure::new(Exit::Usage, "no operator token is given")
                .hint("name a file with `--token-file`, or set TOLLGATE_OPERATOR_TOKEN")
                .into()
        })
    }
}

impl Logout {
    /// Forgets a profile's token. The credential itself goes on: `tollgate credential revoke`.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut profiles = Profiles::load()?;
        let name = self.profile.or_else(|| profiles.current.clone());
        forget(&mut profiles, &name.ok_or_else(no_current)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ProfileCommand {
    /// Does it. Tokens are never shown.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut profiles = Profiles::load()?;
        match self {
            Self::List { json } => {
                let current = profiles.current.as_deref();
                if json {
                    let all: Vec<Value> = profiles
                        .all
                        .iter()
                        .map(|(name, profile)| shown(name, profile, current == Some(name)))
                        .collect();
                    print_json(&json!({ "profiles": all }))?;
                } else {
                    let rows = profiles.all.iter().map(|(name, profile)| {
                        let mark = if current == Some(name) { "*" } else { "" };
                        [name.as_str(), profile.url.as_str(), mark]
                    });
                    print(&table(&["PROFILE", "SERVER", "CURRENT"], rows))?;
                }
            }
            Self::Show { name, json } => {
                let name = name.or_else(|| profiles.current.clone());
                let name = name.ok_or_else(no_current)?;
                if let Some(profile) = profiles.get(Some(&name))? {
                    let is_current = profiles.current.as_ref() == Some(&name);
                    let shown = shown(&name, &profile, is_current);
                    if json {
                        print_json(&shown)?;
                    } else {
                        let (url, current) = (&profile.url, if is_current { "yes" } else { "no" });
                        let name = plain(&name);
                        print(&format!(
                            "profile  {name}\nserver   {url}\ncurrent  {current}\n"
                        ))?;
                    }
                }
            }
            Self::Remove { name } => forget(&mut profiles, &name)?,
            Self::Use { name } => {
                profiles.get(Some(&name))?;
                profiles.current = Some(name);
                profiles.save()?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// All of a profile but its token.
fn shown(name: &str, profile: &Profile, is_current: bool) -> Value {
    json!({ "name": name, "server": profile.url, "current": is_current })
}

fn forget(profiles: &mut Profiles, name: &str) -> anyhow::Result<()> {
    profiles.remove(name)?;
    profiles.save()?;
    say(&format!("forgot profile `{}` and its token", plain(name)))
}

fn no_current() -> anyhow::Error {
    Failure::new(Exit::Usage, "no profile is the current one")
        .hint("name one; `tollgate profile list` shows them")
        .into()
}
