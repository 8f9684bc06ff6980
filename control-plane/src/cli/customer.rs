//! `tollgate customer`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};
use terminal::output::{print, print_json};
use terminal::{Exit, Failure};

use super::remote::{Cell, Column, Remote, escaped, rows_table, with_reason};
use super::when::When;

/// What `tollgate customer` can do.
#[derive(Debug, Args)]
pub struct Customer {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the customers with their tiers
    List,
    /// Show, assign and release a customer's tier
    #[command(subcommand)]
    Tier(Tier),
    /// Show, set and clear what a customer may do beside its tier
    #[command(subcommand)]
    Override(Override),
    /// Show what a customer used, and how much is left of its limits
    Usage(Usage),
}

#[derive(Debug, Subcommand)]
enum Tier {
    /// Show a customer's tier and where it comes from
    Show {
        /// The customer's id
        #[arg(value_name = "CUSTOMER")]
        id: String,
    },
    /// Assign a tier by hand: billing does not change it from then on
    Assign {
        /// The customer's id
        #[arg(value_name = "CUSTOMER")]
        id: String,
        /// The tier
        tier: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take an assignment by hand away: billing decides again, or the default
    Release {
        /// The customer's id
        #[arg(value_name = "CUSTOMER")]
        id: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum Override {
    /// Show the features and limits in force, and what decided each
    Show {
        /// The customer's id
        #[arg(value_name = "CUSTOMER")]
        id: String,
    },
    /// Set features and limits: `sso=on seats=20 api_calls=unlimited`
    ///
    /// All of them, or none where one is wrong.
    Set {
        /// The customer's id
        #[arg(value_name = "CUSTOMER")]
        id: String,
        /// A feature and `on` or `off`, or a limit and a number or `unlimited`
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = setting)]
        settings: Vec<(String, Setting)>,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take overrides away, so that the tier decides again
    Clear {
        /// The customer's id
        #[arg(value_name = "CUSTOMER")]
        id: String,
        /// The features and limits
        #[arg(value_name = "NAME", required_unless_present = "all")]
        names: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Usage {
    /// The customer's id
    #[arg(value_name = "CUSTOMER")]
    id: String,
    /// The period: `day`, `month` and so on for the one that runs, or a length such as `30 days`
    /// [default: each metric's own]
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["from", "to"])]
    window: Option<String>,
    /// From when on
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<When>,
    /// Until when
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<When>,
}

/// What a feature or limit is set to.
#[derive(Debug, Clone, Copy)]
enum Setting {
    Feature(bool),
    /// None is unlimited.
    Limit(Option<u64>),
}

const TIER: &[Column] = &[
    ("customer", Cell::At("/customerId")),
    ("tier", Cell::At("/tier")),
    ("from", Cell::At("/source")),
    ("assigned", Cell::At("/assignedAt")),
    ("by", Cell::At("/actor")),
    ("reason", Cell::At("/reason")),
];

const CUSTOMERS: &[Column] = &[
    ("CUSTOMER", Cell::At("/customerId")),
    ("TIER", Cell::At("/tier")),
    ("FROM", Cell::At("/source")),
    ("ASSIGNED", Cell::At("/assignedAt")),
    ("SINCE", Cell::At("/createdAt")),
];

const USAGE: &[Column] = &[
    ("METRIC", Cell::At("/metric")),
    ("USED", Cell::At("/used")),
    ("LIMIT", Cell::At("/limit")),
    ("LEFT", Cell::At("/left")),
    ("UNIT", Cell::At("/unit")),
    ("FROM", Cell::At("/from")),
    ("TO", Cell::At("/to")),
];

impl Customer {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::List => {
                let path = "/v1/customers?limit=100";
                remote.list(path, "customers", CUSTOMERS).await?;
            }
            Command::Tier(command) => command.run(&remote).await?,
            Command::Override(command) => command.run(&remote).await?,
            Command::Usage(command) => command.run(&remote).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Tier {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let path = |id: &str| format!("/v1/customers/{}/tier", escaped(id));
        let tier = match self {
            Self::Show { id } => remote.get(&path(&id)).await?,
            Self::Assign { id, tier, reason } => {
                let body = json!({ "tier": tier, "reason": reason });
                remote.write(Method::PUT, &path(&id), Some(body)).await?
            }
            Self::Release { id, reason } => {
                let path = with_reason(&path(&id), reason.as_deref());
                remote.write(Method::DELETE, &path, None).await?
            }
        };
        remote.show(&tier, TIER)
    }
}

impl Override {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let of = |id: &str| format!("/v1/subjects/{}", escaped(id));
        let entitlements = match self {
            Self::Show { id } => remote.get(&format!("{}/entitlements", of(&id))).await?,
            Self::Set {
                id,
                settings,
                reason,
            } => {
                let path = format!("{}/overrides", of(&id));
                let body = body(settings, reason.as_deref())?;
                remote.write(Method::PATCH, &path, Some(body)).await?
            }
            Self::Clear {
                id, names, reason, ..
            } => {
                let path = format!("{}/overrides", of(&id));
                let path = if names.is_empty() {
                    path
                } else {
                    let known = remote.get("/v1/manifest").await?;
                    let (features, limits) = sorted(&known, names);
                    format!("{path}?features={features}&limits={limits}")
                };
                let path = with_reason(&path, reason.as_deref());
                remote.write(Method::DELETE, &path, None).await?
            }
        };
        show_entitlements(remote, &entitlements)
    }
}

impl Usage {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let id = escaped(&self.id);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(window) = &self.window {
            query.append_pair("window", window);
        }
        if let (Some(When(from)), Some(When(to))) = (self.from, self.to) {
            query.append_pair("from", &from.to_string());
            query.append_pair("to", &to.to_string());
        }
        let usage = remote
            .get(&format!("/v1/subjects/{id}/usage?{}", query.finish()))
            .await?;
        if remote.json {
            return print_json(&usage);
        }
        let limits = remote
            .get(&format!("/v1/subjects/{id}/entitlements"))
            .await?;
        let rows = usage.pointer("/usage").and_then(Value::as_array);
        let rows: Vec<Value> = rows
            .into_iter()
            .flatten()
            .map(|row| with_limit(row.clone(), &limits))
            .collect();
        print(&rows_table(&rows, USAGE))
    }
}

/// A metric's row with the limit of the same name, where there is one, and what is left of it.
fn with_limit(mut row: Value, entitlements: &Value) -> Value {
    let metric = row.pointer("/metric").and_then(Value::as_str);
    let limit = metric.and_then(|metric| entitlements.pointer(&format!("/limits/{metric}/limit")));
    let used = row.pointer("/used").and_then(Value::as_u64).unwrap_or(0);
    let (limit, left) = match limit.map(|limit| (limit, limit.as_u64())) {
        None => return row,
        Some((_, Some(limit))) => (json!(limit), json!(limit.saturating_sub(used))),
        Some(_) => (json!("unlimited"), json!("unlimited")),
    };
    if let Some(members) = row.as_object_mut() {
        members.insert("limit".to_owned(), limit);
        members.insert("left".to_owned(), left);
    }
    row
}

fn body(settings: Vec<(String, Setting)>, reason: Option<&str>) -> anyhow::Result<Value> {
    let (mut features, mut limits) = (Map::new(), Map::new());
    for (name, setting) in settings {
        let before = match setting {
            Setting::Feature(on) => features.insert(name.clone(), json!(on)),
            Setting::Limit(limit) => limits.insert(name.clone(), json!(limit)),
        };
        if before.is_some() {
            let text = format!("`{name}` is set twice");
            return Err(Failure::new(Exit::Usage, text).into());
        }
    }
    Ok(json!({ "features": features, "limits": limits, "reason": reason }))
}

/// Names as the query wants them, features and limits apart. The server tells of one that is
/// neither.
fn sorted(manifest: &Value, names: Vec<String>) -> (String, String) {
    let limits = manifest.pointer("/limits").and_then(Value::as_array);
    let is_limit = |name: &String| limits.is_some_and(|all| all.contains(&json!(name)));
    let (limits, features): (Vec<_>, Vec<_>) = names.into_iter().partition(is_limit);
    let joined = |names: Vec<String>| {
        let names = names.iter().map(|name| escaped(name));
        names.collect::<Vec<_>>().join(",")
    };
    (joined(features), joined(limits))
}

/// Features and limits with what decided each.
fn show_entitlements(remote: &Remote, entitlements: &Value) -> anyhow::Result<()> {
    if remote.json {
        return print_json(entitlements);
    }
    let at = |place| entitlements.pointer(place).and_then(Value::as_object);
    let rows = at("/features").into_iter().chain(at("/limits")).flatten();
    let rows: Vec<Value> = rows
        .map(|(name, decided)| {
            json!({ "name": name, "value": value(decided), "source": decided.pointer("/source") })
        })
        .collect();
    let columns = &[
        ("NAME", Cell::At("/name")),
        ("VALUE", Cell::At("/value")),
        ("DECIDED BY", Cell::At("/source")),
    ];
    print(&rows_table(&rows, columns))
}

fn value(decided: &Value) -> String {
    if let Some(on) = decided.pointer("/on").and_then(Value::as_bool) {
        return if on { "on" } else { "off" }.to_owned();
    }
    let limit = decided.pointer("/limit").and_then(Value::as_u64);
    limit.map_or("unlimited".to_owned(), |limit| limit.to_string())
}

fn setting(text: &str) -> Result<(String, Setting), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("it is written `name=value`")?;
    let setting = match value {
        "on" => Setting::Feature(true),
        "off" => Setting::Feature(false),
        "unlimited" => Setting::Limit(None),
        number => Setting::Limit(Some(number.parse().map_err(
            |_| "a feature is `on` or `off`, a limit a whole number or `unlimited`",
        )?)),
    };
    Ok((name.to_owned(), setting))
}
