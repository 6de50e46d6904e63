//! A file of priors: how often and how long components, channels and kinds of them are out, by whoever knows better than
//! what is shipped.
//!
//! Refuses names that the grid does not have, and what is out never or more than half of the time. Bounds:
//! [`FILE_BYTES_MAX`], [`SOURCE_CHARS_MAX`].

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use tieline_core::Snapshot;
use tieline_drill::{Downtime, DowntimeBasis, Downtimes};

use crate::check;
use crate::output::{Failure, Result};
use crate::raw::nearest;

/// A grid has at most 4,352 elements, and a row is some 100 bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Of a source, which is said of each cause of a report: two lines of a terminal.
const SOURCE_CHARS_MAX: usize = 256;

/// A row, such as `["cloud:aws"]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Of one outage, on average.
    minutes: u32,
    /// Outages in a year, such as "0.5".
    per_year: String,
    source: String,
}

pub(in crate::commands) fn read(file: &Path, snapshot: &Snapshot) -> Result<Downtimes> {
    let shown = file.display();
    let failed = |why: String| Failure::input(format!("cannot read the priors in {shown}: {why}"));
    let bytes = check::read_start(file, FILE_BYTES_MAX).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("it is no text in UTF-8".to_owned()))?;
    let rows: BTreeMap<String, Row> = toml::from_str(&text).map_err(|error| {
        failed(error.to_string()).with_hint(
            "a row is `[\"cloud:aws\"]` with `per_year = \"0.5\"`, `minutes = 240` and `source = \"where it is from\"`",
        )
    })?;
    let known = names(snapshot);
    let mut downtimes = Downtimes::default();
    for (name, row) in rows {
        if !known.contains(&name) {
            let near = nearest(&name, known.iter().map(String::as_str));
            let failure = failed(format!("the grid has no `{name}`"));
            return Err(failure.with_hint(near.map_or_else(
                || "name a component, a kind of component, `channel`, or `channel:NAME`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            )));
        }
        if !is_source(&row.source) {
            let failure = failed(format!(
                "`source` of `{name}` is empty, long, or more than one line"
            ));
            return Err(failure.with_hint(format!(
                "say in at most {SOURCE_CHARS_MAX} characters where the number is from"
            )));
        }
        let per_1000_years = thousandths(&row.per_year).ok_or_else(|| {
            failed(format!("`per_year` of `{name}` is `{}`", row.per_year))
                .with_hint("write outages in a year, with at most three decimals, such as \"0.5\"")
        })?;
        let downtime = Downtime {
            basis: DowntimeBasis::Stated,
            minutes: row.minutes,
            per_1000_years,
            source: row.source.into(),
        };
        if !downtimes.state(&name, downtime) {
            return Err(failed(format!(
                "`{name}` would be out never, or more than half of the time"
            ))
            .with_hint("what was never seen to fail may: give it a small number"));
        }
    }
    Ok(downtimes)
}

/// Whether a text can stand as a source in a row of a report.
fn is_source(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= SOURCE_CHARS_MAX && !text.chars().any(char::is_control)
}

/// What may be named: elements, and their kinds.
fn names(snapshot: &Snapshot) -> Vec<String> {
    let mut names: Vec<String> = vec!["channel".to_owned()];
    names.extend(
        snapshot
            .channels
            .iter()
            .map(|channel| format!("channel:{}", channel.name)),
    );
    for component in &snapshot.components {
        names.push(component.to_string());
        if let Some((kind, _)) = component.split_once(':') {
            names.push(kind.to_owned());
        }
    }
    names.sort();
    names.dedup();
    names
}

/// A decimal number with at most three decimals, in thousandths.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 3 {
        return None;
    }
    let decimals: u32 = format!("{decimals:0<3}").parse().ok()?;
    whole
        .parse::<u32>()
        .ok()?
        .checked_mul(1_000)?
        .checked_add(decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let check = |text: &str, expected: Option<u32>| assert_eq!(thousandths(text), expected, "{text}");
        check("0.5", Some(500));
        check("12", Some(12_000));
        check("0.042", Some(42));
        check("1.0001", None);
        check("", None);
        check(".5", None);
        check("5.", None);
        check("-1", None);
        check("1e3", None);
        check("4294967", Some(4_294_967_000));
        check("4294968", None);
    }
}
