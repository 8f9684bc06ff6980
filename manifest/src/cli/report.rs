//! Diagnostics in the formats that their readers take: people, programs, GitHub, code scanners.

use manifest::{Diagnostic, Diagnostics, RULES, Severity};
use serde_json::{Value, json};

use super::{coloured, print, print_json, tell};

/// Whom a report is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// People: the source line with a marker, and a hint.
    #[default]
    Human,
    /// Programs.
    Json,
    /// GitHub Actions: annotations on the lines of a pull request.
    Github,
    /// Code scanners: SARIF 2.1.0.
    Sarif,
}

/// What there is to say about one file.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) file: String,
    pub(crate) good: bool,
    /// What the file holds, when it is good.
    pub(crate) summary: Option<String>,
    pub(crate) problems: Vec<Diagnostics>,
}

impl Report {
    pub(crate) fn refused(file: &str, problems: Vec<Diagnostics>) -> Self {
        Self {
            file: file.to_owned(),
            good: false,
            summary: None,
            problems,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Diagnostic> {
        self.problems.iter().flat_map(Diagnostics::iter)
    }
}

impl Format {
    pub(crate) fn print(self, reports: &[Report]) {
        match self {
            Self::Human => human(reports),
            Self::Json => print_json(&json(reports)),
            Self::Github => {
                // The log shows what people read; the commands become annotations.
                human(reports);
                print(&github(reports));
            }
            Self::Sarif => print_json(&sarif(reports)),
        }
    }
}

fn human(reports: &[Report]) {
    for report in reports {
        for problems in &report.problems {
            tell(&problems.render(coloured()));
        }
        match &report.summary {
            Some(summary) => print(&format!("{}: good; {summary}\n", report.file)),
            None => tell(&format!("{}: refused\n", report.file)),
        }
    }
}

fn json(reports: &[Report]) -> Value {
    let one = |problem: &Diagnostic| {
        json!({
            "rule": problem.rule().id,
            "name": problem.rule().name,
            "severity": severity(problem),
            "message": problem.message(),
            "hint": problem.hint_text(),
            "start": { "line": problem.start().line, "column": problem.start().column },
            "end": { "line": problem.end().line, "column": problem.end().column },
        })
    };
    let files = reports.iter().map(|report| {
        json!({
            "file": report.file,
            "good": report.good,
            "diagnostics": report.all().map(one).collect::<Vec<_>>(),
        })
    });
    json!({ "files": files.collect::<Vec<_>>() })
}

fn severity(problem: &Diagnostic) -> &'static str {
    match problem.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Workflow commands: properties and message have escapes of their own.
fn github(reports: &[Report]) -> String {
    let message = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| message(text).replace(':', "%3A").replace(',', "%2C");
    let mut lines = String::new();
    for report in reports {
        for problem in report.all() {
            let text = match problem.hint_text() {
                Some(hint) => format!("{}\n{hint}", problem.message()),
                None => problem.message().to_owned(),
            };
            let place = format!(
                "file={},line={},col={},endLine={},endColumn={},title={}",
                property(&report.file),
                problem.start().line,
                problem.start().column,
                problem.end().line,
                problem.end().column,
                property(&problem.rule().to_string()),
            );
            lines.extend([
                "::",
                severity(problem),
                " ",
                &place,
                "::",
                &message(&text),
                "\n",
            ]);
        }
    }
    lines
}

fn sarif(reports: &[Report]) -> Value {
    let rules = RULES.iter().map(|rule| {
        json!({
            "id": rule.id,
            "name": rule.name,
            "shortDescription": { "text": rule.protects },
        })
    });
    let result = |file: &str, problem: &Diagnostic| {
        let hint = problem
            .hint_text()
            .map(|hint| format!("\n{hint}"))
            .unwrap_or_default();
        json!({
            "ruleId": problem.rule().id,
            "ruleIndex": RULES.iter().position(|rule| rule.id == problem.rule().id),
            "level": severity(problem),
            "message": { "text": format!("{}{hint}", problem.message()) },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": uri(file) },
                "region": {
                    "startLine": problem.start().line,
                    "startColumn": problem.start().column,
                    "endLine": problem.end().line,
                    "endColumn": problem.end().column,
                },
            }}],
        })
    };
    let results = reports
        .iter()
        .flat_map(|report| report.all().map(|problem| result(&report.file, problem)));
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "manifest",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

/// A path as a URI reference: code scanners match it with the paths of the repository.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.trim_start_matches("./")
        .bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
