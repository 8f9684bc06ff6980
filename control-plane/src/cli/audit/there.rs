//! `tollgate audit export` and `verify` over HTTP.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::Value;
use terminal::output::{print, print_json, say};
use terminal::{ControlPlane, Exit, Failure, progress};

use super::copy::{Copy, Exported};
use super::noted;
use super::rows::Rows;
use crate::store::audit::Head;

/// No check takes longer.
const TIME_MAX: Duration = Duration::from_hours(6);
/// What is written at a time, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// Copies the log's rows after one.
pub(super) async fn export(
    control_plane: ControlPlane,
    mut copy: Copy,
    after: i64,
) -> anyhow::Result<()> {
    let mut rows = Rows::after(control_plane, after);
    let (mut expected, mut missing) = (after + 1, None);
    let mut text = String::new();
    loop {
        let line = rows.next().await;
        let end = !matches!(line, Ok(Some(_)));
        if let Ok(Some(line)) = &line {
            if line.sequence != expected {
                // All the same, what there is is wanted.
                missing.get_or_insert(expected);
            }
            expected = line.sequence + 1;
            text += &line.text;
            text.push('\n');
        }
        if (end || text.len() >= WRITE_BYTES) && !copy.write(&std::mem::take(&mut text))? {
            return Ok(());
        }
        if end {
            line?;
            break;
        }
    }
    copy.finish()?;
    match missing {
        None => Ok(()),
        Some(row) => Err(Failure::new(
            Exit::Failed,
            format!("the audit log is damaged: row {row} is missing"),
        )
        .hint("the rows that there are were exported; `tollgate audit verify` checks the log")
        .into()),
    }
}

/// Has the server check its log, and checks what it says against what is known here.
pub(super) async fn verify(
    control_plane: ControlPlane,
    head: Option<Head>,
    file: Option<&Path>,
    json: bool,
) -> anyhow::Result<()> {
    let url = control_plane.url().to_owned();
    let kept = noted::read(&url)?;
    let heads: Vec<Head> = head.into_iter().chain(kept).collect();
    let query: Vec<String> = heads.iter().map(ToString::to_string).collect();
    let query = match query.join(",") {
        none if none.is_empty() => none,
        heads => format!("?head={heads}"),
    };
    let found: Value = {
        let _shown = progress::spinner("checking the audit log");
        let path = format!("/v1/audit/verify{query}");
        let request = control_plane.request(Method::GET, &path);
        let response = control_plane
            .send_request(request.timeout(TIME_MAX))
            .await?;
        control_plane.read(response).await?
    };
    if json {
        print_json(&found)?;
    }
    let head = judge(&found, &heads).map_err(|(damage, hint)| {
        let hint = hint.or_else(|| hint_of(&url, &damage, &heads));
        let failure = Failure::new(Exit::Failed, format!("the audit log is damaged: {damage}"));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    if let Some(file) = file {
        compare(control_plane, file).await?;
    }
    noted::write(&url, &head)?;
    if json {
        return Ok(());
    }
    let rows = head.sequence;
    print(&format!(
        "the audit log is whole: {rows} rows, head {head}\n"
    ))?;
    match heads.last() {
        Some(noted) => say(&format!(
            "it contains row {} as it was noted",
            noted.sequence
        )),
        None => say("this end of it is noted here, and must be in the log from now on"),
    }
}

/// Damage in a sentence, and what to do about it.
type Damaged = (String, Option<String>);

/// What the server found, unless it contradicts itself or what was noted.
fn judge(found: &Value, noted: &[Head]) -> Result<Head, Damaged> {
    let text = |at| found.pointer(at).and_then(Value::as_str).map(str::to_owned);
    if found.get("whole") != Some(&Value::Bool(true)) {
        let detail = text("/damage/detail");
        let detail = detail.unwrap_or_else(|| "the server does not say how".to_owned());
        return Err((detail, text("/damage/hint")));
    }
    let head = text("/head").and_then(|head| head.parse::<Head>().ok());
    let rows = found.get("rows").and_then(Value::as_i64);
    let Some(head) = head.filter(|head| rows == Some(head.sequence)) else {
        return Err((
            "the server says that it is whole, and not where it ends".to_owned(),
            None,
        ));
    };
    for noted in noted {
        let (row, end) = (noted.sequence, head.sequence);
        if end < row {
            return Err((
                format!("the log ends at row {end}, but row {row} was noted"),
                None,
            ));
        }
        if end == row && head != *noted {
            return Err((format!("row {row} is not the one that was noted"), None));
        }
    }
    Ok(head)
}

/// Whoever put an older database back on purpose is told how to go on.
fn hint_of(url: &str, damage: &str, heads: &[Head]) -> Option<String> {
    let is_end = damage.contains("the log ends at") || damage.contains("was noted");
    let noted = heads.last().filter(|_| is_end)?;
    let file = noted::file(url)?;
    Some(format!(
        "row {} was noted here when the log was checked last; if an older database was put back on \
         purpose, remove `{}`",
        noted.sequence,
        file.display()
    ))
}

/// Whether an exported file has no gap, and the log still says the same.
async fn compare(control_plane: ControlPlane, path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let mut file = Exported::open(path)?;
    let Some(mut line) = file.next()? else {
        bail!("`{shown}` holds no rows");
    };
    let first = line.sequence;
    let mut rows = Rows::after(control_plane, first - 1);
    loop {
        let row = line.sequence;
        let there = rows.next().await?;
        let there = there.with_context(|| {
            format!("the audit log is damaged: it ends before row {row}, which `{shown}` holds")
        })?;
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        if there.sequence != row || value(&there.text) != value(&line.text) {
            bail!("the audit log is damaged: row {row} is not what `{shown}` holds");
        }
        match file.next()? {
            Some(next) => line = next,
            None => break,
        }
    }
    let last = file.last;
    say(&format!("rows {first} to {last} are what `{shown}` holds"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(row: i64, letter: &str) -> Head {
        format!("{row}:{}", letter.repeat(64)).parse().unwrap()
    }

    fn whole(head: &Head) -> Value {
        json!({ "whole": true, "rows": head.sequence, "head": head.to_string(), "damage": null })
    }

    #[test]
    fn a_server_that_calls_a_cut_log_whole_is_not_believed() {
        let told = |found: &Value, noted: &Head| {
            judge(found, std::slice::from_ref(noted)).map_err(|(damage, _)| damage)
        };
        let five = head(5, "a");
        assert_eq!(told(&whole(&five), &head(4, "b")), Ok(five.clone()));
        assert_eq!(told(&whole(&five), &five), Ok(five.clone()));
        for (noted, expected) in [
            (head(6, "a"), "the log ends at row 5, but row 6 was noted"),
            (head(5, "b"), "row 5 is not the one that was noted"),
        ] {
            assert_eq!(told(&whole(&five), &noted), Err(expected.to_owned()));
        }
        let mut found = whole(&five);
        found["rows"] = json!(7);
        assert!(told(&found, &head(1, "a")).is_err());
        assert!(told(&json!({}), &head(1, "a")).is_err());
    }
}
