//! The report of versions on a terminal.

use std::fmt::Write as _;

use tieline_core::{Span, Tick};

use super::{ModelVersions, Reach, VersionBasis, VersionRow, VersionsReport, Wait, WaitState};
use crate::table::{Side, few, plural, table};

/// Names shown of a list of parties.
const PARTIES_MAX: usize = 4;

impl VersionsReport {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::from("Versions of models, by when this gateway had them on its channels\n");
        let _ = match self.since_us {
            Some(since) => writeln!(text, "Before {} nothing is recorded.", instant(since)),
            None => writeln!(text, "No ledger says when: only the configuration is known."),
        };
        for model in &self.models {
            text.push('\n');
            text.push_str(&model_text(model));
        }
        let left = [
            (
                self.unreadable,
                "entry or grid could not be read",
                "entries or grids could not be read",
            ),
            (
                self.left_out,
                "row is too many, and left out",
                "rows are too many, and left out",
            ),
        ];
        for (count, one, many) in left.into_iter().filter(|(count, ..)| *count > 0) {
            let _ = writeln!(text, "\n{count} {}.", if count == 1 { one } else { many });
        }
        text
    }
}

fn model_text(model: &ModelVersions) -> String {
    let mut text = format!("{} ({})\n", model.model, model.lab);
    let rows = model.versions.iter().flat_map(|version| {
        let places = version.channels.iter().enumerate();
        places.map(move |(ix, reach)| row(version, ix == 0, reach))
    });
    let head = [
        ("  version", Side::Left),
        ("channel", Side::Left),
        ("its name there", Side::Left),
        ("since", Side::Left),
        ("behind", Side::Right),
        ("first answer", Side::Left),
        ("until", Side::Left),
    ];
    text.push_str(&table(&head, &rows.collect::<Vec<_>>()));
    for version in &model.versions {
        for wait in &version.waits {
            let _ = writeln!(text, "  {}", wait_text(version, wait));
        }
    }
    text
}

fn row(version: &VersionRow, is_first: bool, reach: &Reach) -> Vec<String> {
    let or_none = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), instant);
    let behind = match (reach.behind_us, version.is_from_start) {
        (None, _) => "-".to_owned(),
        (Some(0), true) => "from the start".to_owned(),
        (Some(0), false) => "first".to_owned(),
        (Some(us), true) => format!("≥ {}", span(us)),
        (Some(us), false) => span(us),
    };
    let version = if is_first {
        version_text(version)
    } else {
        String::new()
    };
    vec![
        format!("  {version}"),
        reach.channel.clone(),
        reach.name.clone(),
        reach
            .since_us
            .map_or_else(|| "not in force yet".to_owned(), instant),
        behind,
        or_none(reach.answered_us),
        or_none(reach.until_us),
    ]
}

fn version_text(version: &VersionRow) -> String {
    match (&version.version, version.basis) {
        (Some(text), VersionBasis::Stated) => format!("{text} (stated)"),
        (Some(text), _) => text.clone(),
        (None, _) => "not said".to_owned(),
    }
}

fn wait_text(version: &VersionRow, wait: &Wait) -> String {
    let what = version.version.as_deref().unwrap_or("this model");
    let who = format!(
        "{} ({}), by {}",
        plural(wait.parties.len() as u64, "party").replace("partys", "parties"),
        few(&wait.parties, PARTIES_MAX),
        wait.channels.join(", ")
    );
    let least = if version.is_from_start { "at least " } else { "" };
    let waited = wait
        .waited_us
        .map(|us| format!("{least}{}", span(us)))
        .unwrap_or_default();
    match wait.state {
        WaitState::Over => format!("{what}: {waited} later for {who}"),
        WaitState::Still => format!("{what}: not yet, after {waited}, for {who}"),
        WaitState::Unknown => format!("{what}: unknown for {who}, where a name says no version"),
    }
}

fn instant(us: u64) -> String {
    Tick(us).rfc3339()
}

/// The two largest units.
fn span(us: u64) -> String {
    let s = Span(us).as_s_ceil();
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        let check = |s: u64, expected: &str| assert_eq!(span(s * 1_000_000), expected);
        check(0, "0 s");
        check(59, "59 s");
        check(61, "1 min 1 s");
        check(7_260, "2 h 1 min");
        check(273_600, "3 d 4 h");
    }
}
