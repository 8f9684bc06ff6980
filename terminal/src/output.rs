//! What a command prints: results on standard output, everything else on standard error.

use std::io::{ErrorKind, Write};

use anyhow::Context;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

/// What stands between two columns.
const GAP: &str = "  ";

/// Prints a result. Nobody need read it: a closed output is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    print_on(text).map(drop)
}

/// Prints a part of a result, and tells whether anybody reads on.
pub fn print_on(text: &str) -> anyhow::Result<bool> {
    write(std::io::stdout().lock(), text).context("cannot write to standard output")
}

/// Says something beside the result.
pub fn say(text: &str) -> anyhow::Result<()> {
    let said = write(std::io::stderr().lock(), &format!("{text}\n"));
    said.map(drop).context("cannot write to standard error")
}

/// Prints a result for machines: one JSON document.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("the result is not JSON")?;
    print(&format!("{text}\n"))
}

/// Rows under a heading, in columns. Nothing but the heading where there are no rows.
pub fn table<R: IntoIterator<Item: ToString>>(
    heading: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> String {
    Table::new(heading).rows(rows)
}

/// A table that is printed as its rows come. Columns only grow wider; nothing is ever cut or
/// wrapped, so that what is seen can be copied, however narrow the terminal.
#[derive(Debug)]
pub struct Table {
    heading: Option<Vec<String>>,
    widths: Vec<usize>,
}

impl Table {
    /// A table with these columns.
    pub fn new(heading: &[&str]) -> Self {
        Self {
            heading: Some(heading.iter().map(|&name| name.to_owned()).collect()),
            widths: Vec::new(),
        }
    }

    /// The next rows, as lines; before the first ones stands the heading.
    pub fn rows<R: IntoIterator<Item: ToString>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
    ) -> String {
        let rows = rows.into_iter().map(|row| {
            let cells = row.into_iter().map(|cell| plain(&cell.to_string()));
            cells.collect()
        });
        let rows: Vec<Vec<String>> = self.heading.take().into_iter().chain(rows).collect();
        for row in &rows {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &[String]) -> String {
        let cells = row.iter().zip(&self.widths).map(|(cell, width)| {
            let blanks = width.saturating_sub(cell.width());
            format!("{cell}{}", " ".repeat(blanks))
        });
        let line = cells.collect::<Vec<_>>().join(GAP);
        format!("{}\n", line.trim_end())
    }
}

/// A text of somebody else's, for a terminal: nothing in it may steer that.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Writes, and tells whether the other end is open.
fn write(mut to: impl Write, text: &str) -> std::io::Result<bool> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_and_no_trailing_blanks() {
        let text = table(&["ID", "TIER"], [["lic_1", "basic"], ["lic_22", "growth"]]);
        assert_eq!(text, "ID      TIER\nlic_1   basic\nlic_22  growth\n");
        assert_eq!(table(&["ID"], Vec::<[&str; 1]>::new()), "ID\n");
    }

    #[test]
    fn a_table_goes_on_in_its_columns_and_is_as_wide_as_it_looks() {
        let mut table = Table::new(&["NAME", "N"]);
        assert_eq!(table.rows([["東京", "1"]]), "NAME  N\n東京  1\n");
        assert_eq!(table.rows([["a", "2"]]), "a     2\n");
        assert_eq!(table.rows([["longer", "3"]]), "longer  3\n");
        assert_eq!(table.rows(Vec::<[&str; 2]>::new()), "");
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let text = table(&["NAME"], [["\u{1b}[2Jtill\nlic_2"]]);
        assert_eq!(text, "NAME\n\u{fffd}[2Jtill\u{fffd}lic_2\n");
    }
}
