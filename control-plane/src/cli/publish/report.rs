//! What became of each tarball.

use std::path::Path;

use serde::Serialize;
use terminal::Exit;
use terminal::output::{print, print_json, table};

use super::tarballs::{Bad, Tarball};

/// All tarballs, in the order in which they are sent.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Where they go, once that is known.
    pub(super) gate: Option<String>,
    pub(super) tarballs: Vec<Row>,
}

/// A tarball and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    file: String,
    name: Option<String>,
    version: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) outcome: Outcome,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// It is there from now on.
    Published,
    /// It was there before.
    Present,
    /// It would be sent.
    Planned,
    /// It cannot be published.
    Refused,
    /// It was on its way when the run ended.
    Unknown,
    /// It was not tried.
    NotSent,
}

impl Row {
    pub(super) fn of(tarball: &Tarball) -> Self {
        Self {
            file: tarball.file.display().to_string(),
            name: Some(tarball.name.to_string()),
            version: Some(tarball.version.to_string()),
            tag: None,
            outcome: Outcome::NotSent,
            reason: None,
        }
    }

    pub(super) fn bad(bad: &Bad) -> Self {
        Self {
            file: Path::display(&bad.file).to_string(),
            name: None,
            version: None,
            tag: None,
            outcome: Outcome::Refused,
            reason: Some(bad.why.clone()),
        }
    }

    pub(super) fn is(&mut self, outcome: Outcome, reason: impl Into<Option<String>>) {
        self.outcome = outcome;
        self.reason = reason.into();
    }

    fn result(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Published => "published",
            Outcome::Present => "there already",
            Outcome::Planned => "to be published",
            Outcome::Refused => "refused",
            Outcome::Unknown => "unknown",
            Outcome::NotSent => "not sent",
        };
        match &self.reason {
            Some(reason) => format!("{outcome}: {reason}"),
            None => outcome.to_owned(),
        }
    }
}

impl Report {
    /// How many ended so.
    pub(super) fn count(&self, outcome: Outcome) -> usize {
        let rows = self.tarballs.iter();
        rows.filter(|row| row.outcome == outcome).count()
    }

    /// Prints it to standard output.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return print_json(self);
        }
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let rows = self.tarballs.iter().map(|row| {
            let (name, version, tag) = (dash(&row.name), dash(&row.version), dash(&row.tag));
            [row.file.clone(), name, version, tag, row.result()]
        });
        print(&table(
            &["FILE", "PACKAGE", "VERSION", "TAG", "RESULT"],
            rows,
        ))
    }

    /// Puts down what cannot be published, before all else. Returns the code to exit with.
    pub(super) fn note_bad(&mut self, bad: &[Bad]) -> Option<Exit> {
        self.tarballs.splice(0..0, bad.iter().map(Row::bad));
        // A file that is broken says more than a name that is not known.
        let failed = bad.iter().find(|bad| bad.exit == Exit::Failed);
        failed.or(bad.first()).map(|bad| bad.exit)
    }
}
