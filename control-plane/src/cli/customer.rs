//! `tollgate customer`: the tier, overrides and usage of those who bought.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};
use terminal::output::{print, print_json, table};
use terminal::{Exit, Failure};

use super::remote::{Cell, Column, Remote, escaped, with_reason};

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
    /// List customers, each with its tier
    List,
    /// Show, assign or release a customer's tier
    #[command(subcommand)]
    Tier(Tier),
    /// Show, set or clear what a customer has in place of what its tier says
    #[command(subcommand)]
    Override(Override),
    /// Show what a customer uses of its limits
    Usage(Usage),
}

#[derive(Debug, Subcommand)]
enum Tier {
    /// Show a customer's tier, and who decided it
    Show {
        /// The customer
        #[arg(value_name = "CUSTOMER")]
        customer: String,
    },
    /// Assign a tier by hand
    ///
    /// Licenses that name no tier follow it from their next activation on. Billing does not change
    /// it until it is released.
    Assign {
        /// The customer
        #[arg(value_name = "CUSTOMER")]
        customer: String,
        /// The tier
        #[arg(value_name = "TIER")]
        tier: String,
        #[command(flatten)]
        why: Why,
    },
    /// Take an assignment back
    ///
    /// Then billing decides, at once, where it knows of a subscription in force, and else the
    /// default.
    Release {
        /// The customer
        #[arg(value_name = "CUSTOMER")]
        customer: String,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Debug, Subcommand)]
enum Override {
    /// Show what is in force for a customer, and what decided each of it
    Show {
        /// The customer, or another subject
        #[arg(value_name = "CUSTOMER")]
        customer: String,
    },
    /// Set overrides, and leave the others
    ///
    /// A feature is `on` or `off`, a limit a number or `unlimited`. Several are set together or not
    /// at all. An override may give or take, and stays when the tier changes.
    Set {
        /// The customer, or another subject
        #[arg(value_name = "CUSTOMER")]
        customer: String,
        /// What to set, for example `sso=on` or `seats=50`
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = setting)]
        settings: Vec<Setting>,
        #[command(flatten)]
        why: Why,
    },
    /// Clear overrides, so that tier and add-ons count again
    Clear {
        /// The customer, or another subject
        #[arg(value_name = "CUSTOMER")]
        customer: String,
        /// The features and limits to clear
        #[arg(
            value_name = "NAME",
            required_unless_present = "all",
            conflicts_with = "all"
        )]
        names: Vec<String>,
        /// Clear all
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Debug, Args)]
struct Why {
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
struct Usage {
    /// The customer, or another subject
    #[arg(value_name = "CUSTOMER")]
    customer: String,
    /// minute, hour, day, week, month or year for the one that runs, or a time that ends now, such
    /// as `30 days` [default: the period that each metric is counted in]
    #[arg(long, value_name = "WINDOW", conflicts_with_all = ["from", "to"])]
    window: Option<String>,
    /// From when on, such as 2026-11-01T00:00:00Z or 2026-11-01
    #[arg(long, value_name = "TIME", requires = "to", value_parser = moment)]
    from: Option<Timestamp>,
    /// Until when
    #[arg(long, value_name = "TIME", requires = "from", value_parser = moment)]
    to: Option<Timestamp>,
}

/// An override as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Setting {
    /// A feature, on or off.
    Feature(String, bool),
    /// A limit; none is unlimited.
    Limit(String, Option<u64>),
}

/// What is shown of a customer.
const FIELDS: &[Column] = &[
    ("customer", Cell::At("/customerId")),
    ("tier", Cell::At("/tier")),
    ("decided by", Cell::At("/source")),
    ("assigned by", Cell::At("/actor")),
    ("reason", Cell::At("/reason")),
    ("assigned", Cell::At("/assignedAt")),
    ("known since", Cell::At("/createdAt")),
];

/// What a list shows of each.
const COLUMNS: &[Column] = &[
    ("CUSTOMER", Cell::At("/customerId")),
    ("TIER", Cell::At("/tier")),
    ("DECIDED BY", Cell::At("/source")),
    ("ASSIGNED", Cell::At("/assignedAt")),
    ("KNOWN SINCE", Cell::At("/createdAt")),
];

/// What is shown of a subject before its features and limits.
const STANDING: &[Column] = &[
    ("customer", Cell::At("/subject")),
    ("tier", Cell::At("/tier")),
    ("tier from", Cell::At("/tierSource")),
    ("add-ons", Cell::At("/addOns")),
    ("premium", Cell::Of(|standing| yes(standing, "/premium"))),
    ("trial ends", Cell::At("/trialEndsAt")),
];

impl Customer {
    /// Does it.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let remote = self.remote;
        match self.command {
            Command::List => {
                let path = "/v1/customers?limit=100";
                remote.list(path, "customers", COLUMNS).await?;
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
        let path = |customer: &str| format!("/v1/customers/{}/tier", escaped(customer));
        let standing = match self {
            Self::Show { customer } => remote.get(&path(&customer)).await?,
            Self::Assign {
                customer,
                tier,
                why,
            } => {
                let body = json!({ "tier": tier, "reason": why.reason });
                remote
                    .write(Method::PUT, &path(&customer), Some(body))
                    .await?
            }
            Self::Release { customer, why } => {
                let path = with_reason(&path(&customer), why.reason.as_deref());
                remote.write(Method::DELETE, &path, None).await?
            }
        };
        remote.show(&standing, FIELDS)
    }
}

impl Override {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let standing = match self {
            Self::Show { customer } => remote.get(&entitlements(&customer)).await?,
            Self::Set {
                customer,
                settings,
                why,
            } => {
                let body = body(settings, why.reason.as_deref())?;
                let path = overrides(&customer);
                remote.write(Method::PATCH, &path, Some(body)).await?
            }
            Self::Clear {
                customer,
                names,
                all,
                why,
            } => {
                let mut path = overrides(&customer);
                if !all {
                    let standing = remote.get(&entitlements(&customer)).await?;
                    let (features, limits) = sorted(&standing, names)?;
                    let named =
                        |names: Vec<String>| Some(names.join(",")).filter(|all| !all.is_empty());
                    path += &query(&[("features", named(features)), ("limits", named(limits))]);
                }
                let path = with_reason(&path, why.reason.as_deref());
                remote.write(Method::DELETE, &path, None).await?
            }
        };
        show(remote, &standing)
    }
}

impl Usage {
    async fn run(self, remote: &Remote) -> anyhow::Result<()> {
        let customer = escaped(&self.customer);
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let parts = [
            ("window", self.window.clone()),
            ("from", time(self.from)),
            ("to", time(self.to)),
        ];
        // A limit is for the period that its metric is counted in, and says nothing of another.
        let own_period = self.window.is_none() && self.from.is_none();
        let control_plane = remote.control_plane()?;
        let path = format!("/v1/subjects/{customer}/usage{}", query(&parts));
        let mut usage: Value = control_plane.get(&path).await?;
        if own_period {
            let standing: Value = control_plane.get(&entitlements(&self.customer)).await?;
            let rows = usage.pointer_mut("/usage").and_then(Value::as_array_mut);
            for row in rows.into_iter().flatten() {
                limit(row, &standing);
            }
        }
        if remote.json {
            return print_json(&usage);
        }
        let rows = usage.pointer("/usage").and_then(Value::as_array);
        let rows = rows.into_iter().flatten().map(|row| {
            let text = |name| row.get(name).map_or_else(|| "-".to_owned(), plain);
            let period = format!("{} to {}", text("from"), text("to"));
            let columns = ["metric", "used", "limit", "left", "unit"].map(text);
            columns.into_iter().chain([period]).collect::<Vec<_>>()
        });
        print(&table(
            &["METRIC", "USED", "LIMIT", "LEFT", "UNIT", "PERIOD"],
            rows,
        ))
    }
}

/// Adds the limit of a metric's name to what is used of it, and what is left.
fn limit(row: &mut Value, standing: &Value) {
    let name = row.get("metric").and_then(Value::as_str);
    let limit = name.and_then(|name| standing.get("limits")?.get(name)?.get("limit"));
    let used = row.get("used").and_then(Value::as_u64).unwrap_or(0);
    let (Some(limit), Some(row)) = (limit, row.as_object_mut()) else {
        return;
    };
    let left = limit.as_u64().map(|limit| limit.saturating_sub(used));
    row.insert("limit".to_owned(), limit.clone());
    row.insert("left".to_owned(), json!(left));
}

/// What is in force, what decided, and what stands in place of something.
fn show(remote: &Remote, standing: &Value) -> anyhow::Result<()> {
    remote.show(standing, STANDING)?;
    if remote.json {
        return Ok(());
    }
    let mut rows = Vec::new();
    for (kind, member) in [("features", "on"), ("limits", "limit")] {
        let overrides = standing.get("overrides").and_then(|all| all.get(kind));
        let all = standing.get(kind).and_then(Value::as_object);
        for (name, value) in all.into_iter().flatten() {
            let text = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), plain);
            let source = value.get("source").and_then(Value::as_str);
            rows.push([
                name.clone(),
                text(value.get(member)),
                source.unwrap_or("-").to_owned(),
                text(overrides.and_then(|all| all.get(name))),
            ]);
        }
    }
    let rows = table(&["NAME", "IN FORCE", "DECIDED BY", "OVERRIDE"], rows);
    print(&format!("\n{rows}"))
}

/// What stands in force, for people.
fn plain(value: &Value) -> String {
    match value {
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::Null => "unlimited".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn yes(value: &Value, at: &str) -> String {
    let yes = value.pointer(at).and_then(Value::as_bool) == Some(true);
    if yes { "yes" } else { "no" }.to_owned()
}

fn entitlements(customer: &str) -> String {
    format!("/v1/subjects/{}/entitlements", escaped(customer))
}

fn overrides(customer: &str) -> String {
    format!("/v1/subjects/{}/overrides", escaped(customer))
}

/// A query string of what is given.
fn query(parts: &[(&str, Option<String>)]) -> String {
    let given = parts.iter().filter_map(|(name, value)| {
        let value = value.as_deref()?;
        Some(format!("{name}={}", escaped(value)))
    });
    match given.collect::<Vec<_>>().join("&") {
        nothing if nothing.is_empty() => nothing,
        query => format!("?{query}"),
    }
}

/// Overrides as the API takes them. What is said twice is said wrongly once.
fn body(settings: Vec<Setting>, reason: Option<&str>) -> anyhow::Result<Value> {
    let (mut features, mut limits) = (Map::new(), Map::new());
    for setting in settings {
        let (name, before) = match setting {
            Setting::Feature(name, on) => (name.clone(), features.insert(name, json!(on))),
            Setting::Limit(name, count) => (name.clone(), limits.insert(name, json!(count))),
        };
        if before.is_some() {
            let text = format!("`{name}` is set twice");
            return Err(Failure::new(Exit::Usage, text).into());
        }
    }
    Ok(json!({ "features": features, "limits": limits, "reason": reason }))
}

/// Names as features and as limits, by what the server says there is. An override whose feature or
/// limit is gone can be cleared as well.
fn sorted(standing: &Value, names: Vec<String>) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let known = |kind: &str| -> BTreeSet<String> {
        let places = [format!("/{kind}"), format!("/overrides/{kind}")];
        let all = places.iter().filter_map(|at| standing.pointer(at));
        let all = all.filter_map(Value::as_object).flatten();
        all.map(|(name, _)| name.clone()).collect()
    };
    let (known_features, known_limits) = (known("features"), known("limits"));
    let (mut features, mut limits) = (Vec::new(), Vec::new());
    for name in names {
        let (is_feature, is_limit) = (known_features.contains(&name), known_limits.contains(&name));
        if !is_feature && !is_limit {
            let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!("`{name}` is neither a feature nor a limit");
            let (features, limits) = (list(known_features), list(known_limits));
            return Err(Failure::new(Exit::Refused, text)
                .hint(format!("features: {features}; limits: {limits}"))
                .into());
        }
        features.extend(is_feature.then(|| name.clone()));
        limits.extend(is_limit.then_some(name));
    }
    Ok((features, limits))
}

/// Reads an override.
fn setting(text: &str) -> Result<Setting, String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("an override is written `name=value`")?;
    let name = name.to_owned();
    match value {
        "on" => Ok(Setting::Feature(name, true)),
        "off" => Ok(Setting::Feature(name, false)),
        "unlimited" => Ok(Setting::Limit(name, None)),
        count => match count.parse() {
            Ok(count) => Ok(Setting::Limit(name, Some(count))),
            Err(_) => Err("a feature is `on` or `off`, a limit a number or `unlimited`".to_owned()),
        },
    }
}

/// A moment that is written as such: a span from now would lie in the future.
fn moment(text: &str) -> Result<Timestamp, String> {
    let day = |text: &str| {
        let date: jiff::civil::Date = text.parse().ok()?;
        let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(start.timestamp())
    };
    let time = text.parse().ok().or_else(|| day(text));
    time.ok_or_else(|| "this is no time such as `2026-11-01T12:00:00Z` or `2026-11-01`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_tells_by_its_value_what_it_is() {
        assert_eq!(setting("sso=on"), Ok(Setting::Feature("sso".into(), true)));
        assert_eq!(setting("a=off"), Ok(Setting::Feature("a".into(), false)));
        assert_eq!(
            setting("seats=0"),
            Ok(Setting::Limit("seats".into(), Some(0)))
        );
        assert_eq!(
            setting("seats=unlimited"),
            Ok(Setting::Limit("seats".into(), None))
        );
        for text in ["sso", "=on", "sso=", "seats=-1", "seats=1.5", "sso=ON"] {
            assert!(setting(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_set_twice_is_refused() {
        let twice = ["sso=on", "sso=off"].map(|text| setting(text).unwrap());
        let error = body(twice.into(), None).unwrap_err();
        assert_eq!(error.to_string(), "`sso` is set twice");
    }

    #[test]
    fn names_go_where_the_server_knows_them() {
        let standing = json!({
            "features": { "sso": {} },
            "limits": { "seats": {} },
            "overrides": { "features": {}, "limits": { "gone": 1 } },
        });
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let (features, limits) = sorted(&standing, names(&["seats", "sso", "gone"])).unwrap();
        assert_eq!(
            (features, limits),
            (names(&["sso"]), names(&["seats", "gone"]))
        );
        let error = sorted(&standing, names(&["soo"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`soo` is neither a feature nor a limit\n  hint: features: sso; limits: gone, seats"
        );
    }
}
