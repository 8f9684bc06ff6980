//! Every invariant, broken on purpose, and exactly what a person then reads.
//!
//! `broken/<rule>-<variant>.toml` breaks the rule that its name starts with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use manifest::{Diagnostics, Manifest, RULES, Severity};

/// Broken, all of them, only by a compiler with a defect; tested beside the rule instead.
const ASSERTIONS: [&str; 4] = ["M10", "M11", "M12", "M13"];
/// Needs an older manifest to compare with.
const COMPARISONS: [&str; 1] = ["M19"];

fn broken_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn diagnostics(text: &str) -> Diagnostics {
    match Manifest::load(text, "tiers.toml") {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    }
}

#[test]
fn every_diagnostic_reads_as_recorded() {
    for file in broken_files() {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let diagnostics = diagnostics(&fs::read_to_string(&file).unwrap());
        assert!(
            diagnostics
                .iter()
                .any(|problem| name.starts_with(problem.rule().id)),
            "{name} does not break its rule:\n{diagnostics}"
        );
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, diagnostics));
    }
}

#[test]
fn every_rule_has_a_file_that_breaks_it() {
    let broken: BTreeSet<String> = broken_files()
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap()[..3].to_owned())
        .collect();
    for rule in RULES {
        let elsewhere = ASSERTIONS.contains(&rule.id) || COMPARISONS.contains(&rule.id);
        assert_eq!(broken.contains(rule.id), !elsewhere, "{rule}");
    }
}

#[test]
fn a_manifest_with_an_error_yields_no_sets_and_one_with_warnings_does() {
    for file in broken_files() {
        let text = fs::read_to_string(&file).unwrap();
        let severe = |diagnostics: &Diagnostics| {
            diagnostics
                .iter()
                .any(|problem| problem.severity() == Severity::Error)
        };
        match Manifest::load(&text, "tiers.toml") {
            Ok(loaded) => assert!(!severe(&loaded.warnings), "{}", file.display()),
            Err(problems) => assert!(severe(&problems), "{}", file.display()),
        }
    }
}

#[test]
fn every_place_is_the_text_it_talks_about() {
    let text = "[manifest]\nscope = \"@acme\"\ndefault-tier = \"bäsic\"\ntiers = [\"basic\"]\n\n[tier.basic]\n";
    let problems = diagnostics(text);
    let problem = problems.iter().next().unwrap();
    assert_eq!((problem.start().line, problem.start().column), (3, 16));
    assert_eq!((problem.end().line, problem.end().column), (3, 23));
}

#[test]
fn the_page_of_the_package_lists_every_rule() {
    let page = include_str!("../../README.md");
    for rule in RULES {
        let star = if rule.severity == Severity::Warning {
            " \\*"
        } else {
            ""
        };
        let row = format!("| {} {}{star} | {} |", rule.id, rule.name, rule.protects);
        assert!(page.contains(&row), "{row}");
    }
}
