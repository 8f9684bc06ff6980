//! `box activate`: exchange the license key for a token and lay it where npm finds it.

use std::process::ExitCode;

use clap::Args;
use secrecy::SecretString;
use terminal::output::{print, say};
use terminal::{Exit, Failure, ask};

use crate::credentials::Credentials;
use crate::project::Project;
use crate::session::{self, Given};

/// Takes a license into use.
#[derive(Debug, Args)]
pub struct Activate {
    #[command(flatten)]
    given: Given,
    /// The organization to name in box.json
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
    /// What the vendor sees as this box's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The license key, as older boxes took it
    #[arg(hide = true, value_name = "LICENSE_KEY", conflicts_with = "key_file")]
    old_key: Option<SecretString>,
}

impl Activate {
    /// Runs it.
    pub async fn run(self, project: &Project) -> anyhow::Result<ExitCode> {
        let Self {
            mut given,
            org,
            name,
            old_key,
        } = self;
        if let Some(key) = old_key {
            say(
                "warning: a license key as a plain argument is deprecated\n  \
                 hint: put it in a file and name that with `--key-file`, or set BOX_LICENSE_KEY",
            )?;
            given.key = Some(key);
        }
        let key = match given.license_key()? {
            Some(key) => key,
            None => kept_or_asked(project, &given)?,
        };
        let session = session::activate(project, &given, key, |request| {
            request.name = name.or(request.name.take());
            request.org = org.or(request.org.take());
        });
        let session = session.await?;
        print(&told(&session.credentials))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The key that the project keeps for the same control plane, else what is typed.
fn kept_or_asked(project: &Project, given: &Given) -> anyhow::Result<SecretString> {
    let known = Credentials::load(project)?;
    let same = |known: &Credentials| {
        given.control_plane.is_none() || given.control_plane == known.control_plane_url
    };
    if let Some(key) = known.filter(same).and_then(|known| known.license_key) {
        return Ok(SecretString::from(key));
    }
    let typed = ask::secret("License key")?;
    Ok(typed.ok_or_else(|| {
        Failure::new(Exit::Usage, "no license key is given")
            .hint("put it in a file and name that with `--key-file`, or set BOX_LICENSE_KEY")
    })?)
}

fn told(credentials: &Credentials) -> String {
    let mut text = format!(
        "activated: tier {}, {} packages from {}\n",
        credentials.tier,
        credentials.packages.len(),
        credentials.registry_url,
    );
    for package in &credentials.packages {
        text.push_str(&format!("  {package}\n"));
    }
    text
}
