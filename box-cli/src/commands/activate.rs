//! `box activate`: exchange the license key for a token and lay it where npm finds it.

use std::path::PathBuf;
use std::process::ExitCode;

use activation_token::clock::{Clock, SystemClock};
use clap::Args;
use secrecy::SecretString;
use terminal::output::{print, say};
use terminal::reach::address;
use terminal::{Exit, Failure, ask, progress};
use url::Url;

use crate::credentials::Credentials;
use crate::project::Project;
use crate::session::{self, Given};
use crate::{files, git, offline, words};

/// Takes a license into use.
#[derive(Debug, Args)]
pub struct Activate {
    #[command(flatten)]
    given: Given,
    /// A license file that the vendor signed for this box: no network is needed
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    from: Option<PathBuf>,
    /// The gate in the air gap, with `--from`
    #[arg(long, value_name = "URL", env = "BOX_REGISTRY", value_parser = address)]
    registry: Option<Url>,
    /// The vendor's root key, as a file or a JWK, with `--from` [default: the one that is kept, else
    /// the one beside the license file]
    #[arg(long, value_name = "FILE|JWK", env = "BOX_ROOT_KEY")]
    root_key: Option<String>,
    /// The organization to name in box.json
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
    /// What the vendor sees as this box's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The license key, as older boxes took it
    #[arg(hide = true, value_name = "LICENSE_KEY", conflicts_with_all = ["key_file", "from"])]
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
            from,
            registry,
            root_key,
        } = self;
        say_where(project)?;
        if let Some(file) = from {
            let from = offline::FromFile {
                file: &file,
                registry,
                root_key: root_key.as_deref(),
                fingerprint: given.fingerprint.as_deref(),
                org,
            };
            let turn = session::take_turn(project).await?;
            let now = SystemClock.now();
            let credentials = offline::activate(project, from, now, &turn)?;
            print(&told(&credentials))?;
            let until = words::until(credentials.expires_at, now);
            say(&format!("the license file is good until {until}"))?;
            warn_of_git(project, &credentials)?;
            return Ok(ExitCode::SUCCESS);
        }
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
        let _waits = progress::spinner("activating");
        let session = session::activate(project, &given, key, |request| {
            request.name = name.or(request.name.take());
            request.org = org.or(request.org.take());
        });
        let session = session.await?;
        print(&told(&session.credentials))?;
        warn_of_git(project, &session.credentials)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What git has it takes again, whatever it is to ignore.
fn warn_of_git(project: &Project, credentials: &Credentials) -> anyhow::Result<()> {
    let secrets = files::secrets(project, Some(credentials));
    let tracked = git::tracked(project.root(), &secrets).join(" ");
    if tracked.is_empty() {
        return Ok(());
    }
    say(&format!(
        "warning: git has {tracked}, and there is a secret in it now\n  \
         hint: `git rm --cached {tracked}` before the next commit"
    ))
}

/// Names the project where it is not the current folder, but one above.
fn say_where(project: &Project) -> anyhow::Result<()> {
    let root = project.root();
    match std::env::current_dir() {
        Ok(here) if here != root && here.starts_with(root) => {
            say(&format!("the project is `{}`", root.display()))
        }
        _ => Ok(()),
    }
}

/// The key that the project keeps for the same control plane, else what is typed.
fn kept_or_asked(project: &Project, given: &Given) -> anyhow::Result<SecretString> {
    let known = Credentials::load(project)?;
    let control_plane = session::control_plane(project, given, known.as_ref())?;
    let control_plane = control_plane.ok_or_else(session::no_control_plane)?;
    let same = |known: &Credentials| known.control_plane_url.as_ref() == Some(&control_plane);
    if let Some(key) = known.filter(same).and_then(|known| known.license_key) {
        return Ok(SecretString::from(key));
    }
    let typed = ask::secret("License key")?;
    Ok(typed.ok_or_else(|| {
        Failure::new(Exit::Usage, "no license key is given")
            .hint("put it in a file and name that with `--key-file`, or set BOX_LICENSE_KEY")
    })?)
}

/// The tier, and what it covers (POT-55).
fn told(credentials: &Credentials) -> String {
    let packages = credentials.packages.iter();
    let listed = words::lines(packages.map(|name| format!("  {name}")));
    format!(
        "activated: tier {}, {} from {}\n{listed}",
        credentials.tier,
        words::count(credentials.packages.len(), "package"),
        credentials.registry_url,
    )
}
