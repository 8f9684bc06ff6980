//! The package manager's settings: the project's own, and those that count before them.

use std::path::PathBuf;

use terminal::checks::{Check, Checks};
use terminal::private_file;

use crate::credentials::Credentials;
use crate::files::{self, NPMRC};
use crate::npmrc;
use crate::project::Project;

const SETTINGS: &str = "npmrc";
const OTHERS: &str = "other tokens";
const OVERRIDES: &str = "overrides";
const WRITE: &str = "write it again: `box renew --force`";
/// How settings end that a registry is paid with.
const SECRET_SETTINGS: [&str; 4] = [":_authToken", ":_auth", ":_password", ":tokenHelper"];

pub(super) fn look(project: &Project, known: &Credentials, checks: &mut Checks) {
    let pairs = files::pairs(known);
    match private_file::read(&project.path(NPMRC)) {
        Err(error) => checks.push(super::failed(SETTINGS, &error)),
        Ok(None) => checks.push(Check::failed(SETTINGS, "there is no .npmrc", WRITE)),
        Ok(Some(text)) => {
            checks.push(settings(&text, &pairs));
            checks.push(others(&text, known));
        }
    }
    checks.push(overrides(&pairs, known));
}

/// Whether our lines are there and say what they should.
fn settings(text: &str, pairs: &[(String, String)]) -> Check {
    for (key, value) in pairs {
        let is_secret = key.starts_with("//");
        let seen = match npmrc::get(text, key) {
            Some(there) if there == value => continue,
            Some(there) if !is_secret && there.trim_end_matches('/') == trimmed(value) => continue,
            Some("${BOX_TOKEN}") if is_secret => continue,
            Some(_) if is_secret => format!("`{key}` is not the token at hand"),
            Some(there) => format!("`{key}` is {there} and not the gate"),
            None => format!("`{key}` is missing"),
        };
        return Check::failed(SETTINGS, seen, WRITE);
    }
    Check::ok(SETTINGS, "has the gate and the token at hand")
}

fn trimmed(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// Another secret for the same host: some package managers take the one, some the other.
fn others(text: &str, known: &Credentials) -> Check {
    let ours = files::token_key(&known.registry_url);
    let host = host(&ours);
    let keys = text.lines().filter_map(|line| line.split_once('='));
    let keys = keys.map(|(key, _)| key.trim());
    let others: Vec<&str> = keys
        .filter(|key| is_secret(key) && *key != ours && self::host(key) == host)
        .collect();
    if others.is_empty() {
        return Check::ok(OTHERS, "there is none for the gate");
    }
    let seen = format!(".npmrc has `{}` as well", others.join("` and `"));
    Check::warning(
        OTHERS,
        seen,
        "take it out, unless something else is on that host",
    )
}

fn is_secret(key: &str) -> bool {
    SECRET_SETTINGS.iter().any(|end| key.ends_with(end))
}

/// The host of a setting such as `//host/path/:_authToken`, without its port.
fn host(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("//")?;
    rest.split([':', '/']).next()
}

/// What counts before the project's settings: the environment, and pnpm's helper.
fn overrides(pairs: &[(String, String)], known: &Credentials) -> Check {
    for (name, value) in std::env::vars_os() {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        let lower = name.to_lowercase();
        let key = ["npm_config_", "pnpm_config_"]
            .iter()
            .find_map(|prefix| lower.strip_prefix(prefix));
        let Some(key) = key else { continue };
        let ours = pairs.iter().find(|(ours, _)| ours.to_lowercase() == key);
        if ours.is_some_and(|(_, ours)| trimmed(ours) != trimmed(value)) {
            let seen = format!("the variable {name} says something else than .npmrc");
            return Check::failed(OVERRIDES, seen, "take it out of the environment");
        }
    }
    let helper = files::token_key(&known.registry_url).replace("_authToken", "tokenHelper");
    let settings = user_settings();
    let text = settings.as_ref().map(|path| private_file::read(path));
    let text = text.and_then(Result::ok).flatten().unwrap_or_default();
    let (Some(path), Some(program)) = (settings, npmrc::get(&text, &helper)) else {
        return Check::ok(OVERRIDES, "there are none");
    };
    if PathBuf::from(program).is_file() {
        return Check::ok(OVERRIDES, format!("pnpm asks {program} for the token"));
    }
    let seen = format!("pnpm is to ask {program} for the token, which is not there");
    let fix = format!(
        "make it: `box token --helper {program}`, or take the line out of {}",
        path.display()
    );
    Check::failed(OVERRIDES, seen, fix)
}

/// Where the settings of the user are.
fn user_settings() -> Option<PathBuf> {
    let named = ["npm_config_userconfig", "NPM_CONFIG_USERCONFIG"];
    let named = named.into_iter().find_map(std::env::var_os);
    named
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(NPMRC)))
}

#[cfg(test)]
mod tests {
    use terminal::checks::State;

    use super::*;

    #[test]
    fn the_gate_and_its_token_are_looked_for() {
        let pairs = [
            (
                "@acme:registry".to_owned(),
                "https://gate.example/".to_owned(),
            ),
            ("//gate.example/:_authToken".to_owned(), "t-1".to_owned()),
        ];
        let look = |registry: &str, token: &str| {
            let text = format!("@acme:registry={registry}\n//gate.example/:_authToken={token}\n");
            settings(&text, &pairs).state
        };
        assert_eq!(look("https://gate.example/", "t-1"), State::Ok);
        assert_eq!(look("https://gate.example", "${BOX_TOKEN}"), State::Ok);
        assert_eq!(look("https://other.example/", "t-1"), State::Failed);
        assert_eq!(look("https://gate.example/", "t-0"), State::Failed);
        let told = settings("", &pairs);
        assert_eq!(told.seen, "`@acme:registry` is missing");
    }

    #[test]
    fn a_host_stands_before_port_and_path() {
        let hosts = ["//a.example/:_authToken", "//a.example:1/x/:_auth"].map(host);
        assert_eq!(hosts, [Some("a.example"); 2]);
        assert_eq!(host("_authToken"), None);
    }
}
