//! What is said of traffic beside every number that rests on it: what is exact, modelled or assumed, and what was left out.

use tieline_core::{Span, Tick};

use super::{Basis, Traffic};
use crate::table::{count, plural};

/// A silence that is worth a warning: longer than the bins of five minutes that screens look at …
const SILENCE_MIN: Span = Span::from_s(300);
/// … and than this many times the mean time between two calls.
const SILENCE_GAPS: u64 = 50;

impl Basis {
    /// So many calls of this basis, in words.
    pub(crate) fn counted(self, calls: u64) -> String {
        match self {
            Self::Drawn => plural(calls, "drawn call"),
            Self::Recorded => plural(calls, "recorded call"),
            Self::Steady | Self::Structure => plural(calls, "assumed call"),
            Self::Trace => format!("{} of a trace", plural(calls, "call")),
        }
    }
}

impl Traffic {
    /// Everything that a report on this traffic has to say of it, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![self.of_basis().to_owned()];
        notes.extend(self.particulars());
        notes
    }

    /// The same without what holds of every traffic of its basis.
    pub(crate) fn particulars(&self) -> Vec<String> {
        let mut notes = self.remarks.clone();
        notes.extend(self.warnings.iter().cloned());
        let mut left_out = |n: u64, what: &str| {
            if n > 0 {
                notes.push(format!("Left out: {}{what}.", count(n)));
            }
        };
        left_out(
            self.unknown,
            " of the ledger's entries: damaged, or of a version that this program does not read",
        );
        left_out(
            self.unreadable.saturating_sub(self.unknown),
            " of the ledger's entries: half of a call each, the other half lies before what was read or in a gap",
        );
        let calls = if self.left_out == 1 { " call" } else { " calls" };
        left_out(self.left_out, calls);
        notes
    }

    const fn of_basis(&self) -> &'static str {
        match self.basis {
            Basis::Drawn => {
                "Modelled: when calls arrive, how large they are and how long they take is drawn from a law. Exact: \
                 eligibility as it is now, order of the channels, limits of channels, prices."
            }
            Basis::Recorded => {
                "Exact: eligibility, order of the channels, limits of channels, prices. Modelled: a channel that did not \
                 carry a call in the record answers it with the recorded usage and timing."
            }
            Basis::Steady => {
                "No traffic is recorded: calls of 1,000 prompt and 500 answer tokens that take 10 s are assumed, at an even \
                 pace, for each thing that each party may ask for."
            }
            Basis::Structure => {
                "No traffic is recorded: one call of 1,000 prompt and 500 answer tokens is assumed for each thing that \
                 each party may ask for."
            }
            Basis::Trace => {
                "The calls are another system's. Exact: eligibility as it is now, order of the channels, limits of \
                 channels, prices. Modelled: every channel answers a call with the same usage and timing."
            }
        }
    }

    /// The longest time without a call, if that is remarkable: a gap in the record looks like this.
    pub fn silence(&self) -> Option<String> {
        let calls = &self.calls;
        let (first, last) = (calls.first()?.at, calls.last()?.at);
        let pairs = calls.iter().zip(calls.iter().skip(1));
        let (longest, from) = pairs
            .map(|(call, next)| (next.at.since(call.at), call.at))
            .max_by_key(|(span, from)| (*span, std::cmp::Reverse(*from)))?;
        let mean = last.since(first).0 / calls.len() as u64;
        if longest < SILENCE_MIN || longest.0 < mean.saturating_mul(SILENCE_GAPS) {
            return None;
        }
        let until = Tick(from.0.saturating_add(longest.0));
        Some(format!(
            "No call came from {} to {}, for {}: if calls are missing there, the numbers are too low.",
            from.rfc3339(),
            until.rfc3339(),
            spelled(longest)
        ))
    }
}

/// A span as people say it, in its two largest units.
pub(crate) fn spelled(span: Span) -> String {
    let seconds = span.0 / 1_000_000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut words = Vec::new();
    for (size, unit) in units {
        let n = rest / size;
        rest %= size;
        if n > 0 {
            words.push(format!("{} {unit}", count(n)));
        }
    }
    words.truncate(2);
    if words.is_empty() {
        return "less than a second".to_owned();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_spelled_in_two_units() {
        for (s, expected) in [
            (0, "less than a second"),
            (59, "59 s"),
            (300, "5 min"),
            (52_320, "14 h 32 min"),
            (1_209_000, "13 d 23 h"),
        ] {
            assert_eq!(spelled(Span::from_s(s)), expected);
        }
    }
}
