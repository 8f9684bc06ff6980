//! The command as its users run it: what it prints, and its exit codes.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// How a run of the command ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The run, and a file after it.
    pub(crate) fn with_file(&self, folder: &Path, file: &str) -> String {
        format!(
            "{self}\n---- {file}\n{}",
            fs::read_to_string(folder.join(file)).unwrap()
        )
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit {}\n---- stdout\n{}\n---- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// Runs the built binary in a folder.
pub(crate) fn manifest(folder: &Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_manifest"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("NPM_TOKEN")
        .output()
        .unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with the example as `tiers.toml`.
fn example() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("tiers.toml"), EXAMPLE).unwrap();
    folder
}

const EXAMPLE: &str = include_str!("../../examples/commerce.toml");
/// The example after an edit that gives and takes.
fn edited() -> String {
    EXAMPLE
        .replace("    \"@acme/discount\",\n", "")
        .replace(
            "requires = [\"@acme/discount\", \"@acme/product\"]",
            "requires = [\"@acme/product\"]",
        )
        .replace("    \"@acme/service\",\n", "")
        .replace(
            "features = { export_csv = true }",
            "features = { export_csv = true, custom_domain = true }",
        )
        .replace("boxes = 1, seats = 5", "boxes = 2, seats = 3")
        .replace("limits = { seats = 100 }", "limits = { seats = 50 }")
        .replace("[flag.new_checkout]", "[flag.fast_checkout]")
}

fn git(folder: &Path, arguments: &[&str]) {
    let run = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

#[test]
fn check_says_what_a_good_manifest_holds() {
    insta::assert_snapshot!(manifest(example().path(), &["check", "tiers.toml"]));
}

#[test]
fn check_reports_in_four_formats() {
    let folder = TempDir::new().unwrap();
    let text = include_str!("../broken/M08-declared.toml");
    fs::write(folder.path().join("tiers.toml"), text).unwrap();
    for format in ["human", "json", "github", "sarif"] {
        let run = manifest(folder.path(), &["check", "tiers.toml", "--format", format]);
        insta::assert_snapshot!(format!("check_{format}"), run);
    }
}

#[test]
fn warnings_refuse_only_when_denied() {
    let folder = TempDir::new().unwrap();
    let text = include_str!("../broken/M17-reachable.toml");
    fs::write(folder.path().join("tiers.toml"), text).unwrap();
    assert_eq!(manifest(folder.path(), &["check", "tiers.toml"]).code, 0);
    assert_eq!(
        manifest(folder.path(), &["check", "tiers.toml", "--deny-warnings"]).code,
        1
    );
}

#[test]
fn check_against_git_sees_what_an_edit_takes() {
    let folder = example();
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "--message", "tiers"]);
    let check = ["check", "tiers.toml", "--against", "git:HEAD"];
    assert_eq!(manifest(folder.path(), &check).code, 0);

    fs::write(folder.path().join("tiers.toml"), edited()).unwrap();
    insta::assert_snapshot!("against_git", manifest(folder.path(), &check));
    insta::assert_snapshot!(
        "diff_git",
        manifest(folder.path(), &["diff", "git:HEAD", "tiers.toml"])
    );

    fs::write(folder.path().join("new.toml"), edited()).unwrap();
    let new = manifest(
        folder.path(),
        &["check", "new.toml", "--against", "git:HEAD"],
    );
    assert_eq!(new.code, 0);
    assert!(new.stderr.contains("`new.toml` is new"), "{}", new.stderr);
    let unknown = manifest(
        folder.path(),
        &["check", "tiers.toml", "--against", "git:no-such"],
    );
    assert_eq!(
        (unknown.code, unknown.stderr.as_str()),
        (2, "error: git knows no revision `no-such` here\n")
    );
}

#[test]
fn diff_shows_an_edit_in_three_formats() {
    let folder = example();
    fs::write(folder.path().join("new.toml"), edited()).unwrap();
    for format in ["human", "json", "markdown"] {
        let run = manifest(
            folder.path(),
            &["diff", "tiers.toml", "new.toml", "--format", format],
        );
        insta::assert_snapshot!(format!("diff_{format}"), run);
    }
    let same = manifest(folder.path(), &["diff", "tiers.toml", "tiers.toml"]);
    assert_eq!(same.stdout, "no tier changes\n");
}

#[test]
fn why_tells_the_shortest_chain_or_what_would_bring_the_package() {
    let folder = example();
    let questions: [&[&str]; 7] = [
        &["why", "pages-bookings"],
        &["why", "@acme/order"],
        &["why", "shared", "--tier", "enterprise"],
        &["why-not", "customer-segment", "--tier", "basic"],
        &[
            "why",
            "customer-segment",
            "--tier",
            "basic",
            "--format",
            "json",
        ],
        &["why", "loyality"],
        &["why", "order", "--tier", "gold"],
    ];
    let answers: Vec<String> = questions
        .iter()
        .map(|question| {
            format!(
                "$ manifest {}\n{}",
                question.join(" "),
                manifest(folder.path(), question)
            )
        })
        .collect();
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn sets_are_lists_that_other_tools_can_read() {
    let folder = example();
    insta::assert_snapshot!("sets", manifest(folder.path(), &["sets"]));
    let names = manifest(folder.path(), &["sets", "--tier", "basic"]).stdout;
    assert!(
        names.lines().is_sorted() && names.lines().count() == 39,
        "{names}"
    );
    let json = manifest(
        folder.path(),
        &["sets", "--tier", "growth", "--format", "json"],
    )
    .stdout;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["tiers"][0]["limits"]["boxes"], 5);
    assert_eq!(value["tiers"][0]["packages"].as_array().unwrap().len(), 56);
}

#[test]
fn a_graph_has_every_package_in_its_band_in_each_language() {
    let folder = example();
    for format in ["dot", "mermaid", "svg"] {
        let run = manifest(
            folder.path(),
            &["graph", "--format", format, "--tier", "basic"],
        );
        insta::assert_snapshot!(format!("graph_{format}"), run);
    }
    let whole = manifest(folder.path(), &["graph", "--format", "svg"]).stdout;
    assert_eq!(whole.matches("<g><title>@acme/").count(), 68);
}

#[test]
fn init_writes_a_manifest_that_is_good_and_tidy_and_never_overwrites() {
    let folder = TempDir::new().unwrap();
    assert_eq!(
        manifest(folder.path(), &["init", "--scope", "@shop"]).code,
        0
    );
    assert_eq!(
        manifest(folder.path(), &["check", "tiers.toml", "--deny-warnings"]).code,
        0
    );
    assert_eq!(manifest(folder.path(), &["fmt", "--check"]).code, 0);
    let text = fs::read_to_string(folder.path().join("tiers.toml")).unwrap();
    assert!(text.contains("\"@shop/order\"") && !text.contains("@acme"));
    let again = manifest(folder.path(), &["init"]);
    assert_eq!(again.code, 2);
    assert!(
        again.stderr.contains("cannot write `tiers.toml`"),
        "{}",
        again.stderr
    );
}

#[test]
fn what_init_proposes_in_comments_is_good_too() {
    let folder = TempDir::new().unwrap();
    assert_eq!(manifest(folder.path(), &["init"]).code, 0);
    let file = folder.path().join("tiers.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (live, proposed) = text.split_once("# What else there can be").unwrap();
    let (proposed, _) = proposed.split_once("# When something is taken").unwrap();
    let entries = proposed.lines().filter_map(|line| line.strip_prefix("# "));
    let entries: Vec<&str> = entries
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .collect();
    assert_eq!(
        entries.iter().filter(|line| line.starts_with('[')).count(),
        5
    );
    fs::write(&file, format!("{live}{}\n", entries.join("\n"))).unwrap();
    let run = manifest(folder.path(), &["check", "--deny-warnings"]);
    assert_eq!(run.code, 0, "{run}");
}

#[test]
fn fmt_checks_and_writes() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tiers.toml");
    let untidy = "[manifest]\ntiers=['b']\nscope='@acme'\ndefault-tier='b'\n[tier.b]\n";
    fs::write(&file, untidy).unwrap();
    insta::assert_snapshot!(manifest(folder.path(), &["fmt", "--check"]));
    assert_eq!(manifest(folder.path(), &["fmt"]).code, 0);
    assert_eq!(manifest(folder.path(), &["fmt", "--check"]).code, 0);
}

#[test]
fn the_schema_in_the_repository_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tiers.schema.json");
    let printed = manifest(Path::new("."), &["schema"]).stdout;
    assert_eq!(
        fs::read_to_string(path).unwrap_or_default(),
        printed,
        "renew it: manifest schema > manifest/tiers.schema.json"
    );
}

#[test]
fn what_cannot_be_done_ends_with_code_two() {
    let folder = example();
    for arguments in [
        &["check", "nothing.toml"][..],
        &["check", "--format", "xml"],
        &["check", "tiers.toml", "--against", "git:--help"],
        &[
            "check",
            "tiers.toml",
            "tiers.toml",
            "--against",
            "tiers.toml",
        ],
        &["graph", "--format", "png"],
        &["import", "."],
        &["import"],
        &["sets", "--manifest", "nothing.toml"],
    ] {
        let run = manifest(folder.path(), arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {run}");
        assert!(!run.stderr.is_empty());
    }
}
