//! What all commands share that ask a running control plane: which one, with whose token, and how
//! its answers are printed.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use terminal::output::{Table, plain, print, print_json, print_on, say, table};
use terminal::private_file::Reserved;
use terminal::reach::{address, is_here};
use terminal::{ControlPlane, Exit, Failure, Unanswered};
use url::Url;

use super::gate::Gate;
use super::profiles::Profiles;
use crate::settings::secret;

/// Which control plane is asked.
#[derive(Debug)]
pub struct Remote {
    server: Option<Url>,
    profile: Option<String>,
    token_file: Option<PathBuf>,
    insecure: bool,
    /// Whether JSON is wanted.
    pub json: bool,
    by_option: ByOption,
}

/// What was named by an option, which counts before a variable.
#[derive(Debug, Clone, Copy)]
struct ByOption {
    server: bool,
    profile: bool,
    token_file: bool,
}

/// What clap reads of [`Remote`].
#[derive(Args)]
#[command(next_help_heading = "Control plane")]
struct Options {
    /// The control plane's address [default: the profile's]
    #[arg(long, global = true, value_name = "URL", env = "TOLLGATE_SERVER", value_parser = address)]
    server: Option<Url>,
    /// A profile that `tollgate login` made [default: the current one]
    #[arg(long, global = true, value_name = "NAME", env = "TOLLGATE_PROFILE")]
    profile: Option<String>,
    /// A file with the operator token, in place of the profile's; or the token itself in
    /// `TOLLGATE_OPERATOR_TOKEN`
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TOLLGATE_OPERATOR_TOKEN_FILE"
    )]
    token_file: Option<PathBuf>,
    /// Send the token without encryption, over `http://` to another machine
    #[arg(long, global = true)]
    insecure: bool,
    /// Print JSON: what the control plane answered
    #[arg(long, global = true)]
    json: bool,
}

impl Args for Remote {
    fn augment_args(command: Command) -> Command {
        Options::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args_for_update(command)
    }
}

impl FromArgMatches for Remote {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        // Asked first: reading a value takes it out of the matches.
        let by_option = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        let by_option = ByOption {
            server: by_option("server"),
            profile: by_option("profile"),
            token_file: by_option("token_file"),
        };
        let Options {
            server,
            profile,
            token_file,
            insecure,
            json,
        } = Options::from_arg_matches_mut(matches)?;
        Ok(Self {
            server,
            profile,
            token_file,
            insecure,
            json,
            by_option,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A column of a table, or a line of what is shown: its heading, and what stands there.
pub type Column = (&'static str, Cell);

/// What stands in a cell.
#[derive(Debug, Clone, Copy)]
pub enum Cell {
    /// What the row has there (a JSON pointer, RFC 6901); nothing is a dash.
    At(&'static str),
    /// What is made of the row.
    Of(fn(&Value) -> String),
}

impl Remote {
    /// The control plane, with the operator's token.
    pub fn control_plane(&self) -> anyhow::Result<ControlPlane> {
        let ByOption {
            server: server_named,
            profile: profile_named,
            token_file: token_named,
        } = self.by_option;
        if server_named && profile_named {
            let text = "`--server` and `--profile` name a control plane each";
            return Err(Failure::new(Exit::Usage, text).into());
        }
        // A token is for the server that it was made for, so where one is named, no profile counts;
        // and where a profile is named, neither a variable's server nor its token.
        let server = self.server.as_ref().filter(|_| !profile_named);
        let profile = match server {
            Some(_) => None,
            None => Profiles::load()?.get(self.profile.as_deref())?,
        };
        let (known, kept) = match profile {
            Some(profile) => (Some(profile.url), Some(profile.token)),
            None => (None, None),
        };
        if let Some(server) = server
            && !self.insecure
        {
            must_be_secret(server)?;
        }
        let url = server.cloned().or(known).ok_or_else(|| {
            Failure::new(Exit::Usage, "no control plane is named")
                .hint("`tollgate login --server URL` keeps one, or add `--server URL`")
        })?;
        let given = match &self.token_file {
            _ if profile_named && !token_named => None,
            Some(file) => Some(read_token(file)?),
            None => secret("TOLLGATE_OPERATOR_TOKEN"),
        };
        let token = given.or(kept).ok_or_else(|| {
            Failure::new(Exit::NotAllowed, "no operator token is given")
                .hint("`tollgate login` keeps one, or name a file with `--token-file`")
        })?;
        ControlPlane::new(url, Some(token))
    }

    /// A gate, asked with a token: never where the token could be read on its way, unless that was
    /// allowed.
    pub(super) fn gate(&self, url: Url, token: SecretString) -> anyhow::Result<Gate> {
        if !self.insecure {
            must_be_secret(&url)?;
        }
        Gate::new(url, token)
    }

    /// Reads every page of a list and prints it.
    pub async fn list(&self, path: &str, member: &str, columns: &[Column]) -> anyhow::Result<()> {
        self.list_up_to(path, member, columns, usize::MAX).await
    }

    /// Prints the first rows of a list.
    pub async fn list_up_to(
        &self,
        path: &str,
        member: &str,
        columns: &[Column],
        limit: usize,
    ) -> anyhow::Result<()> {
        self.print_list(path, member, columns, Some, limit).await
    }

    /// Prints those rows of a list that `wanted` passes.
    pub async fn list_some(
        &self,
        path: &str,
        member: &str,
        columns: &[Column],
        wanted: impl FnMut(Value) -> Option<Value>,
    ) -> anyhow::Result<()> {
        self.print_list(path, member, columns, wanted, usize::MAX)
            .await
    }

    /// A table is printed page by page, JSON once all of it is read, since half a document is
    /// none. No page is read that nobody waits for.
    async fn print_list(
        &self,
        path: &str,
        member: &str,
        columns: &[Column],
        mut wanted: impl FnMut(Value) -> Option<Value>,
        limit: usize,
    ) -> anyhow::Result<()> {
        let mut left = limit;
        let control_plane = self.control_plane()?;
        let mut pages = Pages::new(&control_plane, path, member);
        let mut shown = Table::new(&headings(columns));
        let mut all = Vec::new();
        while let Some(page) = pages.next().await? {
            let rows = page.into_iter().filter_map(&mut wanted).take(left);
            let rows: Vec<Value> = rows.collect();
            left -= rows.len();
            if self.json {
                all.extend(rows);
            } else if !print_on(&shown.rows(rows.iter().map(|row| cells(row, columns))))? {
                break;
            }
            if left == 0 {
                break;
            }
        }
        if self.json {
            print_json(&json!({ member: all }))?;
        }
        Ok(())
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.control_plane()?.get(path).await?)
    }

    /// Writes, with a body or without.
    pub async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let control_plane = self.control_plane()?;
        Ok(control_plane.write(method, path, body.as_ref()).await?)
    }

    /// Prints one thing with a secret of it that is shown this once: in a file, where one is
    /// reserved. `lost` says what to do when that fails.
    pub fn show_secret(
        &self,
        mut value: Value,
        fields: &[Column],
        (name, at): (&'static str, &'static str),
        file: Option<Reserved>,
        lost: &'static str,
    ) -> anyhow::Result<()> {
        let Some(file) = file else {
            let with_secret = [fields, &[(name, Cell::At(at))]].concat();
            return self.show(&value, &with_secret);
        };
        let secret = value.as_object_mut().and_then(|value| value.remove(name));
        let secret = secret.as_ref().and_then(Value::as_str);
        let secret = secret.with_context(|| format!("the answer has no {name}"))?;
        let path = file.path().display().to_string();
        file.fill(&format!("{secret}\n"))
            .with_context(|| format!("the {name} is lost; {lost}"))?;
        say(&format!("the {name} is in `{path}`"))?;
        self.show(&value, fields)
    }

    /// Prints one thing: its fields under each other.
    pub fn show(&self, value: &Value, fields: &[Column]) -> anyhow::Result<()> {
        if self.json {
            return print_json(value);
        }
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines: Vec<String> = fields
            .iter()
            .map(|(name, cell)| format!("{name:width$}  {}\n", plain(&cell.text(value))))
            .collect();
        print(&lines.concat())
    }
}

/// A list, page after page.
struct Pages<'c> {
    control_plane: &'c ControlPlane,
    /// Where the next page is, unless there is none.
    next: Option<String>,
    path: &'c str,
    member: &'c str,
}

impl<'c> Pages<'c> {
    fn new(control_plane: &'c ControlPlane, path: &'c str, member: &'c str) -> Self {
        Self {
            control_plane,
            next: Some(path.to_owned()),
            path,
            member,
        }
    }

    async fn next(&mut self) -> anyhow::Result<Option<Vec<Value>>> {
        let Some(path) = self.next.take() else {
            return Ok(None);
        };
        let mut page: Value = self.control_plane.get(&path).await?;
        let sign = if self.path.contains('?') { '&' } else { '?' };
        self.next = page
            .get("nextCursor")
            .and_then(Value::as_str)
            .map(|cursor| format!("{}{sign}cursor={}", self.path, escaped(cursor)));
        match page.get_mut(self.member).map(Value::take) {
            Some(Value::Array(rows)) => Ok(Some(rows)),
            _ => bail!("the answer has no `{}`", self.member),
        }
    }
}

/// Every row of a list.
pub async fn pages(
    control_plane: &ControlPlane,
    path: &str,
    member: &str,
) -> anyhow::Result<Vec<Value>> {
    let mut pages = Pages::new(control_plane, path, member);
    let mut rows = Vec::new();
    while let Some(page) = pages.next().await? {
        rows.extend(page);
    }
    Ok(rows)
}

/// Rows of a list as a table.
pub fn rows_table(rows: &[Value], columns: &[Column]) -> String {
    table(
        &headings(columns),
        rows.iter().map(|row| cells(row, columns)),
    )
}

fn headings(columns: &[Column]) -> Vec<&'static str> {
    columns.iter().map(|(heading, _)| *heading).collect()
}

fn cells(row: &Value, columns: &[Column]) -> impl Iterator<Item = String> {
    columns.iter().map(|(_, cell)| cell.text(row))
}

/// What an operator can do about a refusal that the server cannot know of.
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let known = error.chain().find_map(|cause| cause.downcast_ref());
    match known? {
        Unanswered::Unreachable { .. } => {
            Some("is it running, and is this its address? `tollgate profile show` names it")
        }
        Unanswered::NoControlPlane { .. } => None,
        Unanswered::Problem(problem) => match (problem.status, &*problem.code) {
            (401, _) => Some("`tollgate login` keeps another token"),
            (403, "not_allowed") => Some(
                "log in as an operator with a role that may: see who may do what in the manual",
            ),
            (404, "license_not_found") => Some("`tollgate license list` shows them"),
            (404, "box_not_found") => Some("`tollgate box list LICENSE` shows them"),
            (404, "credential_not_found") => Some("`tollgate credential list` shows them"),
            _ => None,
        },
    }
}

/// Refuses an address where a token could be read on its way: without TLS, on another machine.
pub(super) fn must_be_secret(url: &Url) -> anyhow::Result<()> {
    if url.scheme() == "https" || url.scheme() == "http" && is_here(url) {
        return Ok(());
    }
    let text = format!("on its way to {url} the token could be read");
    Err(Failure::new(Exit::Usage, text)
        .hint("use `https://`, or add `--insecure` where the network is yours alone")
        .into())
}

/// A path with a reason for the audit log, where one is given.
pub fn with_reason(path: &str, reason: Option<&str>) -> String {
    let Some(reason) = reason else {
        return path.to_owned();
    };
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}reason={}", escaped(reason))
}

/// A part of a path or query that may hold anything.
pub fn escaped(part: &str) -> String {
    url::form_urlencoded::byte_serialize(part.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

impl Cell {
    fn text(self, row: &Value) -> String {
        match self {
            Self::At(at) => row.pointer(at).map_or_else(|| text(&Value::Null), text),
            Self::Of(make) => make(row),
        }
    }
}

/// A value for people: nothing is a dash.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "-".to_owned(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Object(all) if all.is_empty() => "-".to_owned(),
        Value::Object(all) => {
            let members = all
                .iter()
                .map(|(name, value)| format!("{name}={}", text(value)));
            members.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// Reads an operator token from a file, `-` for standard input.
pub(super) fn read_token(file: &Path) -> anyhow::Result<SecretString> {
    let name = file.display();
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.with_context(|| format!("cannot read the token in `{name}`"))?;
    let token = text.trim();
    // What is no header's text is no token either.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = format!("`{name}` holds no token");
        return Err(Failure::new(Exit::NotAllowed, text).into());
    }
    Ok(SecretString::from(token))
}
