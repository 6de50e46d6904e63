//! Times of a scenario: lengths such as `1d2h52m`, and instants.

use tieline_core::{Span as Length, Tick};

use crate::diagnose::{Code, Diagnostic, Sink, Span, shown};
use crate::raw::At;
use crate::raw::scenario::{RawScenario, RawTime};

/// The longest length: ten years. No traffic is longer.
const LENGTH_S_MAX: u64 = 10 * 366 * 86_400;

/// From which instant offsets count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Where the file says so.
    pub(super) place: Option<Span>,
    pub(super) start: Tick,
}

/// When something is: a time after the start, or an instant.
enum When {
    After(Length),
    At(Tick),
}

/// The start of a scenario; `chosen` takes the place of what the file says. None after a report.
pub(super) fn clock(
    raw: &RawScenario,
    (first, last): (Tick, Tick),
    chosen: Option<&str>,
    sink: &mut Sink,
) -> Option<Clock> {
    let stated = raw.start.as_ref().filter(|_| chosen.is_none());
    if raw.seen.contains(&"start") && raw.start.is_none() {
        return None;
    }
    let text = chosen
        .or(stated.map(|at| at.value.0.as_str()))
        .unwrap_or("first call");
    let start = match when(text) {
        _ if text == "first call" => Some(first),
        Some(When::After(length)) => Some(first.plus(length)),
        Some(When::At(at)) => Some(at),
        None => None,
    };
    let place = stated.map(|at| at.span);
    let complain = |code, message: String, label: &str| {
        let diagnostic = Diagnostic::error(code, message);
        match place {
            Some(span) => diagnostic.at(span, label),
            None => diagnostic,
        }
    };
    let Some(start) = start else {
        let message = format!("`{}` is no start", shown(text));
        let hint = "`first call`, a time after it such as `2h`, or an instant such as `2025-10-20T06:48:00Z`";
        sink.push(complain(Code::TimeBad, message, "no time").hint(hint));
        return None;
    };
    if start > last {
        let message = format!("the scenario starts at {}, after the last call", start.rfc3339());
        sink.push(
            complain(Code::ScenarioOutside, message, "outside of the traffic").note(format!(
                "the traffic is from {} to {}",
                first.rfc3339(),
                last.rfc3339()
            )),
        );
        return None;
    }
    Some(Clock { place, start })
}

impl Clock {
    /// An instant that is stated as one, or by its distance from the start. None after a report.
    pub(super) fn instant(self, at: &At<RawTime>, key: &str, sink: &mut Sink) -> Option<Tick> {
        match when(&at.value.0) {
            Some(When::After(length)) => Some(self.start.plus(length)),
            Some(When::At(instant)) => Some(instant),
            None => bad(
                at,
                key,
                "a time after the start such as `2h52m`, or an instant",
                sink,
            ),
        }
    }
}

/// A length of time. None after a report.
pub(super) fn length(at: &At<RawTime>, key: &str, sink: &mut Sink) -> Option<Length> {
    match when(&at.value.0) {
        Some(When::After(length)) => Some(length),
        _ => bad(at, key, "a length such as `2h52m`", sink),
    }
}

fn bad<T>(at: &At<RawTime>, key: &str, wants: &str, sink: &mut Sink) -> Option<T> {
    let message = format!("`{key}` wants {wants}, not `{}`", shown(&at.value.0));
    let diagnostic = Diagnostic::error(Code::TimeBad, message).at(at.span, "no such time");
    sink.push(diagnostic.hint("units are `d`, `h`, `m` and `s`, the largest first: `14h32m`"));
    None
}

fn when(text: &str) -> Option<When> {
    if let Some(length) = length_of(text) {
        return Some(When::After(length));
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_microsecond())
        .ok()
        .map(|us| When::At(Tick(us)))
}

/// `1d2h3m4s`: whole numbers, each unit once, the largest first.
fn length_of(text: &str) -> Option<Length> {
    let (mut rest, mut seconds) = (text, 0_u64);
    for (unit, worth) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        let Some((number, after)) = rest.split_once(unit) else {
            continue;
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(worth)?)?;
        rest = after;
    }
    (rest.is_empty() && rest.len() < text.len() && seconds <= LENGTH_S_MAX).then(|| Length::from_s(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_exactly_or_refused() {
        let check = |text: &str, s: Option<u64>| assert_eq!(length_of(text), s.map(Length::from_s), "{text}");
        check("0s", Some(0));
        check("2h52m", Some(10_320));
        check("14h32m", Some(52_320));
        check("1d1h1m1s", Some(90_061));
        check("90m", Some(5_400));
        for bad in [
            "",
            "s",
            "2",
            "h",
            "2m1h",
            "1h1h",
            "-1s",
            "1.5h",
            "2h ",
            "1w",
            "4000000000s",
            "99999999999999999999s",
        ] {
            check(bad, None);
        }
    }
}
