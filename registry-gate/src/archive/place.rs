//! Where an entry's path leads, and whether it could be `package.json` under another spelling.

use super::ArchiveError;

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    PackageJson,
    /// Named so that registries show it. There may be several; the first one counts.
    Readme,
    Elsewhere,
}

/// npm strips the first part whatever it is, so only `package/` is taken; a file system may fold
/// spellings, so everything that could be a second `package.json` is refused.
pub(super) fn place(path: &[u8], is_folder: bool) -> Result<Place, ArchiveError> {
    // Bytes that are no text become other text, or none, when they are read as such.
    let path = std::str::from_utf8(path).map_err(|_| ArchiveError::Outside)?;
    let path = match path.strip_suffix('/') {
        Some(folder) if is_folder => folder,
        // A file with a folder's name is a folder to some.
        Some(_) => return Err(ArchiveError::Ambiguous),
        None => path,
    };
    let mut parts = path.split('/');
    if parts.next() != Some("package") {
        return Err(ArchiveError::Outside);
    }
    for part in parts.clone() {
        let strange = |c: char| c == '\\' || c.is_control();
        if matches!(part, "" | "." | "..") || part.contains(strange) {
            return Err(ArchiveError::Outside);
        }
    }
    if path == "package/package.json" && !is_folder {
        return Ok(Place::PackageJson);
    }
    if let (Some(name), None) = (parts.clone().next(), parts.clone().nth(1))
        && !is_folder
        && is_readme(name)
    {
        return Ok(Place::Readme);
    }
    // The first part below `package/`: what is deeper cannot be the file, but a folder can stand
    // in its place.
    if parts.next().is_some_and(could_be_package_json) {
        return Err(ArchiveError::TwoPackageJsons);
    }
    Ok(Place::Elsewhere)
}

fn is_readme(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        &*name,
        "readme" | "readme.md" | "readme.markdown" | "readme.txt"
    )
}

/// Whether a file system might take this name for `package.json`: letters that fold to those
/// (the Kelvin sign is a `k`), marks that some leave out, dots and blanks at the end, streams
/// (`:`), and short names of old Windows systems.
fn could_be_package_json(name: &str) -> bool {
    let name = name.split(':').next().unwrap_or_default();
    let visible = name.chars().filter(|c| !is_ignored(*c));
    let folded: String = visible
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    let folded = folded.trim_end_matches(['.', ' ']);
    let is_short = |(stem, end): (&str, &str)| {
        stem.split_once('~').is_some_and(|(start, number)| {
            "package".starts_with(start) && number.bytes().all(|b| b.is_ascii_digit())
        }) && end == "jso"
    };
    folded == "package.json" || folded.split_once('.').is_some_and(is_short)
}

/// Code points that HFS+ passes over when it compares names.
fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}
