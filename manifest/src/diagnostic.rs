//! Diagnostics: what is wrong with a manifest, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::invariants::Rule;

/// Kept at most; the rest is counted. Nobody reads more, and memory stays bounded.
const KEPT_MAX: usize = 1000;
/// Lines longer than this are named by place only: drawing one takes time in its length.
const DRAWN_LINE_BYTES_MAX: usize = 2000;

/// Whether a manifest with the problem can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, and probably does not say what was meant.
    Warning,
}

/// One problem, at one place.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    rule: &'static Rule,
    message: String,
    hint: Option<String>,
    span: Range<usize>,
    label: String,
    also: Vec<(Range<usize>, String)>,
    start: Position,
    end: Position,
}

/// A place in a text, from 1 on; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Diagnostic {
    pub(crate) fn new(rule: &'static Rule, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            rule,
            message: printable(&message.into()),
            hint: None,
            span,
            label: String::new(),
            also: Vec::new(),
            start: Position::default(),
            end: Position::default(),
        }
    }

    /// What stands beside the marker.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = printable(&label.into());
        self
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(printable(&hint.into()));
        self
    }

    /// What to do about it, with lines to copy.
    pub(crate) fn hint_with_lines(mut self, hint: &str, lines: &[String]) -> Self {
        let lines = lines.iter().map(|line| printable(line));
        let all: Vec<String> = std::iter::once(hint.to_owned()).chain(lines).collect();
        self.hint = Some(all.join("\n"));
        self
    }

    /// Another place that has to do with it.
    pub(crate) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also.push((span, label.into()));
        self
    }

    /// The invariant that does not hold.
    pub fn rule(&self) -> &'static Rule {
        self.rule
    }

    /// Whether the manifest can be used all the same.
    pub fn severity(&self) -> Severity {
        self.rule.severity
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where the marked text starts.
    pub fn start(&self) -> Position {
        self.start
    }

    /// Just after where the marked text ends.
    pub fn end(&self) -> Position {
        self.end
    }
}

/// All problems of one file, in the order of their places. `Display` draws them as a compiler
/// does: message, place, source line with a marker, hint.
#[derive(Clone, Default)]
pub struct Diagnostics {
    origin: Arc<str>,
    source: Arc<str>,
    items: Vec<Diagnostic>,
    omitted: usize,
}

impl Diagnostics {
    /// Puts the found problems into order and works out their lines and columns.
    pub(crate) fn locate(origin: &str, source: &Arc<str>, found: Found) -> Self {
        let Found { mut items, omitted } = found;
        if items.is_empty() {
            return Self {
                origin: origin.into(),
                ..Self::default()
            };
        }
        items.sort_by_key(|item| (item.span.start, item.rule.id));
        let lines = Lines::new(source);
        for item in &mut items {
            item.start = lines.position(source, item.span.start);
            item.end = lines.position(source, item.span.end);
        }
        Self {
            origin: origin.into(),
            source: Arc::clone(source),
            items,
            omitted,
        }
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many there are, with those that were only counted.
    pub fn len(&self) -> usize {
        self.items.len() + self.omitted
    }

    /// The problems, in the order of their places.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// What the file was called.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether one of them makes the manifest unusable.
    pub fn has_errors(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.severity() == Severity::Error)
    }

    /// Draws all of them, for a terminal when `coloured`.
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let lines = Lines::new(&self.source);
        let mut text = String::new();
        for item in &self.items {
            text.push_str(&renderer.render(&[self.group(item, &lines)]));
            text.push_str("\n\n");
        }
        if self.omitted > 0 {
            text.extend([
                "and ",
                &self.omitted.to_string(),
                " more

",
            ]);
        }
        text
    }

    /// One problem: its own line first, with whatever else is on it, then the other places.
    fn group<'a>(&'a self, item: &'a Diagnostic, lines: &Lines) -> Group<'a> {
        let level = match item.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let line_of = |span: &Range<usize>| lines.around(&self.source, span).0;
        let main = Mark {
            kind: AnnotationKind::Primary,
            span: &item.span,
            label: &item.label,
        };
        let others = item.also.iter().map(|(span, label)| Mark {
            kind: AnnotationKind::Context,
            span,
            label,
        });
        let (beside, elsewhere): (Vec<Mark<'a>>, Vec<Mark<'a>>) =
            others.partition(|mark| line_of(mark.span) == line_of(&item.span));
        let marks = std::iter::once(main).chain(beside).collect();
        let mut group = level
            .primary_title(&item.message)
            .id(item.rule.to_string())
            .element(self.drawn(marks, lines));
        for mark in elsewhere {
            group = group.element(self.drawn(vec![mark], lines));
        }
        match &item.hint {
            Some(hint) => group.element(Level::HELP.message(hint)),
            None => group,
        }
    }

    /// The line that the marks are on.
    fn drawn<'a>(&'a self, marks: Vec<Mark<'a>>, lines: &Lines) -> Element<'a> {
        let start = marks.first().map_or(0..0, |mark| mark.span.clone());
        let (number, line) = lines.around(&self.source, &start);
        let text = self.source.get(line.clone()).unwrap_or_default();
        if text.len() > DRAWN_LINE_BYTES_MAX {
            let place = lines.position(&self.source, start.start);
            return Origin::path(&*self.origin)
                .line(place.line)
                .char_column(place.column)
                .into();
        }
        let annotations = marks.into_iter().map(|mark| {
            let inside = mark.span.start - line.start..mark.span.end.min(line.end) - line.start;
            mark.kind
                .span(inside)
                .label((!mark.label.is_empty()).then_some(mark.label))
        });
        Snippet::source(text)
            .path(&*self.origin)
            .line_start(number)
            .annotations(annotations)
            .into()
    }
}

/// A marked text.
struct Mark<'a> {
    kind: AnnotationKind,
    span: &'a Range<usize>,
    label: &'a str,
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Diagnostics {}

/// A name in a TOML text may hold anything. Written out, control characters would draw on the
/// terminal, and a line break could start a command to the CI that reads the log.
fn printable(text: &str) -> String {
    let shown = |character: char| -> Vec<char> {
        match character {
            control if control.is_control() => control.escape_default().collect(),
            plain => vec![plain],
        }
    };
    if text.contains(char::is_control) {
        return text.chars().flat_map(shown).collect();
    }
    text.to_owned()
}

/// Problems found so far, in any order and without lines.
#[derive(Debug, Default)]
pub(crate) struct Found {
    items: Vec<Diagnostic>,
    omitted: usize,
}

impl Found {
    pub(crate) fn add(&mut self, problem: Diagnostic) {
        if self.items.len() < KEPT_MAX {
            self.items.push(problem);
        } else {
            self.omitted += 1;
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.severity() == Severity::Error)
    }
}

/// Where the lines of a text start.
struct Lines(Vec<usize>);

impl Lines {
    fn new(source: &str) -> Self {
        let breaks = source
            .bytes()
            .enumerate()
            .filter(|&(_, byte)| byte == b'\n');
        Self(
            std::iter::once(0)
                .chain(breaks.map(|(at, _)| at + 1))
                .collect(),
        )
    }

    /// The number of the line, from 1, and where it starts.
    fn line_of(&self, at: usize) -> (usize, usize) {
        let number = self.0.partition_point(|&start| start <= at);
        (
            number,
            self.0.get(number.saturating_sub(1)).copied().unwrap_or(0),
        )
    }

    fn position(&self, source: &str, at: usize) -> Position {
        let (line, start) = self.line_of(at.min(source.len()));
        let before = source.get(start..at.min(source.len())).unwrap_or_default();
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }

    /// The number of the line where the span starts, and that line without its break.
    fn around(&self, source: &str, span: &Range<usize>) -> (usize, Range<usize>) {
        let (number, start) = self.line_of(span.start.min(source.len()));
        let end = self.0.get(number).map_or(source.len(), |next| next - 1);
        let end = if source.get(..end).is_some_and(|t| t.ends_with('\r')) {
            end - 1
        } else {
            end
        };
        (number, start..end.max(start))
    }
}
