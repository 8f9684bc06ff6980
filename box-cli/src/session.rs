//! The one place that decides whether the box's token will do, and gets another one where not.
//!
//! Whoever needs a token asks [`fresh`]. Of many processes at once one renews; the others wait for
//! the lock, read again, and find it done.

use std::io::Read;
use std::path::PathBuf;

use activation_token::clock::{Clock, SystemClock};
use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use secrecy::{ExposeSecret, SecretString};
use terminal::output::say;
use terminal::{Exit, Failure, Unanswered, private_file};
use url::Url;

use crate::activation::{Activated, CLOCK_TOLERANCE, Request};
use crate::box_json::{self, BoxJson};
use crate::credentials::Credentials;
use crate::files::Files;
use crate::fingerprint;
use crate::offline;
use crate::project::{Project, Turn};
use crate::words;

/// What may be given on the command line or in the environment. Without it counts what the project
/// keeps.
#[derive(Debug, Clone, Default, Args)]
pub struct Given {
    /// The vendor's control plane
    #[arg(long, value_name = "URL", env = "BOX_CONTROL_PLANE")]
    pub control_plane: Option<Url>,
    /// The license key; safer in a file or in the variable than in a shell history
    #[arg(
        long,
        alias = "license-key",
        value_name = "KEY",
        env = "BOX_LICENSE_KEY",
        hide_env_values = true
    )]
    pub key: Option<SecretString>,
    /// A file with the license key, `-` for standard input; it counts before the key
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// What this box is known by [default: made from the machine's id]
    #[arg(long, value_name = "TEXT", env = "BOX_FINGERPRINT")]
    pub fingerprint: Option<String>,
}

/// A token that is good, and what is known around it.
#[derive(Debug)]
pub struct Session {
    /// The activation token.
    pub token: SecretString,
    /// When it ends, by this machine's clock.
    pub expires_at: Timestamp,
    /// Where packages are installed from.
    pub registry_url: Url,
    /// What may be installed, sorted.
    pub packages: Vec<PackageName>,
    /// What is known.
    pub credentials: Credentials,
}

/// When to ask for another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When less than half of its life is left.
    Due,
    /// In any case.
    Now,
}

/// A session, and how it came about.
#[derive(Debug)]
pub struct Outcome {
    /// The session.
    pub session: Session,
    /// Whether this process got another token.
    pub renewed: bool,
}

/// A session with a token that is good, which is renewed if it is due.
pub async fn fresh(project: &Project, given: &Given) -> anyhow::Result<Session> {
    Ok(renew(project, given, When::Due).await?.session)
}

/// The same, and tells whether it was renewed.
pub async fn renew(project: &Project, given: &Given, when: When) -> anyhow::Result<Outcome> {
    let key = given.license_key()?;
    let known = Credentials::load(project)?;
    let asked_with = known.as_ref().map(|known| known.npm_token.clone());
    let will_do = |known: &Credentials| {
        // With a token that came while this process waited, it is done.
        let newer = asked_with.as_ref() != Some(&known.npm_token);
        let wanted = when == When::Due || newer;
        wanted && given.is_met_by(known, key.as_ref()) && !known.is_due(SystemClock.now())
    };
    match known {
        Some(known) if known.license_file.is_some() && key.is_none() => {
            return offline(project, given, known);
        }
        Some(known) if will_do(&known) => return Ok(Outcome::of(known, false)),
        // Fails before `.box` is made where nothing is known.
        known => drop(whom(project, given, key.clone(), known.as_ref())?),
    }
    let Ok(turn) = take_turn(project).await else {
        return unkept(project, given, key).await;
    };
    let Ok(files) = Files::open(project) else {
        return unkept(project, given, key).await;
    };
    let known = Credentials::load(project)?;
    if let Some(known) = known.clone()
        && will_do(&known)
    {
        return Ok(Outcome::of(known, false));
    }
    let request = request(project, given, key, known.as_ref())?;
    match request.send().await {
        Ok(activated) => {
            let new = keep(files, known.as_ref(), activated, &turn)?;
            Ok(Outcome::of(new, true))
        }
        Err(error) => Ok(Outcome::of(old_one(known, &request, error)?, false)),
    }
}

/// Activates, whatever is kept. The key may be asked for.
pub async fn activate(
    project: &Project,
    given: &Given,
    key: SecretString,
    complete: impl FnOnce(&mut Request),
) -> anyhow::Result<Session> {
    let turn = take_turn(project).await?;
    let files = Files::open(project)?;
    let known = Credentials::load(project)?;
    let mut request = request(project, given, Some(key), known.as_ref())?;
    complete(&mut request);
    let activated = request.send().await?;
    let new = keep(files, known.as_ref(), activated, &turn)?;
    Ok(Outcome::of(new, true).session)
}

/// Asks for what a renewal would bring, and keeps nothing.
pub async fn preview(project: &Project, given: &Given) -> anyhow::Result<Session> {
    let key = given.license_key()?;
    match Credentials::load(project)? {
        Some(known) if known.license_file.is_some() && key.is_none() => {
            Ok(offline(project, given, known)?.session)
        }
        _ => Ok(unkept(project, given, key).await?.session),
    }
}

/// With whom, where and as what the box activates: what is given, then what is kept.
pub fn request(
    project: &Project,
    given: &Given,
    key: Option<SecretString>,
    known: Option<&Credentials>,
) -> anyhow::Result<Request> {
    let (control_plane, key) = whom(project, given, key, known)?;
    let fingerprint = match (&given.fingerprint, known) {
        (Some(given), _) => given.clone(),
        (None, Some(known)) => known.fingerprint.clone(),
        (None, None) => fingerprint::of(project)?,
    };
    Ok(Request {
        control_plane,
        key,
        fingerprint,
        name: known.and_then(|known| known.name.clone()),
        org: known.and_then(|known| known.org.clone()),
    })
}

/// The control plane and the key for it. A key that is kept goes to its own control plane alone.
fn whom(
    project: &Project,
    given: &Given,
    key: Option<SecretString>,
    known: Option<&Credentials>,
) -> anyhow::Result<(Url, SecretString)> {
    let kept_url = known.and_then(|known| known.control_plane_url.as_ref());
    let named = given.control_plane.clone().or(kept_url.cloned());
    let control_plane = match named {
        Some(url) => Some(url),
        None => in_box_json(project)?,
    };
    let kept_key = known
        .filter(|_| kept_url == control_plane.as_ref())
        .and_then(|known| known.license_key.as_deref());
    match (control_plane, key.or(kept_key.map(SecretString::from))) {
        (Some(control_plane), Some(key)) => Ok((control_plane, key)),
        (None, Some(_)) => Err(Failure::new(Exit::Usage, "no control plane is named")
            .hint("name the vendor's with `--control-plane` or BOX_CONTROL_PLANE")
            .into()),
        (_, None) => Err(not_activated(project).into()),
    }
}

impl Given {
    /// The license key that is given, if any.
    pub fn license_key(&self) -> anyhow::Result<Option<SecretString>> {
        let Some(path) = &self.key_file else {
            let key = self.key.as_ref().map(|key| key.expose_secret().trim());
            return Ok(key.filter(|key| !key.is_empty()).map(SecretString::from));
        };
        let text = if path.as_os_str() == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.context("cannot read the license key from standard input")?;
            text
        } else {
            let text = private_file::read(path)?;
            text.with_context(|| format!("there is no file `{}`", path.display()))?
        };
        if text.trim().is_empty() {
            return Err(Failure::new(Exit::Usage, "the license key is empty").into());
        }
        Ok(Some(SecretString::from(text.trim())))
    }

    /// Whether what is kept is of what is given.
    fn is_met_by(&self, known: &Credentials, key: Option<&SecretString>) -> bool {
        fn met<T: PartialEq + ?Sized>(given: Option<&T>, kept: Option<&T>) -> bool {
            given.is_none() || given == kept
        }
        met(
            self.control_plane.as_ref(),
            known.control_plane_url.as_ref(),
        ) && met(
            key.map(ExposeSecret::expose_secret),
            known.license_key.as_deref(),
        ) && met(self.fingerprint.as_ref(), Some(&known.fingerprint))
    }
}

impl Outcome {
    fn of(credentials: Credentials, renewed: bool) -> Self {
        let session = Session {
            token: SecretString::from(credentials.npm_token.as_str()),
            expires_at: credentials.expires_at,
            registry_url: credentials.registry_url.clone(),
            packages: credentials.packages.clone(),
            credentials,
        };
        Self { session, renewed }
    }
}

/// Waits for the turn without holding up what else goes on.
pub async fn take_turn(project: &Project) -> anyhow::Result<Turn> {
    let project = project.clone();
    tokio::task::spawn_blocking(move || project.take_turn()).await?
}

/// What a project without an activation says.
pub fn not_activated(project: &Project) -> Failure {
    let root = project.root().display();
    Failure::new(Exit::NotAllowed, format!("`{root}` is not activated"))
        .hint("run `box activate`, or set BOX_LICENSE_KEY and BOX_CONTROL_PLANE")
}

fn in_box_json(project: &Project) -> anyhow::Result<Option<Url>> {
    let text = private_file::read(&project.path(box_json::FILE))?;
    let box_json = BoxJson::parse(&text.unwrap_or_default())?;
    Ok(box_json.control_plane_url())
}

fn keep(
    files: Files<'_>,
    known: Option<&Credentials>,
    Activated {
        mut credentials,
        clock_ahead,
    }: Activated,
    _turn: &Turn,
) -> anyhow::Result<Credentials> {
    if let Some(ahead) = clock_ahead {
        warn_of_clock(ahead)?;
    }
    if let Some(known) = known
        && known.license_id == credentials.license_id
        && known.control_plane_url == credentials.control_plane_url
    {
        credentials.activated_at = known.activated_at;
    }
    if let Some(known) = known {
        credentials.clock_seen_at = credentials.clock_seen_at.max(known.clock_seen_at);
    }
    files.activated(known, &credentials)?;
    Ok(credentials)
}

/// Activates and keeps nothing, for folders that cannot be written.
async fn unkept(
    project: &Project,
    given: &Given,
    key: Option<SecretString>,
) -> anyhow::Result<Outcome> {
    let known = Credentials::load(project)?;
    let request = request(project, given, key, known.as_ref())?;
    match request.send().await {
        Ok(activated) => {
            if let Some(ahead) = activated.clock_ahead {
                warn_of_clock(ahead)?;
            }
            Ok(Outcome::of(activated.credentials, true))
        }
        Err(error) => Ok(Outcome::of(old_one(known, &request, error)?, false)),
    }
}

/// The token that is kept, where it is good still and the control plane only is away.
fn old_one(
    known: Option<Credentials>,
    request: &Request,
    error: anyhow::Error,
) -> anyhow::Result<Credentials> {
    let away = error
        .downcast_ref::<Unanswered>()
        .is_some_and(|error| error.exit() == Exit::Unreachable);
    let same = |known: &Credentials| {
        known.control_plane_url.as_ref() == Some(&request.control_plane)
            && known.license_key.as_deref() == Some(request.key.expose_secret())
            && known.fingerprint == request.fingerprint
    };
    let now = SystemClock.now();
    match known {
        Some(known) if away && same(&known) && known.is_good(now) => {
            say(&format!(
                "warning: {error}; the token at hand is good for {}",
                words::time(known.expires_at.duration_since(now))
            ))?;
            Ok(known)
        }
        _ => Err(error),
    }
}

/// What a license file is good for: nobody is asked, and nothing is renewed.
fn offline(project: &Project, given: &Given, known: Credentials) -> anyhow::Result<Outcome> {
    let fingerprint = given.fingerprint.as_deref();
    let known = offline::checked(project, known, fingerprint, SystemClock.now())?;
    Ok(Outcome::of(known, false))
}

fn warn_of_clock(ahead: SignedDuration) -> anyhow::Result<()> {
    if ahead.abs() <= CLOCK_TOLERANCE {
        return Ok(());
    }
    let way = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    say(&format!(
        "warning: this machine's clock is {} {way} the control plane's; set it right, or tokens \
         seem to end too early or too late",
        words::time(ahead.abs())
    ))
}
