//! The end of a control plane's log as it was when it was checked last from here: so that a cut is
//! noticed whatever the server says. One small file per server, beside the profiles.

use std::path::PathBuf;

use anyhow::Context;
use terminal::private_file;

use crate::cli::profiles;
use crate::cli::remote::escaped;
use crate::store::audit::Head;

/// The directory, beside the file of profiles.
const DIR: &str = "audit-heads";

/// The file of a server; none where there is no place for it.
pub(super) fn file(url: &str) -> Option<PathBuf> {
    Some(profiles::beside(DIR)?.join(escaped(url)))
}

/// What was noted.
pub(super) fn read(url: &str) -> anyhow::Result<Option<Head>> {
    let Some(file) = file(url) else {
        return Ok(None);
    };
    let Some(text) = private_file::read(&file)? else {
        return Ok(None);
    };
    let head = text.trim().parse().with_context(|| {
        let file = file.display();
        format!("`{file}` is no note of an audit log's end\n  hint: remove it and check again")
    })?;
    Ok(Some(head))
}

/// Notes.
pub(super) fn write(url: &str, head: &Head) -> anyhow::Result<()> {
    let Some(file) = file(url) else {
        return Ok(());
    };
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    }
    private_file::write(&file, &format!("{head}\n"))
}
