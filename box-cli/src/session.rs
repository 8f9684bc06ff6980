//! The one place that decides whether the kept token is good enough, or a new one is asked for.

use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use activation_token::clock::{Clock, SystemClock};
use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use secrecy::SecretString;
use terminal::output::say;
use terminal::{Exit, Failure, Unanswered};
use url::Url;

use crate::activation::{Activated, CLOCK_TOLERANCE, Request};
use crate::credentials::Credentials;
use crate::project::{Project, Turn};
use crate::{files, fingerprint};

/// What a box is told where the project keeps nothing.
#[derive(Debug, Clone, Default, Args)]
pub struct Given {
    /// The vendor's control plane
    #[arg(long, value_name = "URL", env = "BOX_CONTROL_PLANE")]
    pub control_plane: Option<Url>,
    /// The license key; safer in a file or in the variable than in a shell history
    #[arg(
        long,
        visible_alias = "license-key",
        value_name = "KEY",
        env = "BOX_LICENSE_KEY",
        hide_env_values = true
    )]
    pub key: Option<SecretString>,
    /// A file with the license key, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub key_file: Option<PathBuf>,
    /// What this box is known by [default: made of the machine's id, see the manual]
    #[arg(long, value_name = "TEXT", env = "BOX_FINGERPRINT")]
    pub fingerprint: Option<String>,
}

/// A token that is good now, and what is known with it.
#[derive(Debug)]
pub struct Session {
    /// The token.
    pub token: SecretString,
    /// When it ends, by this machine's clock.
    pub expires_at: Timestamp,
    /// Where packages are installed from.
    pub registry_url: Url,
    /// What may be installed, sorted.
    pub packages: Vec<PackageName>,
    /// All that is known.
    pub credentials: Credentials,
}

impl From<Credentials> for Session {
    fn from(credentials: Credentials) -> Self {
        Self {
            token: SecretString::from(credentials.npm_token.as_str()),
            expires_at: credentials.expires_at,
            registry_url: credentials.registry_url.clone(),
            packages: credentials.packages.clone(),
            credentials,
        }
    }
}

/// What became of a renewal.
#[derive(Debug)]
pub enum Renewal {
    /// It was not due: what is kept has at least half of its life left.
    NotDue(Session),
    /// There is a new token.
    Renewed(Session),
    /// There is none, and the kept one goes on.
    Kept(Session, anyhow::Error),
}

impl Renewal {
    /// The token that is good now.
    pub fn into_session(self) -> Session {
        match self {
            Self::NotDue(session) | Self::Renewed(session) | Self::Kept(session, _) => session,
        }
    }
}

/// A token that is good now, renewed where that is due. Where the control plane cannot be reached
/// and the kept token is still good, that one goes on, with a warning.
///
/// In a project that was not activated, it is asked for with what is given, and nothing is kept.
pub async fn fresh(project: &Project, given: &Given) -> anyhow::Result<Session> {
    if Credentials::load(project)?.is_none() {
        return unkept(project, given).await;
    }
    let renewal = renew(project, false).await?;
    if let Renewal::Kept(session, error) = &renewal {
        let until = session.expires_at;
        say(&format!(
            "warning: {error}; the kept token goes on until {until:.0}"
        ))?;
    }
    Ok(renewal.into_session())
}

/// Renews the token of a project that was activated, when that is due or wanted. Of several
/// processes at once, one asks, and the others take what it got.
pub async fn renew(project: &Project, wanted: bool) -> anyhow::Result<Renewal> {
    let seen = kept(project)?;
    if !wanted && !seen.is_due(SystemClock.now()) {
        return Ok(Renewal::NotDue(seen.into()));
    }
    let turn = match project.take_turn() {
        Ok(turn) => turn,
        // Whoever may not write cannot renew for the others, and may still use what is there.
        Err(error) if is_unwritable(&error) && seen.is_good(SystemClock.now()) => {
            return Ok(Renewal::Kept(seen.into(), error));
        }
        Err(error) if is_unwritable(&error) => return renewed_unkept(&seen).await,
        Err(error) => return Err(error),
    };
    let before = kept(project)?;
    // Another process was here while this one waited.
    let is_newer = before.npm_token != seen.npm_token;
    if is_newer && !before.is_due(SystemClock.now()) {
        return Ok(Renewal::NotDue(before.into()));
    }
    match again(&before).await {
        Ok(activated) => keep(project, &turn, Some(&before), activated).map(Renewal::Renewed),
        Err(error) if is_away(&error) && before.is_good(SystemClock.now()) => {
            Ok(Renewal::Kept(before.into(), error))
        }
        Err(error) => Err(error),
    }
}

/// Activates for the first time, or with another license or control plane.
pub async fn activate(
    project: &Project,
    turn: &Turn,
    request: &Request,
) -> anyhow::Result<Session> {
    let before = Credentials::load(project)?;
    let activated = request.send().await?;
    keep(project, turn, before.as_ref(), activated)
}

/// What the project keeps, which must have been activated.
pub fn kept(project: &Project) -> anyhow::Result<Credentials> {
    Credentials::load(project)?.ok_or_else(|| {
        Failure::new(Exit::Failed, "this project is not activated")
            .hint("run `box activate --control-plane URL`")
            .into()
    })
}

impl Given {
    /// The license key that is given, if one is.
    pub fn license_key(&self) -> anyhow::Result<Option<SecretString>> {
        let Some(file) = &self.key_file else {
            return Ok(self.key.clone());
        };
        let mut text = String::new();
        let read = if file.as_os_str() == "-" {
            std::io::stdin().read_to_string(&mut text).map(drop)
        } else {
            std::fs::read_to_string(file).map(|read| text = read)
        };
        read.with_context(|| format!("cannot read the license key in `{}`", file.display()))?;
        Ok(Some(SecretString::from(text.trim())))
    }
}

/// A token for a project that keeps nothing.
async fn unkept(project: &Project, given: &Given) -> anyhow::Result<Session> {
    let (Some(key), Some(control_plane)) = (given.license_key()?, given.control_plane.clone())
    else {
        return Err(Failure::new(Exit::Failed, "this project is not activated")
            .hint(
                "run `box activate --control-plane URL`, or set BOX_CONTROL_PLANE and \
                 BOX_LICENSE_KEY",
            )
            .into());
    };
    let request = Request {
        control_plane,
        key,
        fingerprint: fingerprint::of(project, given.fingerprint.as_deref())?,
        name: None,
        org: None,
    };
    let activated = request.send().await?;
    warn_of_clock(&activated)?;
    Ok(activated.credentials.into())
}

/// The same activation again.
async fn again(kept: &Credentials) -> anyhow::Result<Activated> {
    let request = Request::of(kept)?;
    let mut activated = request.send().await?;
    activated.credentials.activated_at = kept.activated_at;
    Ok(activated)
}

async fn renewed_unkept(kept: &Credentials) -> anyhow::Result<Renewal> {
    let activated = again(kept).await?;
    Ok(Renewal::Renewed(activated.credentials.into()))
}

/// Keeps what was got. The turn shows that nobody else does now.
fn keep(
    project: &Project,
    _turn: &Turn,
    before: Option<&Credentials>,
    activated: Activated,
) -> anyhow::Result<Session> {
    warn_of_clock(&activated)?;
    files::lay_down(project, before, &activated.credentials)?;
    Ok(activated.credentials.into())
}

fn warn_of_clock(activated: &Activated) -> anyhow::Result<()> {
    let Some(ahead) = activated.clock_ahead else {
        return Ok(());
    };
    if ahead.abs() < CLOCK_TOLERANCE {
        return Ok(());
    }
    let by = SignedDuration::from_mins(ahead.abs().as_mins());
    let way = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    say(&format!(
        "warning: this machine's clock is {by:#} {way} the control plane's; set it, or tokens \
         seem to end at the wrong time"
    ))
}

/// Whether the control plane was not there to be asked, so that the old token may go on.
fn is_away(error: &anyhow::Error) -> bool {
    let unanswered = error.downcast_ref::<Unanswered>();
    unanswered.is_some_and(|unanswered| unanswered.exit() == Exit::Unreachable)
}

/// Whether the project's folder cannot be written by whoever runs this.
pub fn is_unwritable(error: &anyhow::Error) -> bool {
    let kinds = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
    let mut causes = error.chain();
    causes.any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| kinds.contains(&io.kind()))
    })
}
