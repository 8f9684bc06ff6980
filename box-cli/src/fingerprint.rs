//! What a box is known by: the same at each activation, and nothing that says whose machine it is.
//!
//! In this order: what is given; what the project keeps in `.box/fingerprint`; SHA-256 over a
//! fixed text and the machine's id; a random value, which is then kept.

use std::fs;

use anyhow::Context;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use terminal::{Exit, Failure, private_file};

use crate::project::Project;

/// The file in `.box` that keeps one.
pub const FILE: &str = "fingerprint";
/// Keeps the hash apart from whatever else is made of the machine's id.
const PURPOSE: &str = "tollgate box fingerprint 1\n";
/// Where a machine's id stands (machine-id(5)).
const MACHINE_ID: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// This box's fingerprint, where none is given. A random one is kept in the project, while the
/// turn is held.
pub fn of(project: &Project) -> anyhow::Result<String> {
    if let Some(fingerprint) = find(project)? {
        return Ok(fingerprint);
    }
    let fingerprint = random()?;
    project.keep(FILE, &format!("{fingerprint}\n"))?;
    Ok(fingerprint)
}

/// The same where nothing may be written.
pub fn known(project: &Project) -> anyhow::Result<String> {
    find(project)?.ok_or_else(|| {
        Failure::new(Exit::Usage, "this machine has no id to be known by")
            .hint("give a fingerprint that stays the same, with `--fingerprint` or BOX_FINGERPRINT")
            .into()
    })
}

fn find(project: &Project) -> anyhow::Result<Option<String>> {
    if let Some(kept) = private_file::read(&project.private(FILE))? {
        let kept = kept.trim();
        if !kept.is_empty() {
            return Ok(Some(kept.to_owned()));
        }
    }
    let mut machine = MACHINE_ID
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    Ok(machine.find_map(|id| of_machine(&id)))
}

/// The fingerprint of a machine by its id; none where the id says nothing.
fn of_machine(id: &str) -> Option<String> {
    let id = id.trim();
    if id.is_empty() || id == "uninitialized" {
        return None;
    }
    let digest = Sha256::new().chain_update(PURPOSE).chain_update(id);
    Some(HEXLOWER.encode(&digest.finalize()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one random value a box makes"
)]
fn random() -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .ok()
        .context("the operating system gives no random bytes")?;
    Ok(HEXLOWER.encode(&random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_fingerprint_that_does_not_show_its_id() {
        let id = "0123456789abcdef0123456789abcdef";
        // printf 'tollgate box fingerprint 1\n0123456789abcdef0123456789abcdef' | sha256sum
        let expected = "f934c42e30ab6b97d850b5a8f4b19907904125570414c28bf07f477a08ade635";
        assert_eq!(of_machine(id).as_deref(), Some(expected));
        assert_eq!(of_machine(&format!("{id}\n")).as_deref(), Some(expected));
        assert_eq!(of_machine("\n"), None);
        assert_eq!(of_machine("uninitialized\n"), None);
    }
}
