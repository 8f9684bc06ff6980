//! `tollgate login`, `logout` and `profile`.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::{Value, json};
use terminal::output::{print, print_json, say, table};
use terminal::{ControlPlane, Exit, Failure, ask};
use url::{Host, Url};

use super::profiles::{Profile, Profiles};
use crate::settings::secret;

/// The profile that is meant where none is named.
const DEFAULT: &str = "default";

/// Which control plane is kept, and under which name.
#[derive(Debug, Args)]
pub struct Login {
    /// The control plane's address
    #[arg(long, value_name = "URL", env = "TOLLGATE_SERVER")]
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
}

impl Login {
    /// Tries the token, and keeps it where it is good.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.insecure && is_open(&self.server) {
            return Err(Failure::new(
                Exit::Usage,
                "over `http://` the token could be read on its way",
            )
            .hint("use `https://`, or add `--insecure` where the network is yours alone")
            .into());
        }
        let token = self.token()?;
        let mut profiles = Profiles::load()?;
        let control_plane = ControlPlane::new(self.server.clone(), Some(token.clone()))?;
        let who: Value = control_plane.get("/v1/credentials/self").await?;
        let at = |member| who.pointer(member).and_then(Value::as_str);
        let name = at("/name").unwrap_or("-");
        let role = at("/role").or_else(|| at("/kind")).unwrap_or("-");
        let url = self.server;
        let text = format!(
            "logged in to {url} as {name} ({role}), profile {}",
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
            let mut text = String::new();
            let read = if file.as_os_str() == "-" {
                std::io::stdin().read_to_string(&mut text).map(drop)
            } else {
                std::fs::read_to_string(file).map(|read| text = read)
            };
            read.with_context(|| format!("cannot read the token in `{}`", file.display()))?;
            return Ok(SecretString::from(text.trim()));
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
        let Some(name) = name.filter(|name| profiles.all.contains_key(name)) else {
            return Err(Failure::new(Exit::Usage, "there is no such profile")
                .hint("`tollgate profile list` shows them")
                .into());
        };
        profiles.all.remove(&name);
        if profiles.current.as_ref() == Some(&name) {
            profiles.current = None;
        }
        profiles.save()?;
        say(&format!("logged out of profile {name}"))?;
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
                        .map(|(name, profile)| {
                            let is_current = current == Some(name);
                            json!({ "name": name, "server": profile.url, "current": is_current })
                        })
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
            Self::Use { name } => {
                profiles.get(Some(&name))?;
                profiles.current = Some(name);
                profiles.save()?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether what is sent there can be read on its way: without TLS, to another machine.
fn is_open(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() != "https" && !here
}
