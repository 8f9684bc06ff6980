//! Asking whoever sits there. Questions stand on standard error, so that results stay alone.

use std::io::{BufRead, IsTerminal, stdin};

use anyhow::{Context, bail};
use secrecy::SecretString;

use crate::output::say;
use crate::{Exit, Failure};

/// Asks before something that cannot be undone; `yes` is the answer that was given beforehand.
pub fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let input = stdin();
    if !input.is_terminal() {
        return Err(Failure::new(Exit::Usage, "nobody is there to be asked")
            .hint("add `--yes` if this is meant")
            .into());
    }
    say(&format!("{question} [y/N]"))?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was changed");
    }
    Ok(())
}

/// Asks for a secret without showing what is typed. None where nobody sits there.
pub fn secret(prompt: &str) -> anyhow::Result<Option<SecretString>> {
    if !stdin().is_terminal() {
        return Ok(None);
    }
    let typed = dialoguer::Password::new().with_prompt(prompt).interact();
    let typed = typed.context("cannot ask for it")?;
    Ok(Some(SecretString::from(typed.trim())))
}
