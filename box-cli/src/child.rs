//! The process that a command of ours becomes: a package manager, or whatever is given, with a
//! fresh token in its environment and nowhere else.
//!
//! It takes our place, with our process id, our terminal and our files: its signals and its end are
//! its own. README says which package manager takes what from the environment.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use secrecy::ExposeSecret;
use terminal::{Exit, Failure, exit};

use crate::files;
use crate::session::Session;

/// The token, for whatever asks for it by name.
const TOKEN: &str = "BOX_TOKEN";
/// What a child has no use for: the token does for installing.
const KEY: &str = "BOX_LICENSE_KEY";
/// As shells say that a program is not there.
const NOT_FOUND: u8 = 127;
/// As shells say that a program is there and cannot be run.
const NOT_RUN: u8 = 126;

/// Becomes a program. Comes back only where that cannot be.
pub fn become_program(
    program: &OsString,
    arguments: &[OsString],
    folder: Option<&Path>,
    session: &Session,
) -> ExitCode {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove(KEY)
        .envs(environment(session));
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let error = command.exec();
    let shown = program.display();
    let (code, failure) = match error.kind() {
        ErrorKind::NotFound => (
            NOT_FOUND,
            Failure::new(Exit::Failed, format!("there is no program `{shown}`"))
                .hint("install it, or see that PATH leads to it"),
        ),
        _ => (
            NOT_RUN,
            Failure::new(Exit::Failed, format!("cannot run `{shown}`: {error}")),
        ),
    };
    exit::report(&failure.into());
    ExitCode::from(code)
}

/// What the package managers find the gate and the token by.
fn environment(session: &Session) -> Vec<(String, String)> {
    let token = session.token.expose_secret();
    let mut variables = vec![(TOKEN.to_owned(), token.to_owned())];
    for (key, value) in files::pairs(&session.credentials) {
        // npm takes `_` in a scope's variable for `-`.
        if key.starts_with("//") || !key.contains('_') {
            variables.push((format!("npm_config_{key}"), value));
        }
    }
    // pnpm 10 reads no variable that names a port, and falls back to the host without one.
    let mut without_port = session.registry_url.clone();
    if without_port.port().is_some() && without_port.set_port(None).is_ok() {
        let key = files::token_key(&without_port);
        variables.push((format!("npm_config_{key}"), token.to_owned()));
    }
    variables
}
