//! In which order tarballs are sent, and which tag each takes.

use std::collections::{BTreeMap, BTreeSet};

use manifest::PackageName;
use semver::Version;

use super::tarballs::Tarball;

/// The tag that npm installs by when none is named.
pub(super) const LATEST: &str = "latest";

/// The order in which no box ever sees a package without what it requires: requirements first,
/// and of one package the lower version first. Where packages require each other, the one whose
/// name comes first begins.
pub(super) fn order(tarballs: Vec<Tarball>) -> Vec<Tarball> {
    let mut waiting: BTreeMap<PackageName, Vec<Tarball>> = BTreeMap::new();
    for tarball in tarballs {
        waiting
            .entry(tarball.name.clone())
            .or_default()
            .push(tarball);
    }
    // Who requires whom, among those that are to be sent.
    let mut requires: BTreeMap<PackageName, BTreeSet<PackageName>> = BTreeMap::new();
    let mut required_by: BTreeMap<PackageName, BTreeSet<PackageName>> = BTreeMap::new();
    for (name, versions) in &waiting {
        let all = versions.iter().flat_map(|tarball| &tarball.requires);
        let all = all.filter_map(|required| PackageName::parse(required).ok());
        let all: BTreeSet<PackageName> = all
            .filter(|required| required != name && waiting.contains_key(required))
            .collect();
        for required in &all {
            let by = required_by.entry(required.clone()).or_default();
            by.insert(name.clone());
        }
        requires.insert(name.clone(), all);
    }
    let mut ready: BTreeSet<PackageName> = requires
        .iter()
        .filter(|(_, required)| required.is_empty())
        .map(|(name, _)| name.clone())
        .collect();
    let mut ordered = Vec::new();
    while let Some(name) = ready.pop_first().or_else(|| waiting.keys().next().cloned()) {
        let Some(mut versions) = waiting.remove(&name) else {
            continue;
        };
        versions.sort_by(|a, b| a.version.cmp(&b.version));
        ordered.append(&mut versions);
        for by in required_by.remove(&name).unwrap_or_default() {
            if let Some(required) = requires.get_mut(&by) {
                required.remove(&name);
                if required.is_empty() {
                    ready.insert(by);
                }
            }
        }
    }
    ordered
}

/// Which of a package's new versions takes the tag, beside those that are there. `latest` goes to
/// the highest stable version and never back, and to a prerelease only where there is no stable
/// one; any other tag goes to the highest new version.
pub(super) fn tagged<'v>(
    tag: &str,
    new: &BTreeSet<&'v Version>,
    there: &BTreeSet<Version>,
) -> Option<&'v Version> {
    if tag != LATEST {
        return new.last().copied();
    }
    let all: BTreeSet<&Version> = new.iter().copied().chain(there).collect();
    let stable = all.iter().rfind(|version| version.pre.is_empty());
    let highest = stable.or(all.last())?;
    new.iter().copied().find(|version| version == highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(name: &str, version: &str, requires: &[&str]) -> Tarball {
        Tarball {
            file: "a.tgz".into(),
            name: PackageName::parse(name).unwrap(),
            version: version.parse().unwrap(),
            integrity: String::new(),
            requires: requires.iter().map(ToString::to_string).collect(),
        }
    }

    fn ordered(tarballs: Vec<Tarball>) -> Vec<String> {
        let ordered = order(tarballs).into_iter();
        ordered
            .map(|tarball| format!("{}@{}", tarball.name, tarball.version))
            .collect()
    }

    #[test]
    fn requirements_come_first_and_versions_ascend() {
        let tarballs = vec![
            tarball("@a/app", "1.10.0", &["@a/mid", "left-pad"]),
            tarball("@a/app", "1.9.0", &["@a/mid"]),
            tarball("@a/mid", "1.0.0", &["@a/low"]),
            tarball("@a/zero", "1.0.0", &[]),
            tarball("@a/low", "1.0.0", &["@a/zero"]),
        ];
        let expected = [
            "@a/zero@1.0.0",
            "@a/low@1.0.0",
            "@a/mid@1.0.0",
            "@a/app@1.9.0",
            "@a/app@1.10.0",
        ];
        assert_eq!(ordered(tarballs), expected);
    }

    #[test]
    fn packages_that_require_each_other_are_all_sent() {
        let tarballs = vec![
            tarball("@a/one", "1.0.0", &["@a/two"]),
            tarball("@a/two", "1.0.0", &["@a/one"]),
            tarball("@a/self", "1.0.0", &["@a/self"]),
        ];
        let expected = ["@a/self@1.0.0", "@a/one@1.0.0", "@a/two@1.0.0"];
        assert_eq!(ordered(tarballs), expected);
    }

    #[test]
    fn latest_goes_to_the_highest_stable_version_and_never_back() {
        let takes = |tag, new: &[&str], there: &[&str]| {
            let new: Vec<Version> = new.iter().map(|text| text.parse().unwrap()).collect();
            let there = there.iter().map(|text| text.parse().unwrap()).collect();
            tagged(tag, &new.iter().collect(), &there).map(ToString::to_string)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(takes(LATEST, &["1.9.0", "1.10.0"], &[]), some("1.10.0"));
        assert_eq!(takes(LATEST, &["1.10.0"], &["2.0.0"]), None);
        assert_eq!(takes(LATEST, &["1.0.0", "2.0.0-rc.1"], &[]), some("1.0.0"));
        assert_eq!(takes(LATEST, &["2.0.0-rc.1"], &["1.0.0"]), None);
        assert_eq!(
            takes(LATEST, &["2.0.0-rc.2"], &["2.0.0-rc.1"]),
            some("2.0.0-rc.2")
        );
        assert_eq!(takes(LATEST, &["1.0.0"], &["2.0.0-rc.1"]), some("1.0.0"));
        assert_eq!(
            takes("next", &["2.0.0-rc.1", "1.0.0"], &["3.0.0"]),
            some("2.0.0-rc.1")
        );
        assert_eq!(takes("next", &[], &["3.0.0"]), None);
    }
}
