//! The one place that decides whether the box's token will do, and gets another one where not.
//!
//! Whoever needs a token asks [`fresh`]. Only `box activate` changes with whom the project is
//! activated, and only that and [`renew`] write.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use activation_token::clock::{Clock, SystemClock};
use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use manifest::PackageName;
use secrecy::{ExposeSecret, SecretString};
use terminal::output::say;
use terminal::reach::address;
use terminal::{Exit, Failure, Unanswered, private_file};
use url::Url;

use crate::activation::{Activated, CLOCK_TOLERANCE, Request};
use crate::box_json::{self, BoxJson};
use crate::credentials::Credentials;
use crate::files::{Files, Unwritable};
use crate::fingerprint;
use crate::offline;
use crate::project::{Project, Turn};
use crate::words;

/// How often a process that waits for its turn looks whether it has come.
const LOOK: Duration = Duration::from_millis(20);
/// As many times it looks: two minutes.
const LOOKS_MAX: u32 = 6_000;
/// A token with more of its life left than this is not waited for.
const ENOUGH: SignedDuration = SignedDuration::from_mins(1);

/// What may be given on the command line or in the environment. Without it counts what the project
/// keeps.
#[derive(Debug, Clone, Default, Args)]
pub struct Given {
    /// The vendor's control plane
    #[arg(long, value_name = "URL", env = "BOX_CONTROL_PLANE", value_parser = address)]
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

/// What became of a renewal: a token that is good in any case.
#[derive(Debug)]
pub enum Renewal {
    /// It was not due, or another process was faster or is at it.
    NotDue(Session),
    /// This process got another token.
    Renewed(Session),
    /// The control plane is away, and the token at hand is good still.
    Old(Session, anyhow::Error),
}

/// A token that is good, renewed if it is due. For what is not kept in the project (it was not
/// activated, something else is given, or it cannot be written) one is asked for, and nothing is
/// kept.
pub async fn fresh(project: &Project, given: &Given) -> anyhow::Result<Session> {
    let key = given.license_key()?;
    let known = Credentials::load(project)?;
    match &known {
        Some(kept) if kept.license_file.is_some() && key.is_none() => {
            return offline(project, given.fingerprint(), kept.clone());
        }
        Some(kept) if given.is_met_by(kept, key.as_ref()) => {
            match renew(project, When::Due).await {
                Err(error) if error.is::<Unwritable>() => {}
                renewal => return renewal?.into_session(),
            }
        }
        _ => {}
    }
    let request = request(project, given, key, known.as_ref(), fingerprint::known)?;
    unkept(known, &request).await?.into_session()
}

/// Renews the token that the project keeps. Of several processes at once one asks; the others go on
/// with the token at hand, or wait, read again, and find it done.
pub async fn renew(project: &Project, when: When) -> anyhow::Result<Renewal> {
    let Some(seen) = Credentials::load(project)? else {
        return Err(not_activated(project).into());
    };
    if seen.license_file.is_some() {
        return Ok(Renewal::NotDue(offline(project, None, seen)?));
    }
    let now = SystemClock.now();
    if when == When::Due && !seen.is_due(now) {
        return Ok(Renewal::NotDue(seen.into()));
    }
    if let Some(back) = seen.clock_set_back(now) {
        say(&format!("warning: {}", words::clock_behind(back)))?;
    }
    let turn = match project.try_turn() {
        Ok(None) if when == When::Due && seen.is_good(now.saturating_add(ENOUGH)?) => {
            return Ok(Renewal::NotDue(seen.into()));
        }
        Ok(Some(turn)) => turn,
        _ => take_turn(project).await?,
    };
    let Some(known) = Credentials::load(project)? else {
        return Err(not_activated(project).into());
    };
    let is_newer = known.npm_token != seen.npm_token;
    if is_newer && !known.is_due(SystemClock.now()) {
        return Ok(Renewal::NotDue(known.into()));
    }
    let files = Files::open(project)?;
    let request = Request::of(&known)?;
    match request.send().await {
        Ok(activated) => {
            let session = keep(files, Some(&known), activated, &turn)?;
            Ok(Renewal::Renewed(session))
        }
        Err(error) => old_one(Some(known), &request, error),
    }
}

/// Tells npm again what it has to be told, where that is gone, and whether it was.
pub async fn mended(project: &Project) -> anyhow::Result<bool> {
    let to_mend = || -> anyhow::Result<Option<Credentials>> {
        let Some(known) = Credentials::load(project)? else {
            return Ok(None);
        };
        let is_right = Files::are_laid_out(project, &known)?;
        Ok((!is_right).then_some(known))
    };
    if to_mend()?.is_none() {
        return Ok(false);
    }
    let _turn = take_turn(project).await?;
    // Whoever had the turn was at it, perhaps.
    let Some(known) = to_mend()? else {
        return Ok(false);
    };
    Files::open(project)?.activated(Some(&known), &known)?;
    Ok(true)
}

/// Activates, whatever is kept. `complete` has the last word on what is sent.
pub async fn activate(
    project: &Project,
    given: &Given,
    key: SecretString,
    complete: impl FnOnce(&mut Request),
) -> anyhow::Result<Session> {
    let turn = take_turn(project).await?;
    let known = Credentials::load(project)?;
    let asked = async {
        let files = Files::open(project)?;
        let mut request = request(project, given, Some(key), known.as_ref(), fingerprint::of)?;
        complete(&mut request);
        anyhow::Ok((files, request.send().await?))
    };
    let asked = asked.await.inspect_err(|_| {
        // Nothing is left of what failed.
        if known.is_none() {
            let _ = project.clear();
        }
    });
    let (files, activated) = asked?;
    keep(files, known.as_ref(), activated, &turn)
}

/// Asks for what a renewal would bring, and keeps nothing.
pub async fn preview(project: &Project, given: &Given) -> anyhow::Result<Session> {
    let key = given.license_key()?;
    let known = Credentials::load(project)?;
    if let Some(known) = &known
        && known.license_file.is_some()
        && key.is_none()
    {
        return offline(project, given.fingerprint(), known.clone());
    }
    let request = request(project, given, key, known.as_ref(), fingerprint::known)?;
    let activated = request.send().await?;
    warn_of_clock(&activated)?;
    Ok(activated.credentials.into())
}

/// The control plane that is given, else the one that is kept, else the one that `box.json` names.
pub fn control_plane(
    project: &Project,
    given: &Given,
    known: Option<&Credentials>,
) -> anyhow::Result<Option<Url>> {
    let kept = known.and_then(|known| known.control_plane_url.clone());
    if let Some(url) = given.control_plane.clone().or(kept) {
        return Ok(Some(url));
    }
    let text = private_file::read(&project.path(box_json::FILE))?;
    BoxJson::parse(&text.unwrap_or_default())?.control_plane_url()
}

/// With whom, where and as what the box activates: what is given, then what is kept. A key that is
/// kept goes to its own control plane alone.
fn request(
    project: &Project,
    given: &Given,
    key: Option<SecretString>,
    known: Option<&Credentials>,
    fingerprint: fn(&Project) -> anyhow::Result<String>,
) -> anyhow::Result<Request> {
    let control_plane = control_plane(project, given, known)?;
    let kept_key = known
        .filter(|known| known.control_plane_url == control_plane)
        .and_then(|known| known.license_key.as_deref());
    let Some(key) = key.or(kept_key.map(SecretString::from)) else {
        return Err(not_activated(project).into());
    };
    let control_plane = control_plane.ok_or_else(no_control_plane)?;
    let fingerprint = match (given.fingerprint(), known) {
        (Some(given), _) => given.to_owned(),
        (None, Some(known)) => known.fingerprint.clone(),
        (None, None) => fingerprint(project)?,
    };
    Ok(Request {
        control_plane,
        key,
        fingerprint,
        name: known.and_then(|known| known.name.clone()),
        org: known.and_then(|known| known.org.clone()),
    })
}

impl Given {
    /// With the key in place of its file, which cannot be read twice where it is standard input.
    pub fn with_key_read(self) -> anyhow::Result<Self> {
        Ok(Self {
            key: self.license_key()?,
            key_file: None,
            ..self
        })
    }

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

    /// The fingerprint that is given; a variable that is set to nothing gives none.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint
            .as_deref()
            .filter(|given| !given.is_empty())
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
        ) && met(self.fingerprint(), Some(&known.fingerprint))
    }
}

impl Renewal {
    /// The session, with a warning where it is an old one.
    pub fn into_session(self) -> anyhow::Result<Session> {
        match self {
            Self::NotDue(session) | Self::Renewed(session) => Ok(session),
            Self::Old(session, error) => {
                let until = words::until(session.expires_at, SystemClock.now());
                say(&format!(
                    "warning: {error}; the token at hand is good until {until}"
                ))?;
                Ok(session)
            }
        }
    }
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

/// Waits for the turn, and can be given up while it waits.
pub async fn take_turn(project: &Project) -> anyhow::Result<Turn> {
    for _ in 0..LOOKS_MAX {
        let turn = project.try_turn();
        match turn.map_err(|error| Unwritable::new(project, &error))? {
            Some(turn) => return Ok(turn),
            None => tokio::time::sleep(LOOK).await,
        }
    }
    let text = "another `box` has been at it for two minutes";
    Err(Failure::new(Exit::Unreachable, text)
        .hint("try again; if one was suspended, resume or end it")
        .into())
}

/// What a project without an activation says.
pub fn not_activated(project: &Project) -> Failure {
    let root = project.root().display();
    Failure::new(Exit::NotAllowed, format!("`{root}` is not activated"))
        .hint("run `box activate`, or set BOX_LICENSE_KEY and BOX_CONTROL_PLANE")
}

/// What is said where no control plane is known.
pub fn no_control_plane() -> Failure {
    Failure::new(Exit::Usage, "no control plane is named")
        .hint("name the vendor's with `--control-plane` or BOX_CONTROL_PLANE")
}

/// Keeps what was got.
fn keep(
    files: Files<'_>,
    known: Option<&Credentials>,
    mut activated: Activated,
    _turn: &Turn,
) -> anyhow::Result<Session> {
    warn_of_clock(&activated)?;
    let new = &mut activated.credentials;
    if let Some(known) = known {
        if known.license_id == new.license_id {
            new.activated_at = known.activated_at;
        } else if known.box_id.is_some() {
            say(&format!(
                "note: license {} keeps this box's seat until the vendor releases it",
                known.license_id
            ))?;
        }
    }
    files.activated(known, new)?;
    Ok(activated.credentials.into())
}

/// Activates and keeps nothing.
async fn unkept(known: Option<Credentials>, request: &Request) -> anyhow::Result<Renewal> {
    match request.send().await {
        Ok(activated) => {
            warn_of_clock(&activated)?;
            Ok(Renewal::Renewed(activated.credentials.into()))
        }
        Err(error) => old_one(known, request, error),
    }
}

/// The token that is kept, where it is good still and the control plane only is away.
fn old_one(
    known: Option<Credentials>,
    request: &Request,
    error: anyhow::Error,
) -> anyhow::Result<Renewal> {
    let away = error
        .downcast_ref::<Unanswered>()
        .is_some_and(|error| error.exit() == Exit::Unreachable);
    match known {
        Some(known) if away && request.is_of(&known) && known.is_good(SystemClock.now()) => {
            Ok(Renewal::Old(known.into(), error))
        }
        _ => Err(error),
    }
}

/// What a license file is good for: nobody is asked, and nothing is renewed.
fn offline(
    project: &Project,
    fingerprint: Option<&str>,
    known: Credentials,
) -> anyhow::Result<Session> {
    let known = offline::checked(project, known, fingerprint, SystemClock.now())?;
    Ok(known.into())
}

fn warn_of_clock(activated: &Activated) -> anyhow::Result<()> {
    match activated.clock_ahead {
        Some(ahead) if ahead.abs() > CLOCK_TOLERANCE => {
            say(&format!("warning: {}", words::clock_differs(ahead)))
        }
        _ => Ok(()),
    }
}
