//! `box activate`.

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use terminal::output::{print, say};
use terminal::{Exit, Failure, ask};

use crate::activation::Request;
use crate::project::Project;
use crate::session::{self, Given, Session};
use crate::{fingerprint, words};

/// How a project is activated.
#[derive(Debug, Args)]
pub struct Activate {
    /// The license key, where older instructions put it
    #[arg(value_name = "KEY", hide = true, conflicts_with_all = ["key", "key_file"])]
    old_key: Option<SecretString>,
    #[command(flatten)]
    given: Given,
    /// The organization, as the vendor's instructions name it
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
    /// A name for this box, which the vendor sees [default: the machine's name is not sent]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

impl Activate {
    /// Activates the project (POT-55).
    pub async fn run(self, project: &Project) -> anyhow::Result<()> {
        if self.old_key.is_some() {
            say(
                "warning: a license key on the command line stays in the shell's history and is \
                 seen by every user of this machine; use --key-file, BOX_LICENSE_KEY or the prompt",
            )?;
        }
        let kept = crate::credentials::Credentials::load(project)?;
        let control_plane = self.given.control_plane.clone();
        let known = kept
            .as_ref()
            .and_then(|kept| kept.control_plane_url.clone());
        let control_plane = control_plane.or(known).ok_or_else(|| {
            Failure::new(Exit::Usage, "no control plane is given")
                .hint("add `--control-plane URL`; your vendor tells it with the license key")
        })?;
        // Before the control plane is asked: what cannot be kept would take a seat for nothing.
        let turn = project.take_turn().context("nothing was activated")?;
        let request = Request {
            control_plane,
            key: self.key(kept.and_then(|kept| kept.license_key))?,
            fingerprint: fingerprint::of(project, self.given.fingerprint.as_deref())?,
            name: self.name,
            org: self.org,
        };
        let waiting = terminal::progress::spinner("activating");
        let session = session::activate(project, &turn, &request).await?;
        drop(waiting);
        print(&told(&session))
    }

    fn key(&self, kept: Option<String>) -> anyhow::Result<SecretString> {
        if let Some(key) = &self.old_key {
            return Ok(key.clone());
        }
        if let Some(key) = self.given.license_key()? {
            return Ok(key);
        }
        if let Some(kept) = kept {
            return Ok(SecretString::from(kept));
        }
        ask::secret("license key")?.ok_or_else(|| {
            Failure::new(Exit::Usage, "no license key is given")
                .hint("put it in a file and name that with `--key-file`, or set BOX_LICENSE_KEY")
                .into()
        })
    }
}

fn told(session: &Session) -> String {
    let known = &session.credentials;
    let packages = words::count(session.packages.len(), "package");
    format!(
        "activated: tier {}, {packages} from {}\ntoken good until {}; `box renew` renews it\n",
        known.tier,
        known.registry_url,
        words::time(session.expires_at),
    )
}
