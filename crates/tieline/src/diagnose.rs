//! Diagnostics: what is wrong in a file, where, and what to do. Collected in a [`Sink`], rendered by a [`Report`] as text
//! with the source line, or as one JSON object.
//!
//! Bounds: at most [`DIAGNOSTICS_MAX`] are kept, the rest is counted. Secrets that stand in the file are masked in
//! everything that a report shows. Any span is safe to render: it is clamped to the text first.

mod code;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use code::Code;

/// Diagnostics of one run: more than a person reads, and at about 1 KB each below a quarter of a megabyte.
pub(crate) const DIAGNOSTICS_MAX: usize = 200;

/// The type tag of the JSON form.
pub(crate) const CHECK_V1: &str = "tieline/check/v1";

/// Bytes of source around a place that a report shows; a file without line breaks is cut to this.
const EXCERPT_BYTES_MAX: usize = 16 << 10;

/// A range of bytes in the source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but is probably not what was meant.
    Warning,
}

/// One mistake. `message` and `hints` are lower-case fragments and never hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub(crate) severity: Severity,
    pub(crate) code: Code,
    pub(crate) message: String,
    /// Where; none for a mistake of the file as a whole.
    pub(crate) span: Option<Span>,
    /// What stands at `span`.
    pub(crate) label: String,
    /// A second place that explains the first.
    pub(crate) other: Option<(Span, String)>,
    pub(crate) notes: Vec<String>,
    pub(crate) hints: Vec<String>,
    /// Whether `span` covers a secret, which no report may show.
    pub(crate) is_secret: bool,
}

/// Where diagnostics are collected.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    kept: Vec<Diagnostic>,
    errors: usize,
    left_off: usize,
}

/// All diagnostics of one file, with its text.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    diagnostics: Vec<Diagnostic>,
    left_off: usize,
    path: String,
    /// The source with every secret masked, byte for byte as long as the original.
    text: String,
}

/// How a report looks; plain where the output is no terminal, or `NO_COLOR` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Color,
    Plain,
}

/// The JSON form of a report: what `tieline check --json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckReport {
    /// Always `tieline/check/v1`.
    pub(crate) schema: &'static str,
    pub(crate) path: String,
    /// Whether the configuration can be used: it has no error.
    pub(crate) ok: bool,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    /// Findings beyond the first 200, which are not listed.
    pub(crate) left_off: usize,
    pub(crate) findings: Vec<Finding>,
}

/// One mistake in the JSON form.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The number of its page, such as `TL0122`.
    pub(crate) code: &'static str,
    /// The name of the code, such as `model_unknown`.
    pub(crate) name: &'static str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) label: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hints: Vec<String>,
}

/// Where a mistake stands.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// From 1; the line of the last character.
    pub(crate) line_end: usize,
    /// The column behind the last character.
    pub(crate) column_end: usize,
    /// The whole line, secrets masked, cut to 400 characters.
    pub(crate) source: String,
}

// === impl Diagnostic ===

impl Diagnostic {
    pub(crate) fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    pub(crate) fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: Code, message: String) -> Self {
        Self {
            severity,
            code,
            message,
            span: None,
            label: String::new(),
            other: None,
            notes: Vec::new(),
            hints: Vec::new(),
            is_secret: false,
        }
    }

    #[must_use]
    pub(crate) fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.span = Some(span);
        self.label = label.into();
        self
    }

    #[must_use]
    pub(crate) fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.other = Some((span, label.into()));
        self
    }

    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Add "did you mean" if there is something near.
    #[must_use]
    pub(crate) fn did_you_mean(self, near: Option<&str>) -> Self {
        match near {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// What stands at the span is a secret.
    #[must_use]
    pub(crate) fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }
}

// === impl Sink ===

impl Sink {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.kept.len() < DIAGNOSTICS_MAX {
            self.kept.push(diagnostic);
        } else {
            self.left_off += 1;
        }
    }

    /// Whether further diagnostics are only counted; whoever would spend time on a suggestion need not.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= DIAGNOSTICS_MAX
    }

    pub(crate) const fn errors(&self) -> usize {
        self.errors
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The diagnostics in the order of the file, and how many were left off.
    pub(crate) fn into_sorted(mut self) -> (Vec<Diagnostic>, usize) {
        self.kept.sort_by_key(|d| d.span.map_or(0, |span| span.start));
        (self.kept, self.left_off)
    }
}

// === impl Report ===

impl Report {
    /// `text` is the source that the spans refer to; empty if the file could not be read.
    pub(crate) fn new(path: &str, text: &str, diagnostics: Vec<Diagnostic>, left_off: usize) -> Self {
        let secrets = diagnostics.iter().filter(|d| d.is_secret).filter_map(|d| d.span);
        Self {
            left_off,
            path: path.to_owned(),
            text: masked(text, secrets),
            diagnostics,
        }
    }

    /// Add what is found beyond the file itself.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(diagnostic);
        } else {
            self.left_off += 1;
        }
    }

    #[cfg(test)]
    pub(crate) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    pub(crate) fn errors(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }

    pub(crate) fn warnings(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Warning)
            .count()
    }

    /// Everything as text, ending in a line that counts; empty if there is nothing to say.
    pub(crate) fn render(&self, look: Look) -> String {
        if self.diagnostics.is_empty() {
            return String::new();
        }
        let renderer = match look {
            Look::Color => Renderer::styled(),
            Look::Plain => Renderer::plain(),
        };
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            out.push_str(&self.render_one(diagnostic, &renderer));
            out.push_str("\n\n");
        }
        let _ = write!(out, "{}: {}", self.path, self.counts());
        out
    }

    /// The JSON form.
    pub(crate) fn json(&self) -> CheckReport {
        CheckReport {
            schema: CHECK_V1,
            path: self.path.clone(),
            ok: self.errors() == 0,
            errors: self.errors(),
            warnings: self.warnings(),
            left_off: self.left_off,
            findings: self.diagnostics.iter().map(|d| self.finding(d)).collect(),
        }
    }

    fn counts(&self) -> String {
        let mut parts = Vec::new();
        for (count, word) in [
            (self.errors(), "error"),
            (self.warnings(), "warning"),
            (self.left_off, "more"),
        ] {
            if count > 0 {
                let plural = if count > 1 && word != "more" { "s" } else { "" };
                parts.push(format!("{count} {word}{plural}"));
            }
        }
        parts.join(", ")
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code.number());
        let mut group = match diagnostic.span {
            Some(span) => title.element(self.snippet(diagnostic, span)),
            None => Group::with_title(title).element(annotate_snippets::Origin::path(self.path.as_str())),
        };
        for note in &diagnostic.notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        for hint in &diagnostic.hints {
            group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        renderer.render(&[group])
    }

    /// The lines around the places, cut so that the cost of a report does not grow with the file.
    fn snippet<'a>(
        &'a self,
        diagnostic: &'a Diagnostic,
        span: Span,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let span = self.visible(span);
        let other = diagnostic
            .other
            .as_ref()
            .map(|(other, label)| (self.visible(*other), label));
        let mut window = self.lines_of(span.clone());
        let other = other.filter(|(other, _)| {
            let lines = self.lines_of(other.clone());
            let joined = window.start.min(lines.start)..window.end.max(lines.end);
            let fits = joined.len() <= EXCERPT_BYTES_MAX;
            if fits {
                window = joined;
            }
            fits
        });
        let line = self
            .text
            .get(..window.start)
            .map_or(1, |before| before.matches('\n').count() + 1);
        let within = |range: Range<usize>| range.start - window.start..range.end - window.start;
        let label = Some(diagnostic.label.as_str()).filter(|l| !l.is_empty());
        Snippet::source(self.text.get(window.clone()).unwrap_or_default())
            .path(self.path.as_str())
            .line_start(line)
            .annotation(AnnotationKind::Primary.span(within(span)).label(label))
            .annotations(
                other.map(|(range, label)| AnnotationKind::Context.span(within(range)).label(label.as_str())),
            )
    }

    /// A span as a range that can be shown: inside the text, on character borders, on one line, not empty unless the
    /// line is.
    fn visible(&self, span: Span) -> Range<usize> {
        let start = floor_border(&self.text, span.start);
        let rest = self.text.get(start..).unwrap_or_default();
        let line_len = rest
            .find(['\n', '\r'])
            .unwrap_or(rest.len())
            .min(EXCERPT_BYTES_MAX / 4);
        let end = floor_border(&self.text, span.end.clamp(start, start + line_len));
        let first = rest
            .chars()
            .next()
            .filter(|c| !matches!(c, '\n' | '\r'))
            .map_or(0, char::len_utf8);
        start..end.max(start + first)
    }

    /// The whole lines around a range, at most a quarter of an excerpt to each side.
    fn lines_of(&self, range: Range<usize>) -> Range<usize> {
        let reach = EXCERPT_BYTES_MAX / 4;
        let before = self.text.get(..range.start).unwrap_or_default();
        let after = self.text.get(range.end..).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = range.end + after.find('\n').unwrap_or(after.len());
        let start = floor_border(&self.text, start.max(range.start.saturating_sub(reach)));
        let end = floor_border(&self.text, end.min(range.end + reach));
        start..end.max(range.end)
    }

    fn finding(&self, diagnostic: &Diagnostic) -> Finding {
        Finding {
            severity: diagnostic.severity,
            code: diagnostic.code.number(),
            name: diagnostic.code.name(),
            message: diagnostic.message.clone(),
            place: diagnostic.span.map(|span| self.place(span)),
            label: diagnostic.label.clone(),
            notes: diagnostic.notes.clone(),
            hints: diagnostic.hints.clone(),
        }
    }

    fn place(&self, span: Span) -> Place {
        let range = self.visible(span);
        let before = self.text.get(..range.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).map_or(0, |l| l.chars().count()) + 1;
        let line = before.matches('\n').count() + 1;
        let width = self.text.get(range.clone()).map_or(0, |t| t.chars().count());
        let source = self
            .text
            .get(line_start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        Place {
            line,
            column,
            line_end: line,
            column_end: column + width,
            source: source.chars().take(400).collect(),
        }
    }
}

// === impl Span ===

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

// === secrets ===

/// How the secrets of well-known services begin; what follows is masked wherever it stands, in comments too.
const SECRET_PREFIXES: &[&str] = &[
    "sk-", "sk_", "rk_", "xai-", "gsk_", "AIza", "hf_", "ghp_", "ABSK", "AKIA", "ASIA", "nvapi-", "pplx-",
    "tl-",
];

/// A secret is at least this long; shorter words such as `sk-1` are names.
const SECRET_LEN_MIN: usize = 20;

/// Whether a word looks like a secret of a well-known service.
pub(crate) fn looks_secret(word: &str) -> bool {
    word.len() >= SECRET_LEN_MIN
        && word.bytes().all(is_word)
        && word.bytes().any(|b| b.is_ascii_digit())
        && SECRET_PREFIXES.iter().any(|prefix| word.starts_with(prefix))
}

/// The text with `spans`, and every word that looks like a secret, replaced by `*`, byte for byte.
fn masked(text: &str, spans: impl Iterator<Item = Span>) -> String {
    let mut ranges: Vec<Range<usize>> = spans
        .map(|span| floor_border(text, span.start)..floor_border(text, span.end))
        .filter(|range| !range.is_empty())
        .collect();
    let base = text.as_ptr() as usize;
    for word in text
        .split(|c: char| !c.is_ascii() || !is_word(c as u8))
        .filter(|w| looks_secret(w))
    {
        let start = word.as_ptr() as usize - base;
        ranges.push(start..start + word.len());
    }
    ranges.sort_by_key(|range| range.start);
    let mut out = String::with_capacity(text.len());
    for range in ranges {
        let start = range.start.max(out.len());
        out.push_str(text.get(out.len()..start).unwrap_or_default());
        let hidden = text.get(start..range.end.max(start)).unwrap_or_default();
        out.extend(hidden.bytes().map(|b| if b == b'\n' { '\n' } else { '*' }));
    }
    out.push_str(text.get(out.len()..).unwrap_or_default());
    out
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The nearest character border at or before `at`, inside the text.
fn floor_border(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// A text from the file as a message shows it: quoted by the caller, control characters escaped, at most 60 characters.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let is_plain = text.len() <= 60 && !text.chars().any(char::is_control) && !looks_secret(text);
    if is_plain {
        return Cow::Borrowed(text);
    }
    if text
        .split(|c: char| !c.is_ascii() || !is_word(c as u8))
        .any(looks_secret)
    {
        return Cow::Borrowed("(a secret)");
    }
    let mut cut: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        cut.push_str("...");
    }
    Cow::Owned(cut)
}
