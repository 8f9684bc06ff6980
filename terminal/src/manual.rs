//! Shell completions and man pages, generated from the command line itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::print;

/// Which shell completes.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the completions of a command line.
    pub fn run(&self, mut command: Command) -> anyhow::Result<()> {
        let name = command.get_name().to_owned();
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}

/// Where man pages go.
#[derive(Debug, Args)]
pub struct ManPages {
    /// The folder to write them to, one page for each subcommand
    dir: PathBuf,
}

impl ManPages {
    /// Writes the man pages of a command line.
    pub fn run(&self, command: Command) -> anyhow::Result<()> {
        let dir: &Path = &self.dir;
        fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        clap_mangen::generate_to(command, dir)
            .with_context(|| format!("cannot write to `{}`", dir.display()))
    }
}

/// What a command line does not say about itself as it should, with all its subcommands: each of
/// them and each option has a help text, whose short form is half a sentence without a full stop,
/// and names in kebab-case. For tests.
pub fn faults(command: Command) -> Vec<String> {
    let mut command = command;
    command.build();
    let mut found = Vec::new();
    look(&command, command.get_name(), &mut found);
    found
}

fn look(command: &Command, path: &str, found: &mut Vec<String>) {
    let mut check = |what: &str, name: &str, help: Option<String>| {
        let help = help.unwrap_or_default();
        if help.is_empty() {
            found.push(format!("{what} has no help"));
        }
        if help.ends_with('.') {
            found.push(format!("the help of {what} ends with a full stop"));
        }
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.chars().all(good) {
            found.push(format!("{what} is not in kebab-case"));
        }
    };
    check(
        &format!("`{path}`"),
        command.get_name(),
        command.get_about().map(ToString::to_string),
    );
    for arg in command.get_arguments() {
        let name = arg.get_long().unwrap_or_default();
        let shown = arg.get_long().unwrap_or(arg.get_id().as_str());
        let help = arg.get_help().map(ToString::to_string);
        check(&format!("`{shown}` of `{path}`"), name, help);
    }
    for one in command.get_subcommands() {
        // clap's own.
        if one.get_name() != "help" {
            look(one, &format!("{path} {}", one.get_name()), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn what_a_command_line_does_not_say_is_found() {
        let good = Arg::new("good").long("good").help("Be good");
        let odd = Arg::new("odd_one").long("odd_one").help("Be odd.");
        let mute = Command::new("mute").arg(odd);
        let command = Command::new("shop")
            .about("Sell")
            .arg(good)
            .subcommand(mute);
        let expected = [
            "`shop mute` has no help",
            "the help of `odd_one` of `shop mute` ends with a full stop",
            "`odd_one` of `shop mute` is not in kebab-case",
        ];
        assert_eq!(faults(command), expected);
    }
}
