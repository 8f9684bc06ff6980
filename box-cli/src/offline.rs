//! A box without a network: it asks its vendor by hand, and activates from the license file that
//! comes back. Everything about that file is checked here, at each use, without asking anybody:
//! that the vendor's root key signed it, that it is this box's, and that it is its time.

use std::fs;
use std::path::{Path, PathBuf};

use activation_token::Key;
use activation_token::offline::{HandedOver, LicenseFile, LicenseRequest, Unfit};
use activation_token::{LICENSE_FILE_BYTES_MAX, Untrusted};
use anyhow::Context;
use data_encoding::BASE32HEX_NOPAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use terminal::output::say;
use terminal::{Exit, Failure, private_file};
use url::Url;

use crate::credentials::Credentials;
use crate::files::Files;
use crate::fingerprint;
use crate::project::{Project, Turn};
use crate::words;

/// The file in `.box` with the root key that counts here.
const ROOT_KEY: &str = "root-key.json";
/// The file in `.box` that tells which requests this box made.
const REQUESTS: &str = "requests.json";
/// As many requests are remembered.
const REQUESTS_MAX: usize = 50;
/// How long before its end another license file should be asked for: it goes by hand.
const WARNED_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How much further the clock has to be before that is written down.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(1);
const FINGERPRINT_VARIABLE: &str = "BOX_FINGERPRINT";

/// Where a license file comes from, and what it is used with.
#[derive(Debug)]
pub struct FromFile<'a> {
    /// What the vendor handed over.
    pub file: &'a Path,
    /// The gate in the air gap, where it is named.
    pub registry: Option<Url>,
    /// The root key, where one is given: a file or a JWK.
    pub root_key: Option<&'a str>,
    /// What the box is known by, where that is given.
    pub fingerprint: Option<&'a str>,
    /// The organization, where it is given.
    pub org: Option<String>,
}

/// A request that was made.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    request_id: String,
    requested_at: Timestamp,
}

/// The root key to check with.
struct Root {
    key: Key,
    /// The file that keeps it.
    path: PathBuf,
    /// Whether it is there already.
    is_kept: bool,
}

/// Makes a request for a license file, and remembers that it was made.
pub fn request(
    project: &Project,
    given: Option<&str>,
    name: Option<String>,
    license_id: Option<String>,
    now: Timestamp,
    _turn: &Turn,
) -> anyhow::Result<LicenseRequest> {
    let request = LicenseRequest {
        request_id: request_id()?,
        requested_at: Timestamp::from_second(now.as_second()).unwrap_or(now),
        fingerprint: match given_fingerprint(given) {
            Some(given) => given,
            None => fingerprint::of(project)?,
        },
        name,
        license_id,
    };
    let mut made = requests(project)?;
    made.push(Made {
        request_id: request.request_id.clone(),
        requested_at: request.requested_at,
    });
    let old = made.len().saturating_sub(REQUESTS_MAX);
    let text = serde_json::to_string_pretty(&made.split_off(old))? + "\n";
    project.keep(REQUESTS, &text)?;
    Ok(request)
}

/// Activates from a license file.
pub fn activate(
    project: &Project,
    from: FromFile<'_>,
    now: Timestamp,
    _turn: &Turn,
) -> anyhow::Result<Credentials> {
    let files = Files::open(project)?;
    let known = Credentials::load(project)?;
    let handed_over = read(from.file)?;
    let root = root_key(project, from.root_key, handed_over.root_key)?;
    let file = opened(&handed_over.license_file, &root)?;
    let fingerprint = this_box(project, from.fingerprint)?;
    let held = known.as_ref().and_then(|known| held(known, &root.key));
    let seen_at = seen_at(known.as_ref(), held.as_ref(), &file);
    file.check(&fingerprint, now, seen_at)
        .map_err(|error| unfit(&error))?;
    if !requests(project)?
        .iter()
        .any(|made| made.request_id == file.request_id)
    {
        say(&format!(
            "warning: the license file answers request `{}`, which was not made in this project",
            file.request_id
        ))?;
    }
    let registry_url = from
        .registry
        .or_else(|| known.as_ref().map(|known| known.registry_url.clone()));
    let registry_url = registry_url.ok_or_else(|| {
        Failure::new(Exit::Usage, "no registry is named")
            .hint("name the gate that serves the bundle, with `--registry URL`")
    })?;
    let same = known
        .as_ref()
        .filter(|known| known.license_file.is_some() && known.license_id == file.license_id);
    let credentials = Credentials {
        license_key: None,
        license_file: Some(handed_over.license_file),
        control_plane_url: None,
        npm_token: file.token,
        issued_at: file.issued_at,
        expires_at: file.expires_at,
        activated_at: same.map_or(now, |known| known.activated_at),
        fingerprint,
        name: known.as_ref().and_then(|known| known.name.clone()),
        org: from
            .org
            .or(known.as_ref().and_then(|known| known.org.clone())),
        license_id: file.license_id,
        customer_id: file.customer_id,
        box_id: None,
        tier: file.tier,
        registry_url,
        packages: file.packages,
        license_expires_at: file.license_expires_at,
        boxes_used: None,
        boxes_limit: None,
        clock_seen_at: seen_at.map_or(now, |seen_at| seen_at.max(now)),
    };
    keep(project, &root)?;
    files.activated(known.as_ref(), &credentials)?;
    Ok(credentials)
}

/// What is known of a box that was activated from a license file, as the file has it, if it counts
/// here and now. Asks nobody. Writes down how far the clock is, where that can be written.
pub fn checked(
    project: &Project,
    known: Credentials,
    given: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<Credentials> {
    let root = root_key(project, None, None)?;
    let text = known.license_file.as_deref().unwrap_or_default();
    let file = opened(text, &root)?;
    let fingerprint = this_box(project, given)?;
    let fits = file.check(&fingerprint, now, Some(known.clock_seen_at));
    fits.map_err(|error| unfit(&error))?;
    if now.duration_since(known.clock_seen_at) >= SEEN_EVERY {
        // In a folder that cannot be written, the last time that was written down counts.
        let _ = note_clock(project, now);
    }
    Ok(Credentials {
        clock_seen_at: known.clock_seen_at.max(now),
        ..as_signed(known, file)
    })
}

/// What to do about a license file that ends soon; none while there is time.
pub fn advice(known: &Credentials, now: Timestamp) -> Option<String> {
    known.license_file.as_ref()?;
    let left = known.expires_at.duration_since(now);
    (left <= WARNED_BEFORE).then(|| {
        format!(
            "warning: the license file ends at {}\n  hint: ask for another one: \
             `box request > request.json`, have your vendor sign it, `box activate --from FILE`",
            words::until(known.expires_at, now)
        )
    })
}

/// What the file says counts, whatever was written beside it.
fn as_signed(known: Credentials, file: LicenseFile) -> Credentials {
    Credentials {
        npm_token: file.token,
        issued_at: file.issued_at,
        expires_at: file.expires_at,
        license_id: file.license_id,
        customer_id: file.customer_id,
        tier: file.tier,
        packages: file.packages,
        license_expires_at: file.license_expires_at,
        ..known
    }
}

/// The latest time that the clock has shown, as far as it counts for this file. One that was
/// signed after the file at hand begins anew: the vendor saw what time it is.
fn seen_at(
    known: Option<&Credentials>,
    held: Option<&LicenseFile>,
    file: &LicenseFile,
) -> Option<Timestamp> {
    let is_newer = held.is_some_and(|held| held.issued_at < file.issued_at);
    let known = known.filter(|known| known.license_file.is_some() && !is_newer);
    known.map(|known| known.clock_seen_at)
}

/// The license file that the box has.
fn held(known: &Credentials, root: &Key) -> Option<LicenseFile> {
    LicenseFile::from_signed(known.license_file.as_deref()?, root).ok()
}

fn note_clock(project: &Project, now: Timestamp) -> anyhow::Result<()> {
    let Some(_turn) = project.try_turn()? else {
        return Ok(());
    };
    let Some(known) = Credentials::load(project)? else {
        return Ok(());
    };
    let clock_seen_at = known.clock_seen_at.max(now);
    Credentials {
        clock_seen_at,
        ..known
    }
    .save(project)
}

fn read(file: &Path) -> anyhow::Result<HandedOver> {
    let name = file.display();
    let length = fs::metadata(file).with_context(|| format!("cannot read `{name}`"))?;
    if length.len() > 2 * LICENSE_FILE_BYTES_MAX as u64 {
        return Err(Failure::new(Exit::Failed, format!("`{name}` is too long")).into());
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{name}`"))?;
    HandedOver::parse(&text).map_err(|error| {
        Failure::new(Exit::Failed, format!("`{name}`: {error}"))
            .hint("it is made by `tollgate license sign-request`; copy it whole")
            .into()
    })
}

fn opened(text: &str, root: &Root) -> anyhow::Result<LicenseFile> {
    LicenseFile::from_signed(text, &root.key).map_err(|error| {
        let failure = Failure::new(
            Exit::NotAllowed,
            format!("the license file does not count: {error}"),
        );
        let failure = match error {
            Untrusted::OtherKey if root.is_kept => failure.hint(format!(
                "root key {} is kept in `{}`; remove that file only if your vendor tells you by \
                 another way that its key has changed",
                root.key.id(),
                root.path.display()
            )),
            Untrusted::Content => failure.hint("a newer `box` may read it"),
            _ => failure.hint("ask your vendor for it again, and copy it whole"),
        };
        failure.into()
    })
}

fn unfit(unfit: &Unfit) -> anyhow::Error {
    let hint = match unfit {
        Unfit::OtherBox => {
            "make a request on this one with `box request`; if it is known by a `--fingerprint` of \
             yours, give the same again"
        }
        Unfit::ClockSetBack { .. } => {
            "set the clock right; if it was ahead before, a license file that is signed from now \
             on begins anew"
        }
        Unfit::NotYet { .. } => "set the clock right",
        Unfit::Expired { .. } => {
            "ask for another one: `box request > request.json`, have your vendor sign it, \
             `box activate --from FILE`"
        }
    };
    Failure::new(Exit::NotAllowed, unfit.to_string())
        .hint(hint)
        .into()
}

/// The root key that counts: the one that is kept, else the one that is given, else the one that
/// came with the license file.
fn root_key(project: &Project, given: Option<&str>, came: Option<Key>) -> anyhow::Result<Root> {
    let path = project.private(ROOT_KEY);
    let given = given.map(given_key).transpose()?;
    if let Some(text) = private_file::read(&path)? {
        let name = path.display();
        let key = Key::from_jwk(text.trim().as_bytes())
            .with_context(|| format!("the root key in `{name}` cannot be used"))?;
        if let Some(given) = given
            && given.id() != key.id()
        {
            let text = format!("another root key, {}, is kept in `{name}`", key.id());
            return Err(Failure::new(Exit::NotAllowed, text)
                .hint("remove that file if your vendor's key has changed")
                .into());
        }
        let is_kept = true;
        return Ok(Root { key, path, is_kept });
    }
    let key = given.or(came).ok_or_else(|| {
        Failure::new(
            Exit::NotAllowed,
            "no root key is known to check the license file with",
        )
        .hint(
            "give your vendor's with `--root-key`; it is shown by `tollgate license sign-request`",
        )
    })?;
    let is_kept = false;
    Ok(Root { key, path, is_kept })
}

fn given_key(given: &str) -> anyhow::Result<Key> {
    let text = if given.trim_start().starts_with('{') {
        given.to_owned()
    } else {
        let read = private_file::read(Path::new(given))?;
        read.with_context(|| format!("there is no file `{given}`"))?
    };
    let key = Key::from_jwk(text.trim().as_bytes());
    key.context("the root key that is given cannot be used")
}

/// Keeps the root key, if it is not kept already. No other counts afterwards.
fn keep(project: &Project, root: &Root) -> anyhow::Result<()> {
    if root.is_kept {
        return Ok(());
    }
    let text = serde_json::to_string(root.key.to_jwk())? + "\n";
    project.keep(ROOT_KEY, &text)?;
    say(&format!(
        "root key {} is kept: no other counts from now on\n  \
         hint: compare it with what your vendor tells you",
        root.key.id()
    ))
}

/// What this box is known by now. What it once activated with does not count: a file that is
/// copied to another machine is not for that one.
fn this_box(project: &Project, given: Option<&str>) -> anyhow::Result<String> {
    match given_fingerprint(given) {
        Some(given) => Ok(given),
        None => fingerprint::known(project),
    }
}

/// The fingerprint that is given. Not every command has an option for it.
fn given_fingerprint(given: Option<&str>) -> Option<String> {
    let variable = std::env::var(FINGERPRINT_VARIABLE).ok();
    let given = given.map(ToOwned::to_owned).or(variable);
    given.filter(|given| !given.is_empty())
}

fn requests(project: &Project) -> anyhow::Result<Vec<Made>> {
    let path = project.private(REQUESTS);
    let text = private_file::read(&path)?;
    // They only tell whether a warning is due.
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one random value of a request, which is no secret"
)]
fn request_id() -> anyhow::Result<String> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .ok()
        .context("the operating system gives no random bytes")?;
    let random = BASE32HEX_NOPAD.encode(&random).to_ascii_lowercase();
    Ok(format!("req_{random}"))
}
