//! What a command prints: results on standard output, everything else on standard error.

use std::io::{ErrorKind, Write};

use anyhow::Context;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

/// Prints a result. Nobody need read it: a closed output is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    write(std::io::stdout().lock(), text).context("cannot write to standard output")
}

/// Prints a part of a result that may have no end. Whether anybody reads on.
pub fn print_on(text: &str) -> anyhow::Result<bool> {
    let mut output = std::io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Says something beside the result.
pub fn say(text: &str) -> anyhow::Result<()> {
    write(std::io::stderr().lock(), &format!("{text}\n")).context("cannot write to standard error")
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
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heading);
    for row in rows {
        table.add_row(row.into_iter().map(|cell| cell.to_string()));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table.trim_fmt() + "\n"
}

fn write(mut to: impl Write, text: &str) -> std::io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
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
}
