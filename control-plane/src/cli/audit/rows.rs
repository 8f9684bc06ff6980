//! Rows of a control plane's log, oldest first, as they come. Where a stream breaks off, it goes on
//! after the last row that came whole.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, Response};
use serde::Deserialize;
use terminal::output::say;
use terminal::{ControlPlane, Exit, Failure};

/// No export takes longer; without a limit of its own a request ends after a minute.
const TIME_MAX: Duration = Duration::from_hours(24);
/// Who sends nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// How often in a row a stream may break off without a row.
const BREAKS_MAX: u32 = 3;
const WAIT: Duration = Duration::from_secs(1);

/// A row as it came, without the end of its line.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number.
    pub sequence: i64,
    /// The whole of it.
    pub text: String,
}

/// What every row has.
#[derive(Deserialize)]
struct Numbered {
    sequence: i64,
}

/// Rows after one.
pub(super) struct Rows {
    control_plane: ControlPlane,
    last: i64,
    response: Option<Response>,
    rest: Vec<u8>,
    lines: VecDeque<Line>,
    breaks: u32,
}

impl Line {
    /// Reads a line of an export.
    pub(super) fn read(text: &str) -> Option<Self> {
        let Numbered { sequence } = serde_json::from_str(text).ok()?;
        let text = text.to_owned();
        Some(Self { sequence, text })
    }
}

impl Rows {
    /// Those after a number.
    pub(super) fn after(control_plane: ControlPlane, last: i64) -> Self {
        Self {
            control_plane,
            last,
            response: None,
            rest: Vec::new(),
            lines: VecDeque::new(),
            breaks: 0,
        }
    }

    /// The next one; none at the end. Rows may be missing, and never come twice or backwards.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Line>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                if line.sequence <= self.last {
                    let (row, last) = (line.sequence, self.last);
                    let text = format!("the server sent row {row} after row {last}");
                    return Err(Failure::new(Exit::Failed, text).into());
                }
                self.last = line.sequence;
                self.breaks = 0;
                return Ok(Some(line));
            }
            if !self.read_on().await? {
                return Ok(None);
            }
        }
    }

    /// Reads some more. False at the end.
    async fn read_on(&mut self) -> anyhow::Result<bool> {
        let response = if let Some(response) = &mut self.response {
            response
        } else {
            let path = format!("/v1/audit/export?after={}", self.last);
            let request = self.control_plane.request(Method::GET, &path);
            let request = request.timeout(TIME_MAX);
            self.rest.clear();
            let response = self.control_plane.send_request(request).await?;
            self.response.insert(response)
        };
        match tokio::time::timeout(SILENCE_MAX, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                self.rest.extend_from_slice(&chunk);
                self.split()?;
                Ok(true)
            }
            Ok(Ok(None)) if self.rest.is_empty() => Ok(false),
            broken => {
                self.response = None;
                self.breaks += 1;
                let last = self.last;
                if self.breaks > BREAKS_MAX {
                    let text = format!("the server broke off after row {last}, again and again");
                    return Err(Failure::new(Exit::Unreachable, text)
                        .hint("its log tells why; what came is whole and can be gone on with")
                        .into());
                }
                drop(broken);
                say(&format!(
                    "the server broke off after row {last}; going on from there"
                ))?;
                tokio::time::sleep(WAIT).await;
                Ok(true)
            }
        }
    }

    /// Takes the lines that are whole.
    fn split(&mut self) -> anyhow::Result<()> {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let whole = String::from_utf8(whole).context("the server sent what is no text")?;
        for text in whole.lines() {
            let line = Line::read(text).context("the server sent a line that is no row")?;
            self.lines.push_back(line);
        }
        Ok(())
    }
}
