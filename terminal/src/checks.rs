//! Checks: what a `doctor` looked at, what it saw there, and what to do about it. The same for
//! both command lines.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::Exit;
use crate::output::{print, print_json};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, in a word or two. Scripts look for it, so it stays.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen, in half a sentence.
    pub seen: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// How a thing stands that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should.
    Ok,
    /// It was not looked at, and `seen` says why.
    Skipped,
    /// Works, but not for long, or not well.
    Warning,
    /// Does not work.
    Failed,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

impl Check {
    /// It stands as it should.
    pub fn ok(name: &'static str, seen: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            seen: seen.into(),
            fix: None,
        }
    }

    /// It cannot be looked at from here, or need not be.
    pub fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self {
            state: State::Skipped,
            ..Self::ok(name, why)
        }
    }

    /// It works, but somebody should look after it.
    pub fn warning(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            state: State::Warning,
            fix: Some(fix.into()),
            ..Self::ok(name, seen)
        }
    }

    /// It does not work.
    pub fn failed(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            state: State::Failed,
            ..Self::warning(name, seen, fix)
        }
    }
}

/// All that was looked at, in the order in which it is to be mended.
#[derive(Debug, Default, Serialize)]
pub struct Checks {
    checks: Vec<Check>,
}

impl Checks {
    /// Notes one more.
    pub fn push(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// The worst of them.
    pub fn worst(&self) -> State {
        let states = self.checks.iter().map(|check| check.state);
        states.max().unwrap_or(State::Ok)
    }

    /// Prints them to standard output, for people or as JSON, and returns the code to exit with:
    /// 1 when one failed.
    pub fn print(&self, json: bool) -> anyhow::Result<ExitCode> {
        if json {
            print_json(self)?;
        } else {
            print(&self.text())?;
        }
        Ok(match self.worst() {
            State::Failed => ExitCode::from(Exit::Failed as u8),
            State::Ok | State::Skipped | State::Warning => ExitCode::SUCCESS,
        })
    }

    /// A line for each, what to do under it, and how many there are of which kind.
    fn text(&self) -> String {
        const STATE_WIDTH: usize = "warning".len();
        let names = self.checks.iter().map(|check| check.name.len());
        let name_width = names.max().unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            let (state, name, seen) = (check.state.as_str(), check.name, &check.seen);
            let _ = writeln!(text, "{state:STATE_WIDTH$}  {name:name_width$}  {seen}");
            for line in check.fix.iter().flat_map(|fix| fix.lines()) {
                let _ = writeln!(text, "{:STATE_WIDTH$}  {:name_width$}  → {line}", "", "");
            }
        }
        let count = |state| {
            let checks = self.checks.iter();
            checks.filter(|check| check.state == state).count()
        };
        let (warnings, failures) = (count(State::Warning), count(State::Failed));
        if warnings + failures == 0 {
            text.push_str("\nall is well\n");
        } else {
            let _ = writeln!(text, "\n{failures} failed, {warnings} to look after");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_a_line_and_what_to_do_stands_under_it() {
        let mut checks = Checks::default();
        checks.push(Check::ok("server", "answers"));
        checks.push(Check::skipped("keys", "the token may not read them"));
        assert!(checks.text().ends_with("\nall is well\n"));
        checks.push(Check::warning("clock", "4 s ahead", "set the clock"));
        assert_eq!(checks.worst(), State::Warning);
        checks.push(Check::failed("token", "is revoked", "log in again"));
        assert_eq!(checks.worst(), State::Failed);
        let text = "\
ok       server  answers
skipped  keys    the token may not read them
warning  clock   4 s ahead
                 → set the clock
failed   token   is revoked
                 → log in again

1 failed, 1 to look after
";
        assert_eq!(checks.text(), text);
        let json = serde_json::to_value(&checks).unwrap();
        assert_eq!(json["checks"][2]["state"], "warning");
        assert_eq!(json["checks"][0]["fix"], serde_json::Value::Null);
    }
}
