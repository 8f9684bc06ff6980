//! `tollgate license sign-request`: from what `box request` printed to what `box activate --from`
//! takes.

use std::io::Read;
use std::path::{Path, PathBuf};

use activation_token::Key;
use activation_token::clock::{Clock, SystemClock};
use activation_token::offline::{
    CLOCK_LEEWAY, HandedOver, LICENSE_REQUEST_BYTES_MAX, LicenseRequest,
};
use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use terminal::ask::confirm;
use terminal::output::{plain, print, print_json, say};
use terminal::{Exit, Failure, private_file};

use super::license::seats;
use super::remote::{Remote, escaped};
use super::when::When;

/// A request so old may be a forgotten one.
const OLD: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What is signed, for whom and for how long.
#[derive(Debug, Args)]
pub(super) struct SignRequest {
    /// What `box request` printed, `-` for standard input
    #[arg(value_name = "FILE")]
    request: PathBuf,
    /// The license to sign for [default: the one that the request names]
    #[arg(long, value_name = "LICENSE")]
    license: Option<String>,
    /// When the license file ends: a time, a day, or a span from now such as `90d` [default: in
    /// 365 days, or with the license]
    #[arg(long, value_name = "TIME", conflicts_with = "days")]
    expires_at: Option<When>,
    /// For how many days it is good, in place of a time
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=400))]
    days: Option<u16>,
    /// Write the license file here, mode 0600, in place of printing it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl SignRequest {
    /// Shows what is about to be signed, asks, and has it signed.
    pub(super) async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let request = read(&self.request)?;
        let id = self.license_of(&request)?;
        let now = SystemClock.now();
        let in_days = |days: u16| {
            let life = SignedDuration::from_hours(24 * i64::from(days));
            now.saturating_add(life).unwrap_or(now)
        };
        let expires_at = self.expires_at.map(|When(at)| at);
        let expires_at = expires_at.or(self.days.map(in_days));

        let path = format!("/v1/licenses/{}", escaped(&id));
        let license = remote.get(&path).await?;
        say(&about(&request, &license, expires_at, now))?;
        confirm(
            "Sign it? The license file counts until it ends, and cannot be taken back.",
            self.yes,
        )?;
        let body = json!({ "request": request, "expiresAt": expires_at });
        let path = format!("{path}/license-files");
        let answer = remote.write(Method::POST, &path, Some(body)).await?;
        self.hand_over(answer, remote)
    }

    /// The license that is meant.
    fn license_of(&self, request: &LicenseRequest) -> anyhow::Result<String> {
        match (&self.license, &request.license_id) {
            (Some(meant), Some(named)) if meant != named => {
                let text = format!("the request is for license `{named}`");
                Err(Failure::new(Exit::Usage, text)
                    .hint("leave `--license` out, or have the box make another request")
                    .into())
            }
            (Some(meant), _) => Ok(meant.clone()),
            (None, Some(named)) => Ok(named.clone()),
            (None, None) => Err(Failure::new(Exit::Usage, "the request names no license")
                .hint("name it with `--license`; `tollgate license list` shows them")
                .into()),
        }
    }

    fn hand_over(self, mut answer: Value, remote: &Remote) -> anyhow::Result<()> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let license_file = text("licenseFile").context("the answer has no license file")?;
        let root_key = answer.get("rootKey").map(ToString::to_string);
        let root_key = Key::from_jwk(root_key.unwrap_or_default().as_bytes());
        let root_key = root_key.context("the answer's root key cannot be used")?;
        let signed = format!(
            "signed: good until {}\nroot key: {}",
            text("expiresAt").unwrap_or("-"),
            root_key.id()
        );
        let handed_over = HandedOver {
            license_file: license_file.to_owned(),
            root_key: Some(root_key),
        };
        match &self.output {
            None if remote.json => print_json(&answer)?,
            None => print(&handed_over.to_text())?,
            Some(file) => private_file::write(file, &handed_over.to_text())?,
        }
        if let Some(file) = &self.output
            && remote.json
        {
            if let Some(members) = answer.as_object_mut() {
                members.remove("licenseFile");
            }
            print_json(&answer)?;
            say(&format!("the license file is in `{}`", file.display()))?;
        }
        let next = match &self.output {
            Some(file) => format!("box activate --from {}", file.display()),
            None => "box activate --from FILE".to_owned(),
        };
        say(&format!(
            "{signed}\nnext, on the box: {next} --registry URL"
        ))
    }
}

/// Reads what a box asks for.
fn read(file: &Path) -> anyhow::Result<LicenseRequest> {
    let mut text = String::new();
    // Whatever is longer is no request, and is not read whole.
    let limit = u64::try_from(LICENSE_REQUEST_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    let name = file.display();
    read.with_context(|| format!("cannot read `{name}`"))?;
    let request = LicenseRequest::from_json(&text);
    request.with_context(|| format!("`{name}` cannot be signed"))
}

/// What is about to be signed. The box wrote some of it, so nothing in it may steer the terminal.
fn about(
    request: &LicenseRequest,
    license: &Value,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> String {
    let of = |name: &str| {
        let text = license.get(name).and_then(Value::as_str);
        text.unwrap_or("-").to_owned()
    };
    let file_ends = expires_at.map_or_else(
        || "in 365 days, or with the license".to_owned(),
        |at| at.to_string(),
    );
    let lines = [
        ("request", plain(&request.request_id)),
        ("made", request.requested_at.to_string()),
        ("fingerprint", plain(&request.fingerprint)),
        (
            "name",
            request.name.as_deref().map_or("-".to_owned(), plain),
        ),
        ("license", of("id")),
        ("customer", of("customerId")),
        ("tier", of("tier")),
        ("status", of("status")),
        ("boxes", seats(license)),
        ("expires", of("expiresAt")),
        ("file ends", file_ends),
    ];
    let mut text: Vec<String> = lines
        .into_iter()
        .map(|(name, value)| format!("{name:11}  {value}"))
        .collect();
    let age = now.duration_since(request.requested_at);
    if age < -CLOCK_LEEWAY {
        text.push(
            "warning: the box's clock is ahead of this one: once it is set right, the license file \
             may count as ended or not begun"
                .to_owned(),
        );
    } else if age > OLD {
        text.push(format!(
            "warning: the request was made {} days ago; is it the one that is meant?",
            age.as_hours() / 24
        ));
    }
    text.join("\n")
}
