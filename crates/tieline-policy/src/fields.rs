//! A TOML table read field by field, as spans: every wrong key is reported in one run, with its place, where a
//! deserializer would stop at the first mistake. What a file means is its reader's; what a text, a list or a date is,
//! and what is said when it is none, stands here once.

use std::ops::Range;
use std::sync::Arc;

use tieline_core::Tick;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::date::{self, Edge};
use crate::problem::{PackProblem, Problems, Sheet};

/// The table of a file; `None` after a problem.
pub(crate) fn parse<'t>(sheet: Sheet<'t>, problems: &mut Problems) -> Option<Spanned<DeTable<'t>>> {
    let (root, errors) = DeTable::parse_recoverable(sheet.text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        problems.push(sheet.problem(offset, one_line(error.message()), Some("this is not TOML 1.1")));
    }
    errors.is_empty().then_some(root)
}

/// What `check` makes of a file's table; on failure, every problem with its place.
pub(crate) fn read<T>(
    path: &Arc<str>,
    text: &str,
    check: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
) -> Result<T, Vec<PackProblem>> {
    let sheet = Sheet { path, text };
    let mut problems = Problems::default();
    let found = parse(sheet, &mut problems).and_then(|root| {
        check(&mut Fields {
            sheet,
            table: root.get_ref(),
            place: 0..0,
            problems: &mut problems,
        })
    });
    match found {
        Some(found) if problems.is_empty() => Ok(found),
        _ => Err(problems.into_sorted()),
    }
}

/// `[a-z0-9-]{1,64}`, the shape of ids of packs, rules and sets.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

pub(crate) const ID_HELP: &str = "an id is 1 to 64 of a-z, 0-9 and -";

/// Messages of parsers may run over lines; a problem is one.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A field is wrong, and the problem is already reported.
#[derive(Debug)]
pub(crate) struct Reported;

/// A table that is read field by field.
pub(crate) struct Fields<'a, 't> {
    pub(crate) sheet: Sheet<'t>,
    pub(crate) table: &'a DeTable<'t>,
    /// Of the table itself, for what is missing in it.
    pub(crate) place: Range<usize>,
    pub(crate) problems: &'a mut Problems,
}

impl<'a> Fields<'a, '_> {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    pub(crate) fn only(&mut self, known: &[&str]) {
        for key in self.table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let says = format!("unknown key `{}`", key.get_ref());
                let help = format!("known keys are {}", known.join(", "));
                self.problems
                    .push(self.sheet.problem(key.span().start, says, Some(&help)));
            }
        }
    }

    /// A problem at a field's value, or at the table if the field is absent.
    pub(crate) fn complain(&mut self, key: &str, says: impl Into<String>, help: Option<&str>) {
        let offset = self
            .table
            .get(key)
            .map_or(self.place.start, |value| value.span().start);
        self.problems.push(self.sheet.problem(offset, says, help));
    }

    pub(crate) fn required(&mut self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let found = self.table.get(key);
        if found.is_none() {
            self.complain(
                key,
                format!("`{key}` is missing"),
                Some("a file without it is refused whole"),
            );
        }
        found
    }

    pub(crate) fn wrong_type(&mut self, key: &str, expected: &str) {
        let found = self
            .table
            .get(key)
            .map_or("nothing", |value| value.get_ref().type_str());
        self.complain(
            key,
            format!("`{key}` is of type {found}; expected is {expected}"),
            None,
        );
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<Arc<str>> {
        let value = self.required(key)?;
        match value.get_ref().as_str().map(str::trim) {
            None => self.wrong_type(key, "a string"),
            Some("") => self.complain(key, format!("`{key}` is empty"), None),
            Some(text) => return Some(Arc::from(text)),
        }
        None
    }

    pub(crate) fn texts(&mut self, key: &str) -> Option<Vec<Arc<str>>> {
        let value = self.required(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, "an array of strings");
            return None;
        };
        let mut out = Vec::new();
        for item in array {
            let Some(text) = item.get_ref().as_str() else {
                let says = format!("`{key}` holds a value of type {}", item.get_ref().type_str());
                self.problems.push(
                    self.sheet
                        .problem(item.span().start, says, Some("strings are expected")),
                );
                return None;
            };
            out.push(Arc::from(text));
        }
        Some(out)
    }

    pub(crate) fn date(&mut self, key: &str, edge: Edge) -> Option<Tick> {
        let value = self.required(key)?;
        let Some(date) = value.get_ref().as_datetime() else {
            self.wrong_type(key, "a date (without quotes, such as 2026-06-12)");
            return None;
        };
        match date::tick(date, edge) {
            Ok(tick) => Some(tick),
            Err(why) => {
                self.complain(key, format!("`{key}`: {why}"), None);
                None
            }
        }
    }

    pub(crate) fn optional_text(&mut self, key: &str) -> Result<Option<Arc<str>>, Reported> {
        if self.has(key) {
            self.text(key).map(Some).ok_or(Reported)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn optional_date(&mut self, key: &str) -> Result<Option<Tick>, Reported> {
        if self.has(key) {
            self.date(key, Edge::Begin).map(Some).ok_or(Reported)
        } else {
            Ok(None)
        }
    }
}
