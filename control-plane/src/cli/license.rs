//! `tollgate license`.

mod import;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};
use terminal::ask::confirm;
use terminal::private_file::Reserved;
use terminal::{Exit, Failure};

use self::import::Import;
use super::remote::{Cell, Column, Remote, escaped};
use super::sign_request::SignRequest;
use super::when::{self, When};

/// What `tollgate license` can do.
#[derive(Debug, Args)]
pub struct License {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Issue a license and print its key, this once
    Issue(Box<Issue>),
    /// List licenses
    List(List),
    /// Show a license
    Show {
        /// The license's id
        #[arg(value_name = "LICENSE")]
        id: String,
    },
    /// Change what a license grants
    ///
    /// What is not named stays. Where something is taken away, tokens from before it are refused.
    Change(Box<Change>),
    /// Suspend a license: its boxes are refused until it is reinstated
    Suspend(Decide),
    /// Reinstate a suspended license
    Reinstate(Decide),
    /// Revoke a license for good
    Revoke {
        #[command(flatten)]
        decide: Decide,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Give a license a new key and print it, this once
    RotateKey(RotateKey),
    /// Issue a license for each row of a CSV table
    ///
    /// The heading names the columns: `customerId`, and any of `tier`, `expiresAt`, `maxBoxes`,
    /// `addOns`, `metadata.…` and the other fields of a license. A row that is refused does not keep
    /// the others from being issued.
    Import(Import),
    /// Sign the request of a box that has no network
    ///
    /// `box request` prints it there, and `box activate --from` takes the license file that comes
    /// of it. The box takes its seat as by an activation. The file counts until it ends: in the air
    /// gap it cannot be revoked.
    SignRequest(SignRequest),
}

#[derive(Debug, Args)]
struct Issue {
    /// Who buys: any text of yours
    #[arg(long, value_name = "ID")]
    customer: String,
    #[command(flatten)]
    terms: Terms,
    /// Write the key to this new file, mode 0600, in place of printing it
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// What a license grants.
#[derive(Debug, Args)]
struct Terms {
    /// The tier [default for a new license: the customer's]
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// From when on it is no longer good: a time, a day, or a span from now such as `1y`
    #[arg(long, value_name = "TIME")]
    expires_at: Option<When>,
    /// What an expired license is still good for
    #[arg(long, value_name = "STRATEGY", value_parser = PossibleValuesParser::new(["restrict", "maintain"]))]
    expiry_strategy: Option<String>,
    /// For how long it is good after the expiry, for example `7d`
    #[arg(long, value_name = "TIME", value_parser = when::seconds)]
    grace: Option<u32>,
    /// How many boxes may activate it [default for a new license: the tier's limit]
    #[arg(long, value_name = "NUMBER")]
    max_boxes: Option<u32>,
    /// After how long a silent box loses its seat, for example `30d`
    #[arg(long, value_name = "TIME", value_parser = when::seconds)]
    lease: Option<u32>,
    /// A package beyond the tier; may be given several times
    #[arg(long = "add-on", value_name = "PACKAGE")]
    add_ons: Vec<String>,
    /// A note of your own; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = note)]
    metadata: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct Change {
    /// The license's id
    #[arg(value_name = "LICENSE")]
    id: String,
    #[command(flatten)]
    terms: Terms,
    /// What to take away again, so that the default holds
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    clear: Vec<Field>,
    /// A note to take away
    #[arg(long, value_name = "NAME")]
    clear_metadata: Vec<String>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What can be taken away.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Field {
    /// The customer's tier counts
    Tier,
    /// It never expires
    ExpiresAt,
    /// Nothing is good after the expiry
    ExpiryStrategy,
    /// It has no grace
    Grace,
    /// The tier's limit counts
    MaxBoxes,
    /// Boxes keep their seats
    Lease,
    /// There are no further packages
    AddOns,
}

impl Field {
    fn member(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::ExpiresAt => "expiresAt",
            Self::ExpiryStrategy => "expiryStrategy",
            Self::Grace => "graceSeconds",
            Self::MaxBoxes => "maxBoxes",
            Self::Lease => "leaseSeconds",
            Self::AddOns => "addOns",
        }
    }
}

#[derive(Debug, Args)]
struct Decide {
    /// The license's id
    #[arg(value_name = "LICENSE")]
    id: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
struct RotateKey {
    #[command(flatten)]
    decide: Decide,
    /// For how long the present key is good yet, for example `7d`; without it, every older key ends
    /// now
    #[arg(long, value_name = "TIME", value_parser = when::seconds)]
    overlap: Option<u32>,
    /// Write the key to this new file, mode 0600, in place of printing it
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct List {
    /// Of this customer
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// That stand so
    #[arg(long, value_name = "STATUS", value_parser = PossibleValuesParser::new(["active", "grace", "expired", "suspended", "revoked"]))]
    status: Option<String>,
    /// At this tier
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// That expire before then
    #[arg(long, value_name = "TIME")]
    expires_before: Option<When>,
    /// No more than so many
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// What a list shows of each license.
const COLUMNS: &[Column] = &[
    ("LICENSE", Cell::At("/id")),
    ("CUSTOMER", Cell::At("/customerId")),
    ("TIER", Cell::At("/tier")),
    ("STATUS", Cell::At("/status")),
    ("BOXES", Cell::Of(seats)),
    ("EXPIRES", Cell::At("/expiresAt")),
];

/// What is shown of one.
const FIELDS: &[Column] = &[
    ("license", Cell::At("/id")),
    ("customer", Cell::At("/customerId")),
    ("status", Cell::At("/status")),
    ("tier", Cell::At("/tier")),
    ("tier from", Cell::At("/tierSource")),
    ("boxes", Cell::Of(seats)),
    ("add-ons", Cell::At("/addOns")),
    ("expires", Cell::At("/expiresAt")),
    ("grace", Cell::Of(|license| span(license, "/graceSeconds"))),
    ("expired is", Cell::At("/expiryStrategy")),
    ("lease", Cell::Of(|license| span(license, "/leaseSeconds"))),
    ("metadata", Cell::At("/metadata")),
    ("created", Cell::At("/createdAt")),
];

impl License {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::Issue(command) => command.run(&remote).await?,
            Command::List(command) => command.run(&remote).await?,
            Command::Show { id } => {
                let license = remote
                    .get(&format!("/v1/licenses/{}", escaped(&id)))
                    .await?;
                remote.show(&license, FIELDS)?;
            }
            Command::Change(command) => command.run(&remote).await?,
            Command::Suspend(decide) => decide.run(&remote, "suspend").await?,
            Command::Reinstate(decide) => decide.run(&remote, "reinstate").await?,
            Command::Revoke { decide, yes } => {
                let id = &decide.id;
                confirm(
                    &format!("Revoke {id} for good? It can never be used again."),
                    yes,
                )?;
                decide.run(&remote, "revoke").await?;
            }
            Command::RotateKey(command) => command.run(&remote).await?,
            Command::Import(command) => return command.run(&remote).await,
            Command::SignRequest(command) => command.run(&remote).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Issue {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let key_file = self.key_file.map(Reserved::new).transpose()?;
        let mut body = self.terms.body();
        body.insert("customerId".to_owned(), json!(self.customer));
        let path = "/v1/licenses";
        let license = remote.write(Method::POST, path, Some(body.into())).await?;
        show_with_key(remote, license, key_file)
    }
}

impl Change {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let mut body = self.terms.body();
        for field in self.clear {
            let member = field.member();
            if body.insert(member.to_owned(), Value::Null).is_some() {
                let text = format!("`{member}` is both set and cleared");
                return Err(Failure::new(Exit::Usage, text).into());
            }
        }
        if !self.clear_metadata.is_empty()
            && let Value::Object(notes) = body.entry("metadata").or_insert_with(|| json!({}))
        {
            for name in self.clear_metadata {
                if notes.insert(name.clone(), Value::Null).is_some() {
                    let text = format!("the note `{name}` is both set and cleared");
                    return Err(Failure::new(Exit::Usage, text).into());
                }
            }
        }
        if body.is_empty() {
            return Err(Failure::new(Exit::Usage, "nothing is to change")
                .hint("`tollgate license change --help` lists what can")
                .into());
        }
        if let Some(reason) = self.reason {
            body.insert("reason".to_owned(), json!(reason));
        }
        let path = format!("/v1/licenses/{}", escaped(&self.id));
        let license = remote
            .write(Method::PATCH, &path, Some(body.into()))
            .await?;
        remote.show(&license, FIELDS)
    }
}

impl Terms {
    /// As the API takes them; what is not given is not there.
    fn body(&self) -> Map<String, Value> {
        let expires_at = self.expires_at.map(|When(at)| at);
        let add_ons = (!self.add_ons.is_empty()).then_some(&self.add_ons);
        let notes: Map<String, Value> = self
            .metadata
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let notes = (!notes.is_empty()).then_some(notes);
        [
            ("tier", json!(self.tier)),
            ("expiresAt", json!(expires_at)),
            ("expiryStrategy", json!(self.expiry_strategy)),
            ("graceSeconds", json!(self.grace)),
            ("maxBoxes", json!(self.max_boxes)),
            ("leaseSeconds", json!(self.lease)),
            ("addOns", json!(add_ons)),
            ("metadata", json!(notes)),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

impl Decide {
    async fn run(&self, remote: &Remote, verb: &str) -> anyhow::Result<()> {
        let path = format!("/v1/licenses/{}/{verb}", escaped(&self.id));
        let body = json!({ "reason": self.reason });
        let license = remote.write(Method::POST, &path, Some(body)).await?;
        remote.show(&license, FIELDS)
    }
}

impl RotateKey {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let id = &self.decide.id;
        let overlap = self.overlap.unwrap_or(0);
        if overlap == 0 {
            confirm(
                &format!("Give {id} a new key? Every older one ends now."),
                self.yes,
            )?;
        }
        let key_file = self.key_file.map(Reserved::new).transpose()?;
        let path = format!("/v1/licenses/{}/rotate-key", escaped(id));
        let body = json!({ "reason": self.decide.reason, "overlapSeconds": overlap });
        let license = remote.write(Method::POST, &path, Some(body)).await?;
        show_with_key(remote, license, key_file)
    }
}

impl List {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let path = format!("/v1/licenses?{}", self.query());
        let limit = self.limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        remote.list_up_to(&path, "licenses", COLUMNS, limit).await
    }

    fn query(&self) -> String {
        let before = self.expires_before.map(|When(at)| at.to_string());
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", "100");
        for (name, value) in [
            ("customerId", &self.customer),
            ("status", &self.status),
            ("tier", &self.tier),
            ("expiresBefore", &before),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

/// Shows a license and, once, its key: in a file where one is named.
fn show_with_key(
    remote: &Remote,
    license: Value,
    key_file: Option<Reserved>,
) -> anyhow::Result<()> {
    let lost = "`tollgate license rotate-key` makes another";
    remote.show_secret(license, FIELDS, ("key", "/key"), key_file, lost)
}

/// How many seats are taken of how many.
pub(super) fn seats(license: &Value) -> String {
    let number = |at| license.pointer(at).and_then(Value::as_u64);
    let used = number("/boxes/used").unwrap_or(0);
    match number("/boxes/limit") {
        Some(limit) => format!("{used}/{limit}"),
        None => format!("{used}/unlimited"),
    }
}

/// Seconds as days of 24 hours, hours and so on, as `--grace` and `--lease` take them.
fn span(license: &Value, at: &str) -> String {
    match license.pointer(at).and_then(Value::as_i64) {
        None | Some(0) => "-".to_owned(),
        Some(seconds) => {
            let (minutes, hours, days) = (seconds / 60 % 60, seconds / 3600 % 24, seconds / 86_400);
            let parts = [
                (days, "d"),
                (hours, "h"),
                (minutes, "m"),
                (seconds % 60, "s"),
            ];
            let parts = parts.into_iter().filter(|(number, _)| *number != 0);
            let parts: Vec<String> = parts
                .map(|(number, unit)| format!("{number}{unit}"))
                .collect();
            parts.join(" ")
        }
    }
}

/// A note as it is written.
fn note(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("a note is written `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}
