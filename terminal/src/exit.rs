//! How a command ends: exit codes that scripts may rely on, and errors that say what to do.
//!
//! | Code | Meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | something here failed: a file, a check, a program that was started |
//! | 2 | the command line is wrong (clap) |
//! | 3 | the server cannot be reached or is not well: try again |
//! | 4 | not allowed: no credential, one that is not good, or one without the right |
//! | 5 | refused: what was asked for breaks a rule |
//! | 130 | interrupted |
//!
//! Errors are text on standard error, also where results are JSON: the sentence, then indented
//! lines. Where a server refused, one of them is `code: …`, which stays the same.

use std::fmt;
use std::process::ExitCode;

/// Why a command did not do what it was asked to, as its exit code tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something here failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The server cannot be reached or is not well.
    Unreachable = 3,
    /// No credential, one that is not good, or one without the right.
    NotAllowed = 4,
    /// What was asked for breaks a rule.
    Refused = 5,
    /// Somebody ended it on the way.
    Interrupted = 130,
}

/// An error with an exit code of its own, and a hint for the one who reads it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// Fails with this code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Prints the error with its causes to standard error, and returns the code to exit with: that of
/// the outermost [`Failure`] in it, else 1.
pub fn report(error: &anyhow::Error) -> ExitCode {
    report_with(error, None)
}

/// As [`report`], with a hint that the error does not give itself.
pub fn report_with(error: &anyhow::Error, hint: Option<&str>) -> ExitCode {
    print_error(error, hint);
    exit_code(error)
}

/// The code to exit with after an error.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let mut failures = error.chain().filter_map(|cause| {
        let known = cause.downcast_ref::<Failure>().map(|failure| failure.exit);
        known.or_else(|| {
            let unanswered = cause.downcast_ref::<crate::Unanswered>();
            unanswered.map(crate::Unanswered::exit)
        })
    });
    ExitCode::from(failures.next().unwrap_or(Exit::Failed) as u8)
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where a failed command says why"
)]
fn print_error(error: &anyhow::Error, hint: Option<&str>) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {cause}");
    }
    let known = error.chain().find_map(|cause| cause.downcast_ref());
    if let Some(crate::Unanswered::Problem(problem)) = known {
        for line in problem.particulars() {
            eprintln!("  {line}");
        }
    }
    if let Some(hint) = hint {
        eprintln!("  hint: {hint}");
    }
}
